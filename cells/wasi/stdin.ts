// The standard input of a cell: bytes that have come, some of them read, and whether more may come.
import { concat } from '../../core/bytes.ts'

const NOTHING = new Uint8Array(0)

export class Stdin {
  /** None is empty. */
  readonly #chunks: Uint8Array[] = []
  /** In the first chunk. */
  #position = 0
  #unread = 0
  #read: number
  #closed = false

  /** @param read bytes read before: before the last move */
  constructor(read: number) {
    this.#read = read
  }

  /** Bytes read since the first start. */
  get bytesRead(): number {
    return this.#read
  }

  /** Bytes that have come and were not read. */
  get unread(): number {
    return this.#unread
  }

  get closed(): boolean {
    return this.#closed
  }

  /** `bytes` are kept, not copied. What comes after the end is dropped. */
  append(bytes: Uint8Array): void {
    if (this.#closed || bytes.length === 0) return
    this.#chunks.push(bytes)
    this.#unread += bytes.length
  }

  /** Says that no more will come. */
  close(): void {
    this.#closed = true
  }

  /** Some of the unread bytes, not copied; empty when there are none. */
  peek(): Uint8Array {
    return this.#chunks[0]?.subarray(this.#position) ?? NOTHING
  }

  /** Takes `count` of the bytes that {@link peek} shows. */
  take(count: number): void {
    this.#position += count
    this.#unread -= count
    this.#read += count
    if (this.#position < (this.#chunks[0]?.length ?? 0)) return
    this.#chunks.shift()
    this.#position = 0
  }

  /** All unread bytes, in one piece. */
  rest(): Uint8Array {
    const [, ...more] = this.#chunks
    return more.length === 0 ? this.peek() : concat([this.peek(), ...more])
  }
}
