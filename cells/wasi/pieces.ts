// The pieces of the files of one cell: so many bytes of them stay in memory, the others wait in a scratch file until they are
// wanted. Knows no files: a piece belongs to whoever made it.

/** Unit in which files are kept, bytes: large enough that a piece costs little to fetch, small enough for random access. */
export const PIECE_BYTES = 65_536

/** Where pieces are kept that leave memory; by the thread of the cell, so that nothing of it waits for anyone. */
export interface Scratch {
  /** Keeps a copy, and says by which number. Throws {@link StorageError}. */
  write(bytes: Uint8Array): number
  /** Fills `into` with what was written, all of it. Throws {@link StorageError} when that cannot be had, or is not the same. */
  read(slot: number, into: Uint8Array): void
  free(slot: number): void
}

/** Bytes outside of the cell, from which a file is read as far as it is wanted. */
export interface FileSource {
  readonly size: number
  /** Fills `into`, all of it. Throws {@link StorageError}. */
  read(at: number, into: Uint8Array): void
}

/** The bytes of a file cannot be had, or there is no room to put them aside. */
export class StorageError extends Error {
  readonly full: boolean

  constructor(message: string, full = false) {
    super(message)
    this.full = full
  }
}

export interface Piece {
  /** Undefined while it is elsewhere. What the file has beyond it, up to the piece's end, is zero. */
  data: Uint8Array | undefined
  /** Of `data`, wherever it is. */
  length: number
  /** `data` belongs to someone else: it is copied before the first change, and never leaves. */
  shared: boolean
  /** Where an equal copy lies. */
  slot: number | undefined
  /** As it is in the source of its file, where it can be read again. */
  pristine: boolean
  /** Since the hand of the clock last passed. */
  used: boolean
  /** Its place in the ring of those that may leave; -1: none. */
  at: number
}

/** A piece of zeros, which has no memory yet. */
export function noPiece(): Piece {
  return { data: undefined, length: 0, shared: false, slot: undefined, pristine: false, used: false, at: -1 }
}

/** A piece of bytes that belong to someone else. */
export function sharedPiece(data: Uint8Array): Piece {
  return { ...noPiece(), data, length: data.length, shared: true }
}

/** A piece of a source, not read yet. */
export function sourcePiece(length: number): Piece {
  return { ...noPiece(), length, pristine: true }
}

export interface PiecePoolInit {
  readonly scratch: Scratch
  /** Bytes that stay in memory. */
  readonly residentBytes: number
}

/** Which piece leaves is decided by the clock algorithm: one that was not used for a round of the hand. */
export class PiecePool {
  readonly #init: PiecePoolInit | undefined
  readonly #ring: Piece[] = []
  #hand = 0
  #residentBytes = 0

  /** @param init by default, all stays in memory */
  constructor(init?: PiecePoolInit) {
    this.#init = init
  }

  /** Bytes of pieces in memory, but for what belongs to others. */
  get residentBytes(): number {
    return this.#residentBytes
  }

  /** Gives `piece` memory of its own, of `length` bytes or more, with what it has; throws {@link StorageError} `full`. */
  own(piece: Piece, length: number): Uint8Array {
    const old = piece.data
    const capacity = Math.max(length, piece.length)
    this.#leave(piece)
    try {
      const data = this.#memory(capacity)
      if (old !== undefined) data.set(old)
      piece.data = data
      piece.length = capacity
      piece.shared = false
    } finally {
      if (piece.data !== undefined && !piece.shared) this.#enter(piece)
    }
    return piece.data
  }

  /** Brings back what has left: `fill` reads what is in no slot. */
  load(piece: Piece, fill: (into: Uint8Array) => void): Uint8Array {
    const data = this.#memory(piece.length)
    if (piece.slot === undefined) fill(data)
    else this.#scratch.read(piece.slot, data)
    piece.data = data
    this.#enter(piece)
    return data
  }

  /** It is about to be changed: copies elsewhere are no longer equal. */
  changes(piece: Piece): void {
    piece.pristine = false
    if (piece.slot === undefined) return
    this.#scratch.free(piece.slot)
    piece.slot = undefined
  }

  drop(piece: Piece): void {
    this.#leave(piece)
    this.changes(piece)
    piece.data = undefined
  }

  get #scratch(): Scratch {
    if (this.#init === undefined) throw new Error('nothing leaves memory here')
    return this.#init.scratch
  }

  #memory(bytes: number): Uint8Array {
    const limit = this.#init?.residentBytes ?? Number.POSITIVE_INFINITY
    while (this.#ring.length > 0 && this.#residentBytes + bytes > limit) this.#evict()
    try {
      return new Uint8Array(bytes)
    } catch {
      throw new StorageError('there is no memory for the bytes of a file', true)
    }
  }

  #evict(): void {
    const piece = this.#unused()
    if (isElsewhere(piece)) this.#forgo(piece)
    else {
      try {
        piece.slot = this.#scratch.write(piece.data ?? new Uint8Array(0))
        this.#forgo(piece)
      } catch (error) {
        // A full disk keeps nobody from reading what needs no room there.
        const other = this.#ring.find(isElsewhere)
        if (other === undefined) throw error
        this.#forgo(other)
      }
    }
  }

  /** The first that was not used since the hand last passed it. */
  #unused(): Piece {
    for (;;) {
      if (this.#hand >= this.#ring.length) this.#hand = 0
      const piece = this.#ring[this.#hand]
      if (piece === undefined) throw new Error('nothing is in memory that could leave it')
      if (!piece.used) return piece
      piece.used = false
      this.#hand++
    }
  }

  #forgo(piece: Piece): void {
    this.#leave(piece)
    piece.data = undefined
  }

  #enter(piece: Piece): void {
    piece.used = true
    piece.at = this.#ring.length
    this.#ring.push(piece)
    this.#residentBytes += piece.length
  }

  #leave(piece: Piece): void {
    const { at } = piece
    if (at < 0) return
    const last = this.#ring.pop()
    if (last !== undefined && last !== piece) {
      this.#ring[at] = last
      last.at = at
    }
    piece.at = -1
    this.#residentBytes -= piece.length
  }
}

/** It can be had again without being put aside. */
function isElsewhere({ slot, pristine }: Piece): boolean {
  return slot !== undefined || pristine
}
