// The folder of a cell host process, from the peer's side: what the process may read, what it may write, and how large files
// go in and come out. What it writes is foreign: nothing of it is opened by a name that the process could make lead elsewhere.
import { randomUUID } from 'node:crypto'
import { lstatSync, mkdirSync, realpathSync, renameSync, rmSync } from 'node:fs'
import { constants, copyFile, link, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { LargeFile } from '../types.ts'

/** What the process may read but not write. */
const INPUT_FOLDER = 'inputs'
/** What it may read and write. */
export const SPILL_FOLDER = 'spill'
/** In the engine's folder: what was taken away from processes. */
const RESULT_FOLDER = 'results'

export class HostFolder {
  readonly path: string
  readonly #results: string

  /** Makes the folder. @param root the engine's */
  constructor(root: string) {
    const real = realpathSync(root)
    this.path = join(real, randomUUID())
    this.#results = join(real, RESULT_FOLDER)
    for (const folder of [INPUT_FOLDER, SPILL_FOLDER])
      mkdirSync(join(this.path, folder), { recursive: true, mode: 0o700 })
  }

  /** What Node's permission model is to grant. */
  get grants(): { readonly read: string; readonly write: string } {
    return { read: this.path, write: join(this.path, SPILL_FOLDER) }
  }

  /** The same files in the process's folder while `work` lasts: who has opened them by then keeps them. */
  async withInputs<T>(files: readonly LargeFile[], work: (staged: readonly LargeFile[]) => Promise<T>): Promise<T> {
    const staged: LargeFile[] = []
    try {
      for (const { path, file, bytes } of files) {
        const name = join(this.path, INPUT_FOLDER, randomUUID())
        staged.push({ path, file: name, bytes })
        // A second name, where the file system has such: else a copy, which shares its blocks where that can be had.
        await link(file, name).catch(() => copyFile(file, name, constants.COPYFILE_FICLONE))
      }
      return await work(staged)
    } finally {
      for (const { file } of staged) await rm(file, { force: true })
    }
  }

  /** Takes away a file that the process has written, and says where it is; throws when it is not what it should be. */
  take(name: string, bytes: number): string {
    const taken = join(this.#results, randomUUID())
    renameSync(join(this.path, SPILL_FOLDER, name), taken)
    const facts = lstatSync(taken)
    if (facts.isFile() && facts.nlink === 1 && facts.size === bytes) return taken
    rmSync(taken, { force: true, recursive: true })
    throw new Error(`the result ${name} is no file of ${bytes} bytes`)
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true })
  }
}

/** Empties an engine's folder. */
export async function clearFolders(root: string): Promise<void> {
  await rm(root, { recursive: true, force: true })
  await mkdir(join(root, RESULT_FOLDER), { recursive: true, mode: 0o700 })
}
