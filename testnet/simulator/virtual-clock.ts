// Time that passes only when something falls due: a minute of protocol takes as long as its events.
import type { Clock, Timer } from '../../core/clock.ts'
import { EventQueue } from './event-queue.ts'

export class VirtualClock implements Clock {
  #now = 1_700_000_000_000
  readonly #events = new EventQueue()

  now(): number {
    return this.#now
  }

  mono(): number {
    return this.#now
  }

  after(delayMs: number, fn: () => void): Timer {
    return { cancel: this.#events.add(this.#now + Math.max(0, delayMs), fn) }
  }

  /** Fires what is due next, unless that is after `until`, and lets all promises settle. False when there was nothing. */
  async step(until: number): Promise<boolean> {
    const { nextAt } = this.#events
    if (nextAt === undefined || nextAt > until) {
      this.#now = Math.max(this.#now, Number.isFinite(until) ? until : 0)
      return false
    }
    this.#now = nextAt
    this.#events.take()?.fire()
    await settled()
    return true
  }
}

/** Resolves when no promise has anything left to do without the clock. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
