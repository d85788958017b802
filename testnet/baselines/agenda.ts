// What one participant has to do and when: several timers on the one that a port has.
import type { Port } from '../world/types.ts'

interface Item {
  readonly atMs: number
  readonly fire: () => void
  isOver: boolean
}

export class Agenda {
  readonly #port: Port<never>
  /** Latest first; a dozen at most. */
  readonly #items: Item[] = []

  constructor(port: Port<never>) {
    this.#port = port
  }

  /** Returns what takes it back. */
  after(ms: number, fire: () => void): () => void {
    const item = { atMs: this.#port.mono() + ms, fire, isOver: false }
    let at = this.#items.length
    while (at > 0 && (this.#items[at - 1] as Item).atMs <= item.atMs) at--
    this.#items.splice(at, 0, item)
    if (at === this.#items.length - 1) this.#port.wakeAt(item.atMs)
    return () => {
      item.isOver = true
    }
  }

  /** For ever; the first time after a random part of it. A tick that comes late puts off those that follow. */
  every(ms: () => number, fire: () => void): void {
    const tick = (): void => {
      this.after(ms(), tick)
      fire()
    }
    this.after(ms() * this.#port.random.next(), tick)
  }

  wake(): void {
    const nowMs = this.#port.mono()
    for (let item = this.#items.at(-1); item !== undefined && item.atMs <= nowMs; item = this.#items.at(-1)) {
      this.#items.pop()
      if (!item.isOver) item.fire()
    }
    const next = this.#items.at(-1)
    if (next !== undefined) this.#port.wakeAt(next.atMs)
  }
}
