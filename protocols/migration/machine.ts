// Runs a pure machine: events in, one at a time and in order; effects out. Knows no stream and no timer.
import { messageOf } from '../../core/errors.ts'

export class Machine<State, Event, Effect> {
  readonly #step: (state: State, event: Event) => { readonly state: State; readonly effects: readonly Effect[] }
  readonly #perform: (effect: Effect) => void
  readonly #waiting: Event[] = []
  #state: State
  #stepping = false
  #halted = false

  constructor(
    state: State,
    step: (state: State, event: Event) => { readonly state: State; readonly effects: readonly Effect[] },
    perform: (effect: Effect) => void,
  ) {
    this.#state = state
    this.#step = step
    this.#perform = perform
  }

  get state(): State {
    return this.#state
  }

  /** Begins from a recovered state with its first effects. */
  recover(state: State, effects: readonly Effect[]): void {
    this.#state = state
    for (const effect of effects) this.#perform(effect)
  }

  /** An event that comes while another is handled waits for its turn. After `halt` nothing happens any more. */
  dispatch(event: Event): void {
    this.#waiting.push(event)
    if (this.#stepping) return
    this.#stepping = true
    try {
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
        if (this.#halted) continue
        const { state, effects } = this.#step(this.#state, next)
        this.#state = state
        for (const effect of effects) this.#perform(effect)
      }
    } finally {
      this.#stepping = false
    }
  }

  halt(): void {
    this.#halted = true
  }
}

/** Why `work` failed, for people; undefined when it did not. */
export async function failureOf(work: () => Promise<void>): Promise<string | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    return messageOf(error)
  }
}

/** Work done one after the other, whatever fails: a machine relies on the order of its writes. */
export class Chain {
  #last: Promise<void> = Promise.resolve()

  /** `work` must not reject. */
  add(work: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(work)
    return this.#last
  }

  idle(): Promise<void> {
    return this.#last
  }
}
