// The peer's own watch over the wall time of a cell: the cell's thread enforces it, and this is for when that is late.
import type { Clock, Timer } from '../../core/clock.ts'
import { WALL_GRACE_MS } from './limits.ts'

/** What a timer takes at once, milliseconds. */
const MAX_TIMER_MS = 2 ** 31 - 1

export interface WallWatchInit {
  readonly clock: Clock
  /** What the cell may use, milliseconds. */
  readonly wallMs: number
  /** What its results may take when it is over, milliseconds. */
  readonly resultsMs: number
  /** It used that, or, with `results`, its results are late. */
  readonly onLate: (what: 'program' | 'results') => void
}

export class WallWatch {
  readonly #init: WallWatchInit
  #usedMs = 0
  /** Monotonic time at which it last began to run. */
  #since: number | undefined
  #timer: Timer | undefined

  constructor(init: WallWatchInit) {
    this.#init = init
  }

  /** Milliseconds used, until now. */
  get usedMs(): number {
    return this.#since === undefined ? this.#usedMs : this.#usedMs + this.#init.clock.mono() - this.#since
  }

  /** It used so much elsewhere. */
  set usedMs(ms: number) {
    this.#usedMs = ms
  }

  /** The program runs. */
  begin(): void {
    this.end()
    this.#since = this.#init.clock.mono()
    this.#arm()
  }

  /** It does not run. */
  end(): void {
    this.#usedMs = this.usedMs
    this.#since = undefined
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** The program is over and uses none, but its results must come. */
  awaitResults(): void {
    this.end()
    this.#timer = this.#init.clock.after(this.#init.resultsMs, () => this.#init.onLate('results'))
  }

  #arm(): void {
    const left = this.#init.wallMs + WALL_GRACE_MS - this.usedMs
    this.#timer = this.#init.clock.after(Math.min(MAX_TIMER_MS, Math.max(0, left)), () => {
      if (left > MAX_TIMER_MS) this.#arm()
      else this.#init.onLate('program')
    })
  }
}
