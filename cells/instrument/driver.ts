// The one place that knows the ABI of an instrumented module from the JavaScript side. Knows nothing of WASI.
import { CodedError } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import { ABI, FAULT, FRAME_BASE, MAX_FRAME_BYTES, memoryName, WASM_PAGE_BYTES } from './abi.ts'
import { References } from './references.ts'

/** `continue` grants another budget; `unwind` suspends the program here. */
export type PollAnswer = 'continue' | 'unwind'

export type RunOutcome = 'returned' | 'suspended'

export interface SuspendableInit {
  /** Compiled from `Instrumented.bytes`. */
  readonly module: WebAssembly.Module
  /** The program's own imports, by module name. `proc_exit` and host failures may throw: it passes through as it is. */
  readonly imports: WebAssembly.Imports
  /**
   * Called when the budget is used up, with the program stopped at a poll; never while rewinding. Whatever it throws
   * ends the run and comes out of `run` or `rewind`; the instance is lost then.
   */
  readonly onPoll: () => PollAnswer
  /** Polls (loop turns, recursive calls) between two calls of `onPoll`. @default 100000 */
  readonly budget?: number
  /** Called when a rewind has arrived at the poll where the program was suspended, before the guest goes on. */
  readonly onResumed?: () => void
  /** Of a tracking build: a suspended instance of the same program, whose memories it shares. */
  readonly sharesWith?: Suspendable
}

type State = 'fresh' | 'running' | 'suspended' | 'over'

/** The linear memories that an instrumented program exports, in the order of their indices. */
export function memoriesOf({ exports }: WebAssembly.Instance): WebAssembly.Memory[] {
  const memories: WebAssembly.Memory[] = []
  for (let next = exports[ABI.memory]; next instanceof WebAssembly.Memory; next = exports[memoryName(memories.length)])
    memories.push(next)
  return memories
}

/**
 * An instance of an instrumented module. `run` (or `putGlobals`, `putFrames`, `rewind` in a fresh instance) until it
 * says `returned`; after `suspended` the state is in `memory`, `takeFrames` and `takeGlobals`, and `rewind` goes on in
 * place. Traps and exceptions of imports come out of `run` and `rewind` as they are, and the instance is lost.
 */
export class Suspendable {
  /** Polls between two calls of `onPoll`; a change counts from the next one. 0 (at every poll) to 2^31 - 1. */
  budget: number
  readonly instance: WebAssembly.Instance
  readonly #onPoll: () => PollAnswer
  readonly #onResumed: (() => void) | undefined
  readonly #frames: WebAssembly.Memory
  readonly #top: WebAssembly.Global<'i32'>
  readonly #fuel: WebAssembly.Global<'i32'>
  readonly #references: References
  #granted = 0
  #used = 0
  #hostFailure: { readonly error: unknown } | undefined
  #rewinding = false
  #rehearsing = false
  #state: State = 'fresh'

