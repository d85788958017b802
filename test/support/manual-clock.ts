// A clock that only moves when told to.
import type { Clock, Timer } from '../../core/clock.ts'

interface Pending {
  readonly at: number
  readonly fn: () => void
}

export class ManualClock implements Clock {
  #now: number
  readonly #pending = new Set<Pending>()

  constructor(startMs = 1_700_000_000_000) {
    this.#now = startMs
  }

  now(): number {
    return this.#now
  }

  mono(): number {
    return this.#now
  }

  after(delayMs: number, fn: () => void): Timer {
    const entry = { at: this.#now + delayMs, fn }
    this.#pending.add(entry)
    return { cancel: () => this.#pending.delete(entry) }
  }

  /** Moves on by `ms`, firing what falls due in order, and lets promises settle in between. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      const due = [...this.#pending].filter((entry) => entry.at <= end).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#pending.delete(due)
      this.#now = Math.max(this.#now, due.at)
      due.fn()
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.#now = end
    await new Promise((resolve) => setImmediate(resolve))
  }
}
