// What a cell has written, in one append-only file: frames of both streams in the order they came, each byte once.
import { type FileHandle, mkdir, open, stat, truncate } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { OutputStream } from '../../cells/types.ts'

export interface OutputFrame {
  readonly stream: OutputStream
  /** Position of the first byte in its stream. */
  readonly offset: number
  readonly bytes: Uint8Array
}

/** stream (1 byte), offset (8, little endian), length (4, little endian), then the bytes. */
const HEADER_BYTES = 13
const STREAMS = ['stdout', 'stderr'] as const

export class OutputLog {
  readonly #path: string
  /** Open from the first byte that is appended until `close`: a peer has had many more cells than files may be open. */
  #file: FileHandle | undefined
  #length = 0
  readonly #next: Record<OutputStream, number> = { stdout: 0, stderr: 0 }

  constructor(path: string) {
    this.#path = path
  }

  /** Reads what there is; a frame that was torn by a crash is cut off. */
  async open(): Promise<void> {
    for await (const frame of this.frames()) {
      this.#length += HEADER_BYTES + frame.bytes.length
      this.#next[frame.stream] = frame.offset + frame.bytes.length
    }
    const size = await stat(this.#path).then(
      (file) => file.size,
      () => 0,
    )
    if (size > this.#length) await truncate(this.#path, this.#length)
  }

  /** The offset at which `stream` goes on. */
  next(stream: OutputStream): number {
    return this.#next[stream]
  }

  /**
   * Appends what is new of `bytes`: what the log has already is skipped, so that a repeated report changes nothing.
   * Resolves with the frame that was written; undefined when there was nothing new, or when bytes are missing in between.
   */
  async append(stream: OutputStream, offset: number, bytes: Uint8Array): Promise<OutputFrame | undefined> {
    const skip = this.#next[stream] - offset
    if (skip < 0 || skip >= bytes.length) return undefined
    const frame = { stream, offset: offset + skip, bytes: bytes.subarray(skip) }
    const record = Buffer.alloc(HEADER_BYTES + frame.bytes.length)
    record.writeUInt8(STREAMS.indexOf(stream), 0)
    record.writeBigUInt64LE(BigInt(frame.offset), 1)
    record.writeUInt32LE(frame.bytes.length, 9)
    record.set(frame.bytes, HEADER_BYTES)
    await this.#write(record)
    this.#length += record.length
    this.#next[stream] += frame.bytes.length
    return frame
  }

  /** All of `record`, or, on a full disk, nothing: what was written of it is cut off again. */
  async #write(record: Uint8Array): Promise<void> {
    const file = await this.#opened()
    try {
      for (let at = 0; at < record.length; ) at += (await file.write(record, at)).bytesWritten
    } catch (error) {
      await file.truncate(this.#length)
      throw error
    }
  }

  /** Makes everything appended so far survive a crash. */
  async sync(): Promise<void> {
    await (await this.#opened()).datasync()
  }

  /** All whole frames, from byte `from` of the file on: 0, or the `next` of a frame that was read before. */
  async *frames(from = 0): AsyncGenerator<OutputFrame & { readonly next: number }> {
    const file = await open(this.#path, 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (file === undefined) return
    try {
      const header = Buffer.alloc(HEADER_BYTES)
      for (let at = from; ; ) {
        if ((await file.read(header, 0, HEADER_BYTES, at)).bytesRead < HEADER_BYTES) return
        const stream = STREAMS[header.readUInt8(0)]
        const bytes = Buffer.alloc(header.readUInt32LE(9))
        if (stream === undefined) return
        if ((await file.read(bytes, 0, bytes.length, at + HEADER_BYTES)).bytesRead < bytes.length) return
        at += HEADER_BYTES + bytes.length
        yield { stream, offset: Number(header.readBigUInt64LE(1)), bytes, next: at }
      }
    } finally {
      await file.close()
    }
  }

  /** Lets the file go; what is appended later opens it again. */
  async close(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close()
  }

  async #opened(): Promise<FileHandle> {
    if (this.#file === undefined) {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 })
      this.#file = await open(this.#path, 'a', 0o600)
    }
    return this.#file
  }
}
