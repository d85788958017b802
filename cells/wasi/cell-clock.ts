// The clocks of a cell, in whole microseconds: the monotonic one counts from the cell's first start and stands still
// while the cell is between two hosts, so that it never runs backwards and no sleep is cut short by a move.
import type { Clock } from '../../core/clock.ts'

export class CellClock {
  readonly #clock: Clock
  readonly #originMs: number
  readonly #offsetUs: number

  /** @param offsetUs where the monotonic clock goes on */
  constructor(clock: Clock, offsetUs: number) {
    this.#clock = clock
    this.#originMs = clock.mono()
    this.#offsetUs = offsetUs
  }

  /** Since the Unix epoch. */
  realtimeUs(): number {
    return Math.max(0, Math.floor(this.#clock.now() * 1000))
  }

  monotonicUs(): number {
    return this.#offsetUs + Math.max(0, Math.floor((this.#clock.mono() - this.#originMs) * 1000))
  }
}
