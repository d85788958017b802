// What is to happen, soonest first, and in the order in which it was said among what falls due at once. A binary heap: a simulated
// mesh has a hundred thousand timers, most of which are cancelled before they fire.

export interface QueuedEvent {
  readonly at: number
  readonly fire: () => void
}

interface Entry extends QueuedEvent {
  readonly serial: number
  isCancelled: boolean
}

export class EventQueue {
  readonly #heap: Entry[] = []
  #serial = 0
  #cancelled = 0

  /** Returns what takes it back; to call that later, or twice, does nothing. */
  add(at: number, fire: () => void): () => void {
    const entry = { at, fire, serial: this.#serial++, isCancelled: false }
    this.#heap.push(entry)
    this.#rise(this.#heap.length - 1)
    return () => this.#cancel(entry)
  }

  /** When the next one is due; undefined when there is none. */
  get nextAt(): number | undefined {
    return this.#heap[0]?.at
  }

  /** Takes the next one out. */
  take(): QueuedEvent | undefined {
    const first = this.#heap[0]
    if (first === undefined) return undefined
    // So that cancelling it now is cancelling what is over.
    first.isCancelled = true
    this.#removeFirst()
    this.#dropCancelled()
    return first
  }

  #cancel(entry: Entry): void {
    if (entry.isCancelled) return
    entry.isCancelled = true
    this.#cancelled++
    this.#dropCancelled()
    // Those far down are in nobody's way until they are more than the others.
    if (this.#cancelled > 64 && this.#cancelled * 2 > this.#heap.length) this.#compact()
  }

  /** The first one is always one that will fire. */
  #dropCancelled(): void {
    while (this.#heap[0]?.isCancelled) {
      this.#cancelled--
      this.#removeFirst()
    }
  }

  #compact(): void {
    const kept = this.#heap.filter(({ isCancelled }) => !isCancelled).sort((a, b) => (isSooner(a, b) ? -1 : 1))
    for (const [k, entry] of kept.entries()) this.#heap[k] = entry
    this.#heap.length = kept.length
    this.#cancelled = 0
  }

  #removeFirst(): void {
    const last = this.#heap.pop()
    if (last === undefined || this.#heap.length === 0) return
    this.#heap[0] = last
    this.#sink(0)
  }

  #rise(from: number): void {
    let k = from
    while (k > 0) {
      const parent = (k - 1) >> 1
      if (!this.#swapped(parent, k)) return
      k = parent
    }
  }

  #sink(from: number): void {
    let k = from
    for (;;) {
      const [left, right] = [2 * k + 1, 2 * k + 2]
      const [a, b] = [this.#heap[left], this.#heap[right]]
      const child = a !== undefined && b !== undefined && isSooner(b, a) ? right : left
      if (!this.#swapped(k, child)) return
      k = child
    }
  }

  /** Puts the two in order; true when they were not. */
  #swapped(upper: number, lower: number): boolean {
    const [a, b] = [this.#heap[upper], this.#heap[lower]]
    if (a === undefined || b === undefined || !isSooner(b, a)) return false
    this.#heap[upper] = b
    this.#heap[lower] = a
    return true
  }
}

function isSooner(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.serial < b.serial)
}
