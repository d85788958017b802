// One life of a simulated node, from its start to its crash: once it is over, nothing that it waits for happens any more.
import type { Clock, Timer } from '../../core/clock.ts'

export class Life implements Clock {
  readonly node: string
  readonly #clock: Clock
  readonly #onPoint: (life: Life) => void
  #alive = true

  constructor(node: string, clock: Clock, onPoint: (life: Life) => void) {
    this.node = node
    this.#clock = clock
    this.#onPoint = onPoint
  }

  get alive(): boolean {
    return this.#alive
  }

  end(): void {
    this.#alive = false
  }

  now(): number {
    return this.#clock.now()
  }

  mono(): number {
    return this.#clock.mono()
  }

  after(delayMs: number, fn: () => void): Timer {
    return this.#clock.after(delayMs, () => {
      if (this.#alive) fn()
    })
  }

  /** Never resolves when the node crashes meanwhile. */
  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve))
  }

  /** A place at which a crash is of interest: just before and after something leaves a trace outside the memory. */
  point(): void {
    if (this.#alive) this.#onPoint(this)
  }
}
