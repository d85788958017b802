// What does not stay in memory of one cell's files, in a file that has no name once it is open: it goes with the process,
// however that ends.
import { closeSync, constants, openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { sha256Hex } from '../../core/bytes.ts'
import { messageOf } from '../../core/errors.ts'
import { PIECE_BYTES, type Scratch, StorageError } from '../wasi/index.ts'

interface Kept {
  readonly hash: string
  readonly length: number
  /** How many pieces are equal to it. */
  owners: number
}

/** By content: equal pieces lie there once, and what comes back is what was put there. */
export class ScratchFile implements Scratch {
  readonly #path: string
  readonly #kept: (Kept | undefined)[] = []
  readonly #slots = new Map<string, number>()
  readonly #free: number[] = []
  #file: number | undefined

  /** The file is made when it is first written to. */
  constructor(path: string) {
    this.#path = path
  }

  write(bytes: Uint8Array): number {
    const hash = sha256Hex(bytes)
    const known = this.#slots.get(hash)
    const kept = known === undefined ? undefined : this.#kept[known]
    if (known !== undefined && kept !== undefined) {
      kept.owners++
      return known
    }
    const slot = this.#free.at(-1) ?? this.#kept.length
    try {
      writeFully(this.#opened(), bytes, slot * PIECE_BYTES)
    } catch (error) {
      throw new StorageError(`there is no room in the scratch file: ${messageOf(error)}`, true)
    }
    this.#free.pop()
    this.#kept[slot] = { hash, length: bytes.length, owners: 1 }
    this.#slots.set(hash, slot)
    return slot
  }

  read(slot: number, into: Uint8Array): void {
    const kept = this.#kept[slot]
    if (kept?.length !== into.length) throw new Error(`slot ${slot} holds no piece of ${into.length} bytes`)
    readFully(this.#opened(), into, slot * PIECE_BYTES)
    if (sha256Hex(into) !== kept.hash) throw new StorageError('the scratch file does not hold what was written to it')
  }

  free(slot: number): void {
    const kept = this.#kept[slot]
    if (kept === undefined || --kept.owners > 0) return
    this.#kept[slot] = undefined
    this.#slots.delete(kept.hash)
    this.#free.push(slot)
  }

  /** Gives its place on the disk back. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }

  #opened(): number {
    if (this.#file !== undefined) return this.#file
    this.#file = openSync(this.#path, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600)
    unlinkSync(this.#path)
    return this.#file
  }
}

/** Fills `into` from `at` on. Throws `StorageError`. */
export function readFully(file: number, into: Uint8Array, at: number): void {
  try {
    for (let done = 0; done < into.length; ) {
      const count = readSync(file, into, done, into.length - done, at + done)
      if (count === 0) throw new Error('it is shorter than it was')
      done += count
    }
  } catch (error) {
    throw new StorageError(`the bytes of a file cannot be read: ${messageOf(error)}`)
  }
}

export function writeFully(file: number, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done, bytes.length - done, at + done)
}
