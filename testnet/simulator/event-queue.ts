// What is to happen, soonest first, and in the order in which it was said among what falls due at once. A simulated mesh has a
// hundred thousand timers, most of which are cancelled before they fire.
import TinyQueue from 'tinyqueue'

export interface QueuedEvent {
  readonly at: number
  readonly fire: () => void
}

interface Entry extends QueuedEvent {
  readonly serial: number
  isOver: boolean
}

/** So many may lie about cancelled before it is looked whether they are most of all. */
const CANCELLED_AT_LEAST = 64

export class EventQueue {
  #queue = queueOf([])
  #serial = 0
  #cancelled = 0

  /** Returns what takes it back; to call that later, or twice, does nothing. */
  add(at: number, fire: () => void): () => void {
    const entry = { at, fire, serial: this.#serial++, isOver: false }
    this.#queue.push(entry)
    return () => this.#cancel(entry)
  }

  /** When the next one is due; undefined when there is none. */
  get nextAt(): number | undefined {
    this.#dropCancelled()
    return this.#queue.peek()?.at
  }

  /** Takes the next one out. */
  take(): QueuedEvent | undefined {
    this.#dropCancelled()
    const first = this.#queue.pop()
    // So that cancelling it now is cancelling what is over.
    if (first !== undefined) first.isOver = true
    return first
  }

  #cancel(entry: Entry): void {
    if (entry.isOver) return
    entry.isOver = true
    this.#cancelled++
    if (this.#cancelled < CANCELLED_AT_LEAST || this.#cancelled * 2 < this.#queue.length) return
    this.#queue = queueOf(this.#queue.data.filter(({ isOver }) => !isOver))
    this.#cancelled = 0
  }

  #dropCancelled(): void {
    while (this.#queue.peek()?.isOver) {
      this.#queue.pop()
      this.#cancelled--
    }
  }
}

function queueOf(entries: Entry[]): TinyQueue<Entry> {
  return new TinyQueue(entries, (a, b) => a.at - b.at || a.serial - b.serial)
}
