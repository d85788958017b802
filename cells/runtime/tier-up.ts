// When a running program is to leave its stack and come back to it. V8 compiles a function again, optimised, while it
// runs, but a call that is under way stays in the code it began with: a loop in `main` would never be fast. Coming back
// enters rewind copies, which V8 has not compiled; they run until they are worth optimising, and the second return
// enters what was made of them. Pure: time is told.
import { TIER_UP_AFTER_MS, TIER_UP_AGAIN_MS, TIER_UP_FACTOR } from './limits.ts'

export class TierUp {
  #nextMs: number
  #pairFromMs: number
  #second = false

  /** `busyMs`: how long the program ran before, elsewhere. */
  constructor(busyMs: number) {
    this.#pairFromMs = TIER_UP_AFTER_MS
    this.#nextMs = busyMs + TIER_UP_AFTER_MS
  }

  /** True once for each return; `busyMs` never goes down. */
  due(busyMs: number): boolean {
    if (busyMs < this.#nextMs) return false
    this.#second = !this.#second
    if (this.#second) this.#nextMs = busyMs + TIER_UP_AGAIN_MS
    else {
      this.#pairFromMs *= TIER_UP_FACTOR
      this.#nextMs = busyMs + this.#pairFromMs
    }
    return true
  }
}