  constructor(init: SuspendableInit) {
    this.budget = init.budget ?? 100_000
    this.#onPoll = init.onPoll
    this.#onResumed = init.onResumed
    const guards = WebAssembly.Module.exports(init.module).some(({ name }) => name === ABI.trap)
    this.instance = new WebAssembly.Instance(init.module, {
      ...(guards ? this.#guarded(init.imports) : init.imports),
      [ABI.pollModule]: {
        [ABI.pollName]: guards ? this.#guard(() => this.#poll()) : () => this.#poll(),
        [ABI.referenceName]: (value: unknown) => this.#references.positionOf(value),
        ...(init.sharesWith ? init.sharesWith.#memories() : {}),
      },
    })
    this.#references = new References(this.instance.exports)
    this.#frames = this.#exported(ABI.frames)
    this.#top = this.#exported(ABI.top)
    this.#fuel = this.#exported(ABI.fuel)
  }

  /** The guest's first linear memory; its `buffer` changes when the guest grows it. Throws when the guest has none. */
  get memory(): WebAssembly.Memory {
    return this.#exported(ABI.memory)
  }

  /** All linear memories of the guest, in the order of their indices. */
  get memories(): WebAssembly.Memory[] {
    return memoriesOf(this.instance)
  }

  /** Polls passed since this instance was made. Exact while suspended or over; up to one budget behind in an import. */
  get pollsPassed(): number {
    return this.#used + Math.max(0, this.#granted - this.#fuel.value)
  }

  /** Runs the program from its start. */
  run(): RunOutcome {
    if (this.#state !== 'fresh') throw new Error(`run() in state ${this.#state}`)
    this.#grant()
    this.#fuel.value = this.#granted
    return this.#enter(ABI.run)
  }

  /** Goes on from the frames that are in place: after `suspended`, or after `putFrames` in a fresh instance. */
  rewind(): RunOutcome {
    if (this.#state !== 'suspended') throw new Error(`rewind() in state ${this.#state}`)
    this.#rewinding = true
    // At zero the first poll, that of the deepest frame, calls out: that is how the end of the rewind is seen.
    this.#granted = 0
    this.#fuel.value = 0
    return this.#enter(ABI.rewind)
  }

  /**
   * Goes on where `from`, another build of the same program on the same memories, is suspended: `rewind` follows. `from`
   * keeps what it was until it takes over again.
   */
  takeOver(from: Suspendable): void {
    from.#mustBe('suspended')
    if (this.#state !== 'fresh') this.#mustBe('suspended')
    from.#call(ABI.saveGlobals)
    this.#top.value = from.#top.value
    this.#references.put(from.#references.take())
    this.#call(ABI.loadGlobals)
    this.#state = 'suspended'
  }

  /**
   * Enters the frames in place and leaves them again before the guest executes anything: the engine has then compiled
   * what `rewind` needs. The program stays suspended.
   */
  rehearse(): void {
    this.#rehearsing = true
    try {
      this.rewind()
    } finally {
      this.#rehearsing = false
    }
  }

  /** Of a tracking build: a byte per page of 4 KiB, not zero when it was written to since somebody set it to zero. */
  get dirtyMap(): Uint8Array {
    return new Uint8Array(this.#exported<WebAssembly.Memory>(ABI.dirty).buffer)
  }

  #memories(): Record<string, WebAssembly.ImportValue> {
    const guest = this.memories.map((memory, index) => [`${ABI.guestMemory}${index}`, memory] as const)
    return { [ABI.frameMemory]: this.#frames, ...Object.fromEntries(guest) }
  }

  /** From inside a blocking import, before it returns `BLOCK_AGAIN`: makes the poll that follows call `onPoll`. */
  interrupt(): void {
    this.#used += Math.max(0, this.#granted - this.#fuel.value)
    this.#granted = 0
    this.#fuel.value = 0
  }

  /**
   * A copy of the call stack of a suspended program. Throws `CELL_STACK_TOO_DEEP` when it is too large to be moved: the
   * program can still go on here.
   */
  takeFrames(): Uint8Array {
    this.#mustBe('suspended')
    const bytes = this.#top.value - FRAME_BASE
    if (bytes > MAX_FRAME_BYTES) throw tooDeep(`A call stack of ${bytes} bytes cannot be moved.`)
    return new Uint8Array(this.#frames.buffer).slice(FRAME_BASE, this.#top.value)
  }

  /**
   * Everything of a suspended program that is neither memory nor frames: every mutable global, bit for bit, in the
   * module's order, which segments were dropped, and the tables.
   */
  takeGlobals(): Uint8Array {
    this.#mustBe('suspended')
    const size = this.#call(ABI.saveGlobals)
    const at = this.#top.value
    const tables = this.#references.take()
    const out = new Uint8Array(size + tables.length)
    out.set(new Uint8Array(this.#frames.buffer, at, size))
    out.set(tables, size)
    return out
  }

  /** Gives a fresh instance the call stack of another; the caller fills `memory` and calls `putGlobals`. */
  putFrames(frames: Uint8Array): void {
    if (this.#state !== 'fresh' && this.#state !== 'suspended') this.#mustBe('fresh')
    if (frames.length > MAX_FRAME_BYTES) throw tooDeep(`A call stack of ${frames.length} bytes cannot be moved.`)
    this.#write(frames, FRAME_BASE)
    this.#top.value = FRAME_BASE + frames.length
    this.#state = 'suspended'
  }

  /** Throws `SNAPSHOT_MALFORMED` when this is not what the module's globals and tables can be. */
  putGlobals(globals: Uint8Array): void {
    if (this.#state !== 'fresh' && this.#state !== 'suspended') this.#mustBe('fresh')
    const expected = this.#call(ABI.saveGlobals)
    if (globals.length < expected)
      throw malformed(`The snapshot holds ${globals.length} bytes of globals, the module has ${expected}.`)
    this.#references.put(globals.subarray(expected))
    this.#write(globals.subarray(0, expected), this.#top.value)
    try {
      this.#call(ABI.loadGlobals)
    } catch (error) {
      throw malformed('The globals in the snapshot name a function that the module does not have.', error)
    }
  }

  #poll(): number {
    if (this.#rewinding) {
      this.#rewinding = false
      if (this.#rehearsing) return -1
      this.#onResumed?.()
      return this.#grant()
    }
    this.#used += this.#granted + 1
    this.#granted = 0
    this.#fuel.value = 0
    return this.#onPoll() === 'continue' ? this.#grant() : -1
  }

  #guarded(imports: WebAssembly.Imports): WebAssembly.Imports {
    const module = (entries: Record<string, WebAssembly.ImportValue>): Record<string, WebAssembly.ImportValue> =>
      Object.fromEntries(
        Object.entries(entries).map(([name, value]) => [
          name,
          typeof value === 'function' ? this.#guard(value as WebAssembly.ExportedFunction) : value,
        ]),
      )
    return Object.fromEntries(Object.entries(imports).map(([name, entries]) => [name, module(entries)]))
  }

  /** The guest catches what is thrown to it, but no trap: so the program ends by a trap, and the cause comes out here. */
  #guard(call: (...args: never[]) => unknown): (...args: never[]) => unknown {
    return (...args) => {
      try {
        return call(...args)
      } catch (error) {
        this.#hostFailure ??= { error }
        return this.#call(ABI.trap)
      }
    }
  }

  #grant(): number {
    this.#granted = this.budget
    return this.#granted
  }

  #enter(name: string): RunOutcome {
    this.#state = 'running'
    try {
      const unwound = this.#call(name) !== 0
      this.#state = unwound ? 'suspended' : 'over'
      return unwound ? 'suspended' : 'returned'
    } catch (error) {
      throw this.#failure(error)
    } finally {
      if (this.#state === 'running') this.#state = 'over'
      this.#rewinding = false
    }
  }

  /** Failures of the unwinding or rewinding itself, told from the guest's own traps. */
  #failure(error: unknown): unknown {
    if (this.#hostFailure) return this.#hostFailure.error
    const fault = this.#exported<WebAssembly.Global<'i32'>>(ABI.fault).value
    if (fault === FAULT.tooDeep) return tooDeep('The call stack does not fit into the frame memory.', error)
    const broken = fault === FAULT.malformed || (this.#rewinding && error instanceof WebAssembly.RuntimeError)
    return broken ? malformed('The call stack in the snapshot does not belong to this module.', error) : error
  }

  #write(bytes: Uint8Array, at: number): void {
    const pages = Math.ceil((at + bytes.length) / WASM_PAGE_BYTES)
    const have = this.#frames.buffer.byteLength / WASM_PAGE_BYTES
    if (pages > have) this.#frames.grow(pages - have)
    new Uint8Array(this.#frames.buffer).set(bytes, at)
  }

  #call(name: string): number {
    return (this.#exported(name) as unknown as () => number)()
  }

  #exported<T extends WebAssembly.ExportValue>(name: string): T {
    const value = this.instance.exports[name]
    if (value === undefined) throw new Error(`not an instrumented module: no export ${name}`)
    return value as T
  }

  #mustBe(state: State): void {
    if (this.#state !== state) throw new Error(`expected state ${state}, not ${this.#state}`)
  }
}

function malformed(message: string, cause?: unknown): CodedError<CellErrorCode> {
  return new CodedError('SNAPSHOT_MALFORMED', `${message} Take a new snapshot.`, { cause })
}

function tooDeep(message: string, cause?: unknown): CodedError<CellErrorCode> {
  return new CodedError('CELL_STACK_TOO_DEEP', `${message} Let the program recurse less deeply.`, { cause })
}
