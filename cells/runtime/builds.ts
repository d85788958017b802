// The two builds of one program on one memory: the fast one, and while it is being copied the one that notes its writes.
// The program is in one of them at a time, and changes over while it is suspended.
import { ABI } from '../instrument/abi.ts'
import { type PollAnswer, type RunOutcome, Suspendable } from '../instrument/driver.ts'

export interface BuildsInit {
  readonly module: WebAssembly.Module
  readonly imports: WebAssembly.Imports
  readonly onPoll: () => PollAnswer
  /** After a rewind, when the guest is about to execute its next instruction. */
  readonly onResumed: () => void
  readonly budget: number
}

export class Builds {
  readonly memory: WebAssembly.Memory | undefined
  readonly #init: BuildsInit
  readonly #fast: Suspendable
  #tracking: Suspendable | undefined
  #current: Suspendable
  /** Of tracking builds that were left. */
  #pollsBefore = 0

  constructor(init: BuildsInit) {
    this.#init = init
    this.#fast = new Suspendable(init)
    this.#current = this.#fast
    const memory = this.#fast.instance.exports[ABI.memory]
    this.memory = memory instanceof WebAssembly.Memory ? memory : undefined
  }

  /** From the start. */
  run(): RunOutcome {
    return this.#fast.run()
  }

  /** The one that the program is in. */
  get current(): Suspendable {
    return this.#current
  }

  /** Polls passed in all builds. */
  get pollsPassed(): number {
    return this.#fast.pollsPassed + (this.#tracking?.pollsPassed ?? 0) + this.#pollsBefore
  }

  /** The guest's memory as it is now; empty when it has none. */
  get bytes(): Uint8Array {
    return this.memory === undefined ? new Uint8Array(0) : new Uint8Array(this.memory.buffer)
  }

  /** Goes over to the tracking build `module`; answers its map of pages, all unwritten. */
  track(module: WebAssembly.Module): Uint8Array {
    this.untrack()
    const tracking = new Suspendable({ ...this.#init, module, sharesWith: this.#fast })
    tracking.takeOver(this.#fast)
    tracking.budget = this.#fast.budget
    this.#tracking = tracking
    this.#current = tracking
    return tracking.dirtyMap
  }

  /** Goes back to the fast build; nothing when the program is in it. */
  untrack(): void {
    if (this.#tracking === undefined) return
    this.#fast.takeOver(this.#tracking)
    this.#fast.budget = this.#tracking.budget
    this.#pollsBefore += this.#tracking.pollsPassed
    this.#tracking = undefined
    this.#current = this.#fast
  }
}
