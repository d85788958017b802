// The randomness of a cell: the host's, or a reproducible stream that a move continues where it was.
import { createHash } from 'node:crypto'
import type { Random } from '../../core/random.ts'

const BLOCK_BYTES = 32
/** Of the seed, once it is hashed. */
export const SEED_BYTES = 32

export interface GuestRandom {
  bytes(length: number): Uint8Array
  /** What a restore needs; undefined for the host's randomness, which has no state. */
  state(): SeededState | undefined
}

export interface SeededState {
  readonly seed: Uint8Array
  /** Bytes given so far. */
  readonly position: number
}

export function hostRandom(random: Random): GuestRandom {
  return { bytes: (length) => random.bytes(length), state: () => undefined }
}

/** SHA-256 in counter mode: block i of the stream is the hash of the seed and of i as 8 bytes, little-endian. */
export class SeededRandom implements GuestRandom {
  readonly #seed: Uint8Array
  #position: number

  constructor({ seed, position }: SeededState) {
    this.#seed = seed
    this.#position = position
  }

  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length)
    for (let filled = 0; filled < length; ) {
      const within = this.#position % BLOCK_BYTES
      const part = this.#block(Math.floor(this.#position / BLOCK_BYTES)).subarray(within, within + length - filled)
      out.set(part, filled)
      filled += part.length
      this.#position += part.length
    }
    return out
  }

  state(): SeededState {
    return { seed: this.#seed, position: this.#position }
  }

  #block(index: number): Uint8Array {
    const counter = Buffer.alloc(8)
    counter.writeBigUInt64LE(BigInt(index))
    return createHash('sha256').update(this.#seed).update(counter).digest()
  }
}
