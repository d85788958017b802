// The memory that a cell's worker shares with its host process: a bell, output credit, and the usage so far.
// The program runs synchronously; this is how it hears of anything, and how it can be read without asking it.
import type { CellUsage } from '../types.ts'

const RING = 0
const ACKED = 1
const USAGE_AT = 64
const USAGE_FIELDS = ['busyMs', 'wallMs', 'fuel', 'memoryBytes', 'outputBytes', 'diskBytes'] as const

export class Control {
  readonly buffer: SharedArrayBuffer
  readonly #words: Int32Array
  readonly #usage: Float64Array

  constructor(buffer = new SharedArrayBuffer(USAGE_AT + USAGE_FIELDS.length * 8)) {
    this.buffer = buffer
    this.#words = new Int32Array(buffer, 0, 2)
    this.#usage = new Float64Array(buffer, USAGE_AT)
  }

  /** Tells the worker that a message or credit awaits it, and wakes it when it sleeps. */
  ring(): void {
    Atomics.add(this.#words, RING, 1)
    Atomics.notify(this.#words, RING)
  }

  /** Number of rings so far, modulo 2^32. */
  get rings(): number {
    return Atomics.load(this.#words, RING)
  }

  /** Sleeps until the number of rings is no longer `seen`, at most `maxMs`. Only in a worker. */
  waitForRing(seen: number, maxMs: number): void {
    Atomics.wait(this.#words, RING, seen, maxMs)
  }

  /** Grants credit for output that has left the host process. */
  acknowledge(bytes: number): void {
    Atomics.add(this.#words, ACKED, bytes)
    this.ring()
  }

  /** Bytes acknowledged so far, modulo 2^32. */
  get acknowledged(): number {
    return Atomics.load(this.#words, ACKED)
  }

  publish(usage: CellUsage): void {
    for (const [i, field] of USAGE_FIELDS.entries()) this.#usage[i] = usage[field]
  }

  /** As last published: at the last poll, or at most 100 ms ago in a wait. */
  usage(): CellUsage {
    const at = (field: (typeof USAGE_FIELDS)[number]): number => this.#usage[USAGE_FIELDS.indexOf(field)] ?? 0
    return {
      busyMs: at('busyMs'),
      wallMs: at('wallMs'),
      fuel: at('fuel'),
      memoryBytes: at('memoryBytes'),
      outputBytes: at('outputBytes'),
      diskBytes: at('diskBytes'),
    }
  }
}
