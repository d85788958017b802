// Gathers a program's writes into few messages, in order. Pure: `send` and the clock are given.
import type { OutputStream } from '../types.ts'
import { OUTPUT_BATCH_BYTES, OUTPUT_BATCH_MS } from './limits.ts'

export interface OutputPart {
  readonly stream: OutputStream
  /** Position of `bytes` in that stream since the cell's first start. */
  readonly offset: number
  readonly bytes: Uint8Array
}

export class OutputBatch {
  readonly #send: (parts: readonly OutputPart[], bytes: number) => void
  #parts: { stream: OutputStream; offset: number; chunks: Uint8Array[]; length: number }[] = []
  #bytes = 0
  #since = 0

  constructor(send: (parts: readonly OutputPart[], bytes: number) => void) {
    this.#send = send
  }

  /** Keeps `bytes`: they must not change afterwards. */
  add(stream: OutputStream, offset: number, bytes: Uint8Array, now: number): void {
    if (bytes.length === 0) return
    if (this.#bytes === 0) this.#since = now
    const last = this.#parts.at(-1)
    const chunk = bytes
    if (last?.stream === stream) {
      last.chunks.push(chunk)
      last.length += chunk.length
    } else this.#parts.push({ stream, offset, chunks: [chunk], length: chunk.length })
    this.#bytes += chunk.length
    if (this.#bytes >= OUTPUT_BATCH_BYTES) this.flush()
  }

  flushIfDue(now: number): void {
    if (this.#bytes > 0 && now - this.#since >= OUTPUT_BATCH_MS) this.flush()
  }

  flush(): void {
    if (this.#bytes === 0) return
    const parts = this.#parts.map(({ stream, offset, chunks, length }) => ({
      stream,
      offset,
      bytes: chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : join(chunks, length),
    }))
    const bytes = this.#bytes
    this.#parts = []
    this.#bytes = 0
    this.#send(parts, bytes)
  }
}

function join(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const out = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    out.set(chunk, at)
    at += chunk.length
  }
  return out
}
