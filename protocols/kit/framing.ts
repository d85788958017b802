// Messages in a flow of bytes: each is its length as an unsigned varint (LEB128), then that many bytes. Pure.
import type { Uint8ArrayList } from 'uint8arraylist'
import { CodedError } from '../../core/errors.ts'
import { ByteQueue } from './byte-queue.ts'
import type { KitErrorCode } from './errors.ts'

/** Five bytes of seven bits: any length below 2^35, and more than any protocol allows. */
const MAX_HEADER_BYTES = 5

/** What stands before a message of `length` bytes. */
export function frameHeader(length: number): Uint8Array {
  const out: number[] = []
  for (let rest = length; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Uint8Array.from([...out, rest])
    out.push((rest % 128) | 0x80)
  }
}

/** Cuts messages out of bytes that come in pieces of any size. It holds twice what it was given at most, and takes no memory for what was only announced. */
export class FrameReader {
  readonly #maxBytes: number
  readonly #bytes = new ByteQueue()

  /** @param maxBytes longest message */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes that wait to be taken. */
  get waiting(): number {
    return this.#bytes.byteLength
  }

  push(data: Uint8Array | Uint8ArrayList): void {
    if (data instanceof Uint8Array) this.#bytes.append(data)
    else for (const chunk of data) this.#bytes.append(chunk)
  }

  clear(): void {
    this.#bytes.clear()
  }

  /** The next whole message, or undefined until it is there. Throws `MESSAGE_TOO_LARGE` and `MESSAGE_MALFORMED` on its header alone. */
  take(): Uint8Array | undefined {
    let length = 0
    let at = 0
    for (; ; at++) {
      if (at === MAX_HEADER_BYTES) throw fault('MESSAGE_MALFORMED', 'a length without end')
      if (at === this.#bytes.byteLength) return undefined
      const byte = this.#bytes.at(at)
      length += (byte & 0x7f) * 2 ** (7 * at)
      if (byte >= 0x80) continue
      // One length, one spelling (multiformats unsigned-varint): zero bytes at the end are none.
      if (byte === 0 && at > 0) throw fault('MESSAGE_MALFORMED', 'a length that is padded')
      break
    }
    if (length > this.#maxBytes)
      throw fault('MESSAGE_TOO_LARGE', `a message of ${length} bytes, where ${this.#maxBytes} are allowed`)
    const from = at + 1
    if (this.#bytes.byteLength < from + length) return undefined
    return this.#bytes.take(from, from + length)
  }
}

function fault(code: KitErrorCode, what: string): CodedError<KitErrorCode> {
  return new CodedError(code, what)
}
