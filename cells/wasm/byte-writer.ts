// Writes the primitive values of the WebAssembly binary format into a growing buffer.
import { utf8 } from '../../core/bytes.ts'

/** Copies shorter than this are made by hand: a view costs more than the bytes. */
const SHORT_COPY = 24

export class ByteWriter {
  #buffer: Uint8Array
  #length = 0

  constructor(capacity = 256) {
    this.#buffer = new Uint8Array(capacity)
  }

  get length(): number {
    return this.#length
  }

  /** A view of what was written; later writes may or may not show in it. */
  view(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  u8(value: number): this {
    if (this.#length === this.#buffer.length) this.#grow(1)
    this.#buffer[this.#length++] = value
    return this
  }

  /** One-byte values in a row: opcodes and small immediates. */
  op(...values: readonly number[]): this {
    for (const value of values) this.u8(value)
    return this
  }

  u32(value: number): this {
    let rest = value
    while (rest >= 128) {
      this.u8((rest % 128) | 128)
      rest = Math.floor(rest / 128)
    }
    return this.u8(rest)
  }

  /** LEB128, signed; any integer in 33 bits. */
  s33(value: number): this {
    let rest = value
    for (;;) {
      const low = ((rest % 128) + 128) % 128
      rest = Math.floor(rest / 128)
      if ((rest === 0 && low < 64) || (rest === -1 && low >= 64)) return this.u8(low)
      this.u8(low | 128)
    }
  }

  bytes(source: Uint8Array, start = 0, end = source.length): this {
    const count = end - start
    if (this.#length + count > this.#buffer.length) this.#grow(count)
    if (count < SHORT_COPY) {
      for (let i = start; i < end; i++) this.#buffer[this.#length++] = source[i] as number
    } else {
      this.#buffer.set(source.subarray(start, end), this.#length)
      this.#length += count
    }
    return this
  }

  name(text: string): this {
    const encoded = utf8(text)
    return this.u32(encoded.length).bytes(encoded)
  }

  clear(): this {
    this.#length = 0
    return this
  }

  #grow(atLeast: number): void {
    const next = new Uint8Array(Math.max(this.#buffer.length * 2, this.#length + atLeast))
    next.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = next
  }
}
