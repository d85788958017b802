// Time that passes only when something falls due: a minute of protocol takes as long as its events.
import type { Clock, Timer } from '../../core/clock.ts'

interface Entry {
  readonly at: number
  readonly serial: number
  readonly fn: () => void
}

export class VirtualClock implements Clock {
  #now = 1_700_000_000_000
  #serial = 0
  readonly #entries = new Set<Entry>()

  now(): number {
    return this.#now
  }

  mono(): number {
    return this.#now
  }

  after(delayMs: number, fn: () => void): Timer {
    const entry = { at: this.#now + Math.max(0, delayMs), serial: this.#serial++, fn }
    this.#entries.add(entry)
    return { cancel: () => this.#entries.delete(entry) }
  }

  /** Fires what is due next, unless that is after `until`, and lets all promises settle. False when there was nothing. */
  async step(until: number): Promise<boolean> {
    let next: Entry | undefined
    for (const entry of this.#entries) {
      const isSooner = next === undefined || entry.at < next.at || (entry.at === next.at && entry.serial < next.serial)
      if (isSooner) next = entry
    }
    if (next === undefined || next.at > until) {
      this.#now = Math.max(this.#now, Number.isFinite(until) ? until : 0)
      return false
    }
    this.#entries.delete(next)
    this.#now = next.at
    next.fn()
    await settled()
    return true
  }
}

/** Resolves when no promise has anything left to do without the clock. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
