// Images of moving cells as files in the home: written whole and synced before a name stands for them.
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { decode, encode } from 'cborg'
import { fromHex, fromUtf8, hex, utf8 } from '../../core/bytes.ts'
import { CodedError, messageOf } from '../../core/errors.ts'
import type { CellImage, ImageStore } from '../../protocols/migration/index.ts'
import type { NodeErrorCode } from '../errors.ts'

/** Names are put into hex, since they are made of cell ids and slashes. */
export class FileImageStore implements ImageStore {
  readonly #folder: string

  constructor(home: string) {
    this.#folder = join(home, 'images')
  }

  /** Makes the folder, and clears what a crash left half written. */
  async start(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    for (const file of await readdir(this.#folder))
      if (file.endsWith('.new')) await rm(join(this.#folder, file), { force: true })
  }

  async keep(name: string, image: CellImage): Promise<void> {
    const path = this.#pathOf(name)
    try {
      const file = await open(`${path}.new`, 'w', 0o600)
      try {
        await file.writeFile(encode({ snapshot: image.snapshot, context: image.context }))
        await file.datasync()
      } finally {
        await file.close()
      }
      await rename(`${path}.new`, path)
      await this.#syncFolder()
    } catch (error) {
      await rm(`${path}.new`, { force: true })
      const full = (error as NodeJS.ErrnoException).code === 'ENOSPC'
      const code: NodeErrorCode = full ? 'HOME_FULL' : 'HOME_UNREADABLE'
      throw new CodedError(code, `the image of a moving cell cannot be kept: ${messageOf(error)}`, { cause: error })
    }
  }

  async read(name: string): Promise<CellImage | undefined> {
    try {
      return decode(await readFile(this.#pathOf(name))) as CellImage
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  async drop(name: string): Promise<void> {
    await rm(this.#pathOf(name), { force: true })
  }

  async list(): Promise<readonly string[]> {
    const files = await readdir(this.#folder)
    return files.flatMap((file) => {
      const name = fromHex(file)
      return name === undefined ? [] : [fromUtf8(name)]
    })
  }

  /** A rename is on the disk when its folder is (fsync(2)): a record that rests on an image must not outlive it. */
  async #syncFolder(): Promise<void> {
    const folder = await open(this.#folder, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  }

  #pathOf(name: string): string {
    return join(this.#folder, hex(utf8(name)))
  }
}
