// A reply of the control API that does not fit into memory.

/** Bytes that are had while they are sent. */
export class ByteStream {
  readonly bytes: number
  readonly chunks: AsyncIterable<Uint8Array>

  /** @param bytes how many all chunks have together */
  constructor(bytes: number, chunks: AsyncIterable<Uint8Array>) {
    this.bytes = bytes
    this.chunks = chunks
  }
}
