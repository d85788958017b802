// How far away connected peers are: measured soon after they are met, refreshed now and then, smoothed.
import type { Clock } from '../../core/clock.ts'
import type { PeerKey } from './types.ts'

/** One round trip to a connected peer, milliseconds. */
export type Measure = (peer: PeerKey, signal: AbortSignal) => Promise<number>

/** The first ones after connecting wait for handshakes and cold code: the least of these is the nearest to the truth. */
const FIRST_PINGS = 3
const REFRESH_MS = 30_000
/** Smoothed as TCP does it (RFC 6298, 2.3). */
const ALPHA = 1 / 8

interface Estimate {
  readonly rttMs: number
  readonly at: number
}

export class RoundTrips {
  readonly #measure: Measure
  readonly #clock: Clock
  readonly #estimates = new Map<PeerKey, Estimate>()
  readonly #measuring = new Set<PeerKey>()

  constructor(measure: Measure, clock: Clock) {
    this.#measure = measure
    this.#clock = clock
  }

  /** Milliseconds; undefined until measured. */
  of(peer: PeerKey): number | undefined {
    return this.#estimates.get(peer)?.rttMs
  }

  /** Measures unless that was done lately, or is being done. Rejects with what `measure` rejects with. */
  async refresh(peer: PeerKey, signal: AbortSignal): Promise<void> {
    const before = this.#estimates.get(peer)
    if (this.#measuring.has(peer) || (before !== undefined && this.#clock.mono() - before.at < REFRESH_MS)) return
    this.#measuring.add(peer)
    try {
      let rttMs = await this.#measure(peer, signal)
      if (before === undefined)
        for (let pings = 1; pings < FIRST_PINGS; pings++) rttMs = Math.min(rttMs, await this.#measure(peer, signal))
      else rttMs = before.rttMs + (rttMs - before.rttMs) * ALPHA
      // Forgotten meanwhile: the next connection may go another way.
      if (this.#measuring.has(peer)) this.#estimates.set(peer, { rttMs, at: this.#clock.mono() })
    } finally {
      this.#measuring.delete(peer)
    }
  }

  forget(peer: PeerKey): void {
    this.#estimates.delete(peer)
    this.#measuring.delete(peer)
  }
}
