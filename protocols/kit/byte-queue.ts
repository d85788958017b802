// Bytes in order of arrival, in one flat block: a chunk costs what its bytes cost, so that a peer which sends them one by one
// gains nothing. (A list of a million chunks takes half a gigabyte, and its head is taken off in linear time.)

/** An empty queue keeps a block of at most this many bytes for its next use: one for pieces of 256 KiB grows to four times that. */
const KEEP_BYTES = 2 * 1024 * 1024

export class ByteQueue {
  #block = new Uint8Array(0)
  #start = 0
  #end = 0

  get byteLength(): number {
    return this.#end - this.#start
  }

  /** The byte at `index`, which must be below `byteLength`. */
  at(index: number): number {
    return this.#block[this.#start + index] ?? 0
  }

  append(chunk: Uint8Array): void {
    if (this.#end + chunk.length > this.#block.length) this.#makeRoom(chunk.length)
    this.#block.set(chunk, this.#end)
    this.#end += chunk.length
  }

  /** A copy of the bytes from `from` to `to`; all before `to` is forgotten. */
  take(from: number, to: number): Uint8Array {
    const out = this.#block.slice(this.#start + from, this.#start + to)
    this.#start += to
    if (this.#start === this.#end) this.clear()
    return out
  }

  clear(): void {
    this.#start = 0
    this.#end = 0
    if (this.#block.length > KEEP_BYTES) this.#block = new Uint8Array(0)
  }

  /** Moves what is left to the front; into a block twice as large where it fills more than half, which keeps the work linear. */
  #makeRoom(bytes: number): void {
    const left = this.#block.subarray(this.#start, this.#end)
    const wanted = left.length + bytes
    if (wanted * 2 > this.#block.length) this.#block = new Uint8Array(wanted * 2)
    this.#block.set(left)
    this.#start = 0
    this.#end = left.length
  }
}
