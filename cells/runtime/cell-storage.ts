// The files of one cell beyond memory, in the thread that runs it: inputs that are read where they lie, a scratch file, and
// results that are left to be taken away. All in the folder of its host process, the only one that it may use.
import { randomUUID } from 'node:crypto'
import { closeSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { threadId } from 'node:worker_threads'
import { messageOf } from '../../core/errors.ts'
import type { CellFile, LargeFile } from '../types.ts'
import { type Content, type FileSource, PIECE_BYTES, PiecePool, StorageError, type Wasi } from '../wasi/index.ts'
import { SPILL_FOLDER } from './host-folder.ts'
import { LARGE_FILE_BYTES, RESIDENT_FILE_BYTES } from './limits.ts'
import { readFully, ScratchFile, writeFully } from './scratch-file.ts'

/** A copy of a file as it is told to the peer: its bytes, or a name in the folder. */
export type KeptFile =
  | { readonly bytes: Uint8Array; readonly large?: undefined }
  | { readonly bytes?: undefined; readonly large: Omit<LargeFile, 'path'> }

/** Results as they are told to the peer. */
export interface Results {
  readonly files: CellFile[]
  /** `file` is a name in the folder. */
  readonly largeFiles?: LargeFile[]
}

export class CellStorage {
  readonly pool: PiecePool
  readonly #folder: string | undefined
  readonly #scratch: ScratchFile | undefined
  readonly #open: number[] = []

  /** @param folder of the host process; without one all stays in memory */
  constructor(folder: string | undefined) {
    this.#folder = folder && join(folder, SPILL_FOLDER)
    this.#scratch = this.#folder === undefined ? undefined : new ScratchFile(join(this.#folder, `scratch-${threadId}`))
    this.pool = new PiecePool(this.#scratch && { scratch: this.#scratch, residentBytes: RESIDENT_FILE_BYTES })
  }

  /** Opens an input, which may lose its name after that. */
  source({ file, bytes: size }: LargeFile): FileSource {
    const open = openSync(file, 'r')
    this.#open.push(open)
    return { size, read: (at, into) => readFully(open, into, at) }
  }

  /** What the program has left. Throws `StorageError`, and leaves nothing then. */
  results(wasi: Pick<Wasi, 'changedFiles'>): Results {
    const files: CellFile[] = []
    const largeFiles: LargeFile[] = []
    try {
      for (const { path, content } of wasi.changedFiles()) {
        const { bytes, large } = this.kept(content)
        if (large === undefined) files.push({ path, bytes })
        else largeFiles.push({ path, ...large })
      }
    } catch (error) {
      for (const { file } of largeFiles) this.#drop(file)
      throw error
    }
    return largeFiles.length === 0 ? { files } : { files, largeFiles }
  }

  /** A copy of a file, for the peer: of a large one, in a file of its own. Throws `StorageError`. */
  kept(content: Content): KeptFile {
    if (this.#folder === undefined || content.size <= LARGE_FILE_BYTES) return { bytes: content.bytes() }
    // Nothing else has that name, neither of this thread nor of an earlier program in it.
    const file = `result-${randomUUID()}`
    const path = join(this.#folder, file)
    try {
      const open = openSync(path, 'wx', 0o600)
      try {
        for (let at = 0; at < content.size; at += PIECE_BYTES) writeFully(open, content.piece(at / PIECE_BYTES), at)
      } finally {
        closeSync(open)
      }
    } catch (error) {
      this.#drop(file)
      if (error instanceof StorageError) throw error
      throw new StorageError(`there is no room for a file of ${content.size} bytes: ${messageOf(error)}`, true)
    }
    return { large: { file, bytes: content.size } }
  }

  #drop(name: string): void {
    if (this.#folder !== undefined) rmSync(join(this.#folder, name), { force: true })
  }

  /** Nobody reads or writes its files any more. */
  close(): void {
    this.#scratch?.close()
    for (const file of this.#open.splice(0)) closeSync(file)
  }
}
