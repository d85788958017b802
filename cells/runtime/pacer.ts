// How often a running program calls out, and how long it must sleep to stay within its share. Pure: time is told.
import { FIRST_BUDGET, MAX_BUDGET, MIN_SLEEP_MS, POLL_TARGET_MS } from './limits.ts'

/** The pace of one cell: slices of running between two polls, sleeps in between. */
export class Pacer {
  /** Polls that the next slice may pass. */
  budget = FIRST_BUDGET
  /** Milliseconds the program was executing. */
  busyMs: number
  readonly #owedPerMs: number
  #owedMs = 0
  #since = 0

  /** `share` in (0, 1]: a cell sleeps `1/share - 1` for every millisecond it ran. */
  constructor(share: number, busyMs = 0) {
    this.#owedPerMs = 1 / share - 1
    this.busyMs = busyMs
  }

  /** The program runs from now on. */
  begin(now: number): void {
    this.#since = now
  }

  /** The program stopped running: at a poll, in a wait, or at its end. */
  end(now: number): void {
    const slice = Math.max(0, now - this.#since)
    this.#since = now
    this.busyMs += slice
    this.#owedMs += slice * this.#owedPerMs
  }

  /** Milliseconds since the slice began, while the program runs. */
  sliceMsAt(now: number): number {
    return now - this.#since
  }

  /** As of now, while the program runs. */
  busyMsAt(now: number): number {
    return this.busyMs + Math.max(0, now - this.#since)
  }

  /** As `end`, after a whole budget: adapts it towards one poll per `POLL_TARGET_MS`. */
  endSlice(now: number): void {
    const slice = Math.max(0, now - this.#since)
    this.end(now)
    const factor = Math.min(4, Math.max(1 / 64, POLL_TARGET_MS / Math.max(slice, 1e-6)))
    this.budget = Math.min(MAX_BUDGET, Math.max(1, Math.round(this.budget * factor)))
  }

  /** Milliseconds to sleep now; 0 while it is not worth it. */
  get sleepMs(): number {
    return this.#owedMs >= MIN_SLEEP_MS ? this.#owedMs : 0
  }

  /** `sleptMs` may be more than was asked for: the surplus counts. */
  slept(sleptMs: number): void {
    this.#owedMs -= sleptMs
  }
}
