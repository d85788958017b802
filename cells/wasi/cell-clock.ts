// The clocks of a cell, in whole microseconds: the monotonic one counts from the cell's first start and stands still
// while the cell is between two hosts, so that it never runs backwards and no sleep is cut short by a move.
import type { Clock } from '../../core/clock.ts'
import { ClockId } from './abi.ts'

/** What the clocks say of their resolution. */
export const RESOLUTION_US = 1

export class CellClock {
  readonly #clock: Clock
  readonly #cpuMs: (() => number) | undefined
  readonly #originMs: number
  readonly #offsetUs: number
  #cpuUs = 0

  /**
   * @param offsetUs where the monotonic clock goes on
   * @param cpuMs see `WasiSurroundings`
   */
  constructor(clock: Clock, offsetUs: number, cpuMs: (() => number) | undefined) {
    this.#clock = clock
    this.#cpuMs = cpuMs
    this.#originMs = clock.mono()
    this.#offsetUs = offsetUs
  }

  us(id: ClockId): number {
    if (id === ClockId.REALTIME) return this.realtimeUs()
    return id === ClockId.MONOTONIC ? this.monotonicUs() : this.cpuUs()
  }

  /** Since the Unix epoch. */
  realtimeUs(): number {
    return Math.max(0, Math.floor(this.#clock.now() * 1000))
  }

  monotonicUs(): number {
    return this.#offsetUs + Math.max(0, Math.floor((this.#clock.mono() - this.#originMs) * 1000))
  }

  /** What the program has used of a processor since its first start: both CPU clocks, for it has one thread. */
  cpuUs(): number {
    if (this.#cpuMs === undefined) return this.monotonicUs()
    this.#cpuUs = Math.max(this.#cpuUs, Math.floor(this.#cpuMs() * 1000))
    return this.#cpuUs
  }
}
