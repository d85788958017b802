// The bytes of one file, in pieces that may be in memory, in scratch, in a source outside, or nowhere: zeros. Knows no
// limits of a cell and no time.
import {
  type FileSource,
  noPiece,
  PIECE_BYTES,
  type Piece,
  type PiecePool,
  sharedPiece,
  sourcePiece,
} from './pieces.ts'

/** The least memory of a file that is written to, bytes. */
const MIN_CAPACITY = 256
/** Up to here a loop beats making a view for `set`, bytes. */
const SHORT_COPY = 32

const ZEROS = new Uint8Array(PIECE_BYTES)

export class Content {
  readonly #pool: PiecePool
  #size = 0
  /** By number: what is not there is zero, or in the source and was never read. */
  readonly #pieces = new Map<number, Piece>()
  #source: FileSource | undefined
  /** What of the source the file still has, if it was not written to: pieces from here on are not of it. */
  #sourcePieces = 0

  constructor(pool: PiecePool) {
    this.#pool = pool
  }

  /** A file of bytes that belong to someone else, and are copied before the first change. */
  static shared(pool: PiecePool, bytes: Uint8Array): Content {
    const content = new Content(pool)
    content.append(bytes)
    return content
  }

  /** A file as it is in `source`, which is read when it is wanted. */
  static lazy(pool: PiecePool, source: FileSource): Content {
    const content = new Content(pool)
    content.#source = source
    content.#size = source.size
    content.#sourcePieces = Math.ceil(source.size / PIECE_BYTES)
    return content
  }

  get size(): number {
    return this.#size
  }

  /** Puts bytes of someone else at the end, not copied where they are whole pieces. */
  append(bytes: Uint8Array): void {
    let from = 0
    if (this.#size % PIECE_BYTES !== 0) {
      from = Math.min(bytes.length, PIECE_BYTES - (this.#size % PIECE_BYTES))
      this.write(this.#size, bytes, 0, from)
    }
    for (; from < bytes.length; from += PIECE_BYTES) {
      // Not a Buffer, whose `slice` would not copy.
      const length = Math.min(PIECE_BYTES, bytes.length - from)
      const piece = sharedPiece(new Uint8Array(bytes.buffer, bytes.byteOffset + from, length))
      this.#pieces.set(this.#size / PIECE_BYTES, piece)
      this.#size += length
    }
  }

  /** Copies `[from, from + length)`, which the file must have, to `into` at `at`. Throws `StorageError`. */
  read(from: number, into: Uint8Array, at: number, length: number): void {
    for (let done = 0; done < length; ) {
      const index = Math.floor((from + done) / PIECE_BYTES)
      const start = from + done - index * PIECE_BYTES
      const count = Math.min(length - done, PIECE_BYTES - start)
      const data = this.#data(index)
      if (data === undefined || start >= data.length) into.fill(0, at + done, at + done + count)
      else {
        const there = Math.min(count, data.length - start)
        copy(data, start, into, at + done, there)
        if (there < count) into.fill(0, at + done + there, at + done + count)
      }
      done += count
    }
  }

  /**
   * Writes `source[start, start + length)` at `position`, over the end or beyond it. Throws `StorageError`: what stands
   * before the new `size`, and nothing else, may have been written then.
   */
  write(position: number, source: Uint8Array, start: number, length: number): void {
    for (let done = 0; done < length; ) {
      const index = Math.floor((position + done) / PIECE_BYTES)
      const at = position + done - index * PIECE_BYTES
      const count = Math.min(length - done, PIECE_BYTES - at)
      const data = this.#writable(index, at + count)
      copy(source, start + done, data, at, count)
      done += count
      this.#size = Math.max(this.#size, position + done)
    }
  }

  /** Cuts it off, or has it end in zeros. Throws `StorageError`, and is as before then. */
  resize(size: number): void {
    if (size < this.#size) {
      const at = size % PIECE_BYTES
      const last = Math.floor(size / PIECE_BYTES)
      const data = at === 0 ? undefined : this.#data(last)
      if (data !== undefined && at < data.length) this.#writable(last, at).fill(0, at)
      const kept = Math.ceil(size / PIECE_BYTES)
      this.#dropFrom(kept)
      this.#sourcePieces = Math.min(this.#sourcePieces, kept)
    }
    this.#size = size
  }

  /** Piece number `index`, as far as the file goes; valid until the file is written to. Throws `StorageError`. */
  piece(index: number): Uint8Array {
    const length = Math.min(PIECE_BYTES, this.#size - index * PIECE_BYTES)
    const data = this.#data(index)
    if (data === undefined) return ZEROS.subarray(0, length)
    if (data.length >= length) return data.subarray(0, length)
    const padded = new Uint8Array(length)
    padded.set(data)
    return padded
  }

  /** A copy of all of it. Throws `StorageError`. */
  bytes(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#size)
    this.read(0, bytes, 0, bytes.length)
    return bytes
  }

  /** Forgets all. */
  drop(): void {
    this.#dropFrom(0)
    this.#sourcePieces = 0
    this.#size = 0
  }

  #dropFrom(first: number): void {
    for (const [index, piece] of this.#pieces) {
      if (index < first) continue
      this.#pool.drop(piece)
      this.#pieces.delete(index)
    }
  }

  /** What the piece holds, in memory; undefined: zeros. */
  #data(index: number): Uint8Array | undefined {
    const piece = this.#pieces.get(index) ?? this.#fromSource(index)
    if (piece === undefined) return undefined
    piece.used = true
    return piece.data ?? this.#pool.load(piece, (into) => this.#source?.read(index * PIECE_BYTES, into))
  }

  #fromSource(index: number): Piece | undefined {
    if (this.#source === undefined || index >= this.#sourcePieces) return undefined
    const piece = sourcePiece(Math.min(PIECE_BYTES, this.#source.size - index * PIECE_BYTES))
    this.#pieces.set(index, piece)
    return piece
  }

  #writable(index: number, end: number): Uint8Array {
    const found = this.#data(index)
    let piece = this.#pieces.get(index)
    if (piece !== undefined && found !== undefined && !piece.shared && end <= found.length) {
      if (piece.slot !== undefined || piece.pristine) this.#pool.changes(piece)
      return found
    }
    piece ??= noPiece()
    // A file of several pieces will have this one whole, most likely.
    const doubled = index > 0 ? PIECE_BYTES : Math.min(PIECE_BYTES, Math.max(MIN_CAPACITY, 2 * piece.length))
    const data = this.#pool.own(piece, Math.max(end, doubled))
    this.#pool.changes(piece)
    this.#pieces.set(index, piece)
    return data
  }
}

function copy(from: Uint8Array, start: number, to: Uint8Array, at: number, length: number): void {
  if (length <= SHORT_COPY) for (let i = 0; i < length; i++) to[at + i] = from[start + i] ?? 0
  else to.set(from.subarray(start, start + length), at)
}
