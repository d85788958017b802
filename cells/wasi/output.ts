// The standard outputs of a cell, which count what they pass on.
import type { OutputStream } from '../types.ts'
import { LimitExceeded } from './errors.ts'
import type { WasiHost } from './types.ts'

/** Most bytes handed to the host at once: a program may write its whole memory in one call. */
const MAX_CHUNK_BYTES = 1024 * 1024

export class Output {
  readonly #host: WasiHost
  readonly #limitBytes: number
  #stdoutBytes: number
  #stderrBytes: number

  constructor(host: WasiHost, limitBytes: number, stdoutBytes: number, stderrBytes: number) {
    this.#host = host
    this.#limitBytes = limitBytes
    this.#stdoutBytes = stdoutBytes
    this.#stderrBytes = stderrBytes
  }

  get stdoutBytes(): number {
    return this.#stdoutBytes
  }

  get stderrBytes(): number {
    return this.#stderrBytes
  }

  /** Copies `source[start, start + length)` to the host; throws {@link LimitExceeded} after what fits. */
  write(stream: OutputStream, source: Uint8Array, start: number, length: number): void {
    const room = Math.max(0, this.#limitBytes - this.#stdoutBytes - this.#stderrBytes)
    const end = start + Math.min(length, room)
    for (let at = start; at < end; at += MAX_CHUNK_BYTES) {
      const chunk = source.slice(at, Math.min(end, at + MAX_CHUNK_BYTES))
      const offset = stream === 'stdout' ? this.#stdoutBytes : this.#stderrBytes
      if (stream === 'stdout') this.#stdoutBytes += chunk.length
      else this.#stderrBytes += chunk.length
      this.#host.output(stream, offset, chunk)
    }
    if (length > room) throw new LimitExceeded(this.#limitBytes)
  }
}
