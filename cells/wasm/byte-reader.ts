// Reads the primitive values of the WebAssembly binary format. Total: every failure is `CELL_NOT_WASM`.
import { fromUtf8 } from '../../core/bytes.ts'
import { CodedError } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'

export class ByteReader {
  readonly bytes: Uint8Array
  /** Offset of the next byte. */
  at: number
  readonly end: number

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  get done(): boolean {
    return this.at >= this.end
  }

  u8(): number {
    const value = this.bytes[this.at]
    if (value === undefined || this.at >= this.end) throw notWasm('it ends too early', this.at)
    this.at++
    return value
  }

  /** LEB128, unsigned, at most 32 bits. */
  u32(): number {
    let result = 0
    for (let scale = 1; scale <= 0x10000000; scale *= 128) {
      const byte = this.u8()
      result += (byte & 127) * scale
      if (byte < 128) {
        if (result > 0xffffffff) break
        return result
      }
    }
    throw notWasm('a number is out of range', this.at)
  }

  /** LEB128, signed, at most 33 bits: block types and heap types. */
  s33(): number {
    let result = 0
    let scale = 1
    for (let count = 0; count < 5; count++) {
      const byte = this.u8()
      result += (byte & 127) * scale
      scale *= 128
      if (byte < 128) return byte & 64 ? result - scale : result
    }
    throw notWasm('a number is out of range', this.at)
  }

  /** Passes over one LEB128 value of at most 64 bits. */
  skipLeb(): void {
    for (let count = 0; count < 10; count++) if (this.u8() < 128) return
    throw notWasm('a number is out of range', this.at)
  }

  skip(count: number): void {
    if (count > this.end - this.at) throw notWasm('it ends too early', this.at)
    this.at += count
  }

  name(): string {
    const length = this.u32()
    const start = this.at
    this.skip(length)
    return fromUtf8(this.bytes.subarray(start, this.at))
  }
}

export function notWasm(what: string, offset: number): CodedError<CellErrorCode> {
  return new CodedError(
    'CELL_NOT_WASM',
    `This is not a valid WebAssembly module: ${what} (byte ${offset}). Check that the file is a compiled .wasm module.`,
    { facts: { offset } },
  )
}
