// Images of moving cells as files in the home: appended to while a cell is copied, and images only from their last frame on, so
// that what has to be written while the cell stands still is little and goes with one sync.
import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { equal, fromHex, fromUtf8, hex, sha256, utf8 } from '../../core/bytes.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import type { ImagePiece, ImageStore, OpenImage, StoredImage } from '../../protocols/migration/index.ts'
import type { NodeErrorCode } from '../errors.ts'

/** A frame: its kind (1 byte), its length (4, little endian), then the bytes. */
const HEADER_BYTES = 5
const KINDS = { end: 0, more: 1, context: 2 } as const
/** Behind the context's frame: where that frame begins (8 bytes, little endian), and the SHA-256 of the frame and of that number. */
const FOOTER_BYTES = 8 + 32

/** Names are put into hex, since they are made of cell ids and slashes. */
export class FileImageStore implements ImageStore {
  readonly #folder: string

  constructor(home: string) {
    this.#folder = join(home, 'images')
  }

  /** Makes the folder. What a crash left half written is in the list and cannot be read: whoever looks through the list drops it. */
  async start(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
  }

  async create(name: string): Promise<OpenImage> {
    return orHome(async () => {
      const file = await open(this.#pathOf(name), 'w', 0o600)
      try {
        // A name is on the disk when its folder is (fsync(2)): a record that rests on an image must not outlive it.
        await this.#syncFolder()
        return new FileImage(file)
      } catch (error) {
        await file.close()
        throw error
      }
    })
  }

  async read(name: string): Promise<StoredImage | undefined> {
    const path = this.#pathOf(name)
    const end = await ifThere(() => withFile(path, endOf))
    if (end === undefined) return undefined
    return { context: end.context, pieces: () => piecesOf(path, end.at) }
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

class FileImage implements OpenImage {
  readonly #file: FileHandle
  #length = 0
  #isOpen = true

  constructor(file: FileHandle) {
    this.#file = file
  }

  append(pieces: readonly ImagePiece[]): Promise<void> {
    return orHome(() =>
      this.#write(pieces.flatMap(({ bytes, more }) => [header(more ? KINDS.more : KINDS.end, bytes.length), bytes])),
    )
  }

  sync(): Promise<void> {
    return orHome(() => this.#file.datasync())
  }

  commit(context: Uint8Array): Promise<void> {
    return orHome(async () => {
      const head = header(KINDS.context, context.length)
      const at = Buffer.alloc(8)
      at.writeBigUInt64LE(BigInt(this.#length))
      await this.#write([head, context, at, sha256(head, context, at)])
      await this.#file.datasync()
    })
  }

  async abandon(): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    await this.#file.close()
  }

  /** All of it, or an error: a full disk takes some bytes before it says so. */
  async #write(buffers: readonly Uint8Array[]): Promise<void> {
    const total = buffers.reduce((sum, bytes) => sum + bytes.length, 0)
    let { bytesWritten } = await this.#file.writev(buffers, this.#length)
    if (bytesWritten < total) {
      const whole = Buffer.concat(buffers)
      while (bytesWritten < total)
        bytesWritten += (await this.#file.write(whole, bytesWritten, total - bytesWritten, this.#length + bytesWritten))
          .bytesWritten
    }
    this.#length += total
  }
}

function header(kind: number, length: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES)
  bytes.writeUInt8(kind, 0)
  bytes.writeUInt32LE(length, 1)
  return bytes
}

/** The context of a committed image and where its frame begins; undefined for one that was not committed, or is damaged there. */
async function endOf(file: FileHandle): Promise<{ readonly context: Uint8Array; readonly at: number } | undefined> {
  const { size } = await file.stat()
  if (size < HEADER_BYTES + FOOTER_BYTES) return undefined
  const footer = await bytesAt(file, size - FOOTER_BYTES, FOOTER_BYTES)
  const at = Number(footer.readBigUInt64LE(0))
  const length = size - FOOTER_BYTES - HEADER_BYTES - at
  if (length < 0) return undefined
  const frame = await bytesAt(file, at, HEADER_BYTES + length)
  const isWhole = equal(sha256(frame, footer.subarray(0, 8)), footer.subarray(8))
  if (!isWhole || frame.readUInt8(0) !== KINDS.context || frame.readUInt32LE(1) !== length) return undefined
  return { context: frame.subarray(HEADER_BYTES), at }
}

/** The pieces before `end`; whether they are the right ones is for the reader to see. */
async function* piecesOf(path: string, end: number): AsyncGenerator<ImagePiece> {
  const file = await open(path, 'r')
  try {
    for (let at = 0; at + HEADER_BYTES <= end; ) {
      const head = await bytesAt(file, at, HEADER_BYTES)
      const length = head.readUInt32LE(1)
      if (at + HEADER_BYTES + length > end) return
      yield { bytes: await bytesAt(file, at + HEADER_BYTES, length), more: head.readUInt8(0) === KINDS.more }
      at += HEADER_BYTES + length
    }
  } finally {
    await file.close()
  }
}

async function bytesAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  for (let read = 0; read < length; ) {
    const { bytesRead } = await file.read(bytes, read, length - read, at + read)
    if (bytesRead === 0) throw new Error('the file is shorter than it was')
    read += bytesRead
  }
  return bytes
}

async function withFile<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, 'r')
  try {
    return await work(file)
  } finally {
    await file.close()
  }
}

async function ifThere<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function orHome<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (isCoded(error)) throw error
    const full = (error as NodeJS.ErrnoException).code === 'ENOSPC'
    const code: NodeErrorCode = full ? 'HOME_FULL' : 'HOME_UNREADABLE'
    throw new CodedError(code, `the image of a moving cell cannot be kept: ${messageOf(error)}`, { cause: error })
  }
}
