// The two builds of one program on the same memories: the fast one, and while it is being copied the one that notes its writes.
// The program is in one of them at a time, and changes over while it is suspended.
import { DIRTY_MAP_SHIFT } from '../instrument/abi.ts'
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
  /** The guest's, in the order of their indices. */
  readonly memories: readonly WebAssembly.Memory[]
  /** The one that it exports as `memory`: what WASI reads and writes. Where it exports none so, its first. */
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
    this.memories = this.#fast.memories
    const { memory } = this.#fast.instance.exports
    this.memory = memory instanceof WebAssembly.Memory ? memory : this.memories[0]
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

  /** The guest's memories as they are now. */
  get bytes(): Uint8Array[] {
    return this.memories.map(({ buffer }) => new Uint8Array(buffer))
  }

  get memoryBytes(): number {
    return this.memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0)
  }

  /** Goes over to the tracking build `module`; answers a map of pages for each memory, all unwritten. */
  track(module: WebAssembly.Module): Uint8Array[] {
    this.untrack()
    const tracking = new Suspendable({ ...this.#init, module, sharesWith: this.#fast })
    tracking.takeOver(this.#fast)
    tracking.budget = this.#fast.budget
    this.#tracking = tracking
    this.#current = tracking
    const map = tracking.dirtyMap
    return this.memories.map((_, index) => map.subarray(index << DIRTY_MAP_SHIFT, (index + 1) << DIRTY_MAP_SHIFT))
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
