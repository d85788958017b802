// What this peer placed lately: other peers' records show it only after a while, and until then it must be remembered here.
import type { RecentPlacements } from './types.ts'

/** Longer than a record takes to come back by anti-entropy, shorter than most waits. */
export const RECENT_MS = 3_000

export class Recent {
  readonly #placed: { readonly peer: string; readonly ms: number; readonly at: number }[] = []

  /** `now` is monotonic. */
  note(peer: string, predictedMs: number, now: number): void {
    this.#forget(now)
    this.#placed.push({ peer, ms: predictedMs, at: now })
  }

  at(peer: string, now: number): RecentPlacements {
    this.#forget(now)
    const there = this.#placed.filter((placed) => placed.peer === peer)
    return { cells: there.length, ms: there.reduce((sum, placed) => sum + placed.ms, 0) }
  }

  #forget(now: number): void {
    while (this.#placed[0] !== undefined && this.#placed[0].at + RECENT_MS <= now) this.#placed.shift()
  }
}
