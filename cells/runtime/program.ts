// One program in the thread of its worker: runs it, stops it at polls and in waits, packs it, ends it by its limits.
// Synchronous throughout; what it says and hears goes through `ProgramPort`.
import { type Clock, hostMono } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import type { Random } from '../../core/random.ts'
import type { CellErrorCode } from '../errors.ts'
import { INSTRUMENTER_VERSION } from '../instrument/abi.ts'
import type { PollAnswer } from '../instrument/driver.ts'
import { WASM_PAGE_BYTES } from '../snapshot/format.ts'
import type { Material, SnapshotExpectation } from '../snapshot/snapshot.ts'
import type { CellLimits, CellUsage, StdinPiece, StdinTaken } from '../types.ts'
import { ExitStatus, StorageError, Wasi, type WasiHost, type WasiSurroundings } from '../wasi/index.ts'
import { Arrival, type Arrived } from './arrival.ts'
import { Builds } from './builds.ts'
import type { CellStorage, KeptFile, Results } from './cell-storage.ts'
import type { Control } from './control.ts'
import { Departure, type DepartureInit } from './departure.ts'
import {
  LARGE_RESULT_BYTES,
  LONG_SLICE_MS,
  LOOK_AFTER_BYTES,
  MAX_NAP_MS,
  OUTPUT_WINDOW_BYTES,
  SNAPSHOT_STATE_SLACK_BYTES,
  STDIN_UNREAD_BYTES,
} from './limits.ts'
import { bounded, type CellStart, type CompiledModule, type ReportedExit } from './messages.ts'
import { OutputBatch, type OutputPart } from './output-batch.ts'
import { Pacer } from './pacer.ts'
import { TierUp } from './tier-up.ts'
import { notMigratable, UntouchedProgram } from './untouched-program.ts'

/** The thread around the program. */
export interface ProgramPort {
  readonly control: Control
  /** Handles what has been posted since; called at polls and in waits when the bell has rung. */
  takeMail(): void
  /** At every poll, and in a wait, when `isIdle`: what else is to be done while the program is held up. */
  work(isIdle: boolean): void
  /** A rewind is over: the guest goes on. */
  resumed(): void
  send(parts: readonly OutputPart[], bytes: number): void
  /** The program is over, and its results are about to be copied. */
  over(): void
  readonly storage: CellStorage
}

export interface ProgramInit {
  readonly compiled: CompiledModule
  readonly start: CellStart
  readonly port: ProgramPort
  readonly clock: Clock
  readonly random: Random
}

/** The program goes on to its end, or stands still because it was asked to. */
export type ProgramOutcome = { readonly kind: 'suspended' } | { readonly kind: 'ended'; readonly exit: ReportedExit }

/** Thrown at a poll or in a call; the guest cannot catch what is no exception of its own. */
class Killed extends Error {}

const WASI_MODULE = 'wasi_snapshot_preview1'

export class Program {
  /** Set by mail: the program is wanted to stand still. */
  stopWanted = false
  /** Set by mail: it will be any moment. What the program would sleep to stay within its share it owes until later: its stop would begin there. */
  stopNears = false
  /** Set by mail: it is to end here and now. */
  killed = false
  readonly #init: ProgramInit
  readonly #limits: CellLimits
  readonly #program: Builds | UntouchedProgram
  readonly #arrival: Arrival | undefined
  /** Undefined until all of a program has arrived. */
  #wasi: Wasi | undefined
  #departure: Departure | undefined
  readonly #output: OutputBatch
  readonly #pacer: Pacer
  #tierUp = new TierUp(0)
  #seenRings: number
  #sentBytes = 0
  /** By calls, since it was last looked whether a poll is due. */
  #movedBytes = 0
  /** It has frames: it goes on by a rewind. */
  #started = false
  /** Standard input came during the wait that is under way. */
  #stdinCame = false
  /** What it used before this instance: wall time, fuel. */
  #earlier: { readonly wallMs: number; readonly fuel: number } = { wallMs: 0, fuel: 0 }
  /** `hostMono` when the guest was last seen to execute nothing. */
  #stoppedAt = 0
  /** Wall time of this instance, up to `#wallSince`. */
  #wallMs = 0
  #wallSince = 0

  /** Instantiates; throws what the engine throws. Runs no guest code. */
  constructor(init: ProgramInit) {
    this.#init = init
    const { origin, limits, share } = init.start
    this.#limits = limits
    this.#seenRings = init.port.control.rings
    this.#output = new OutputBatch((parts, bytes) => this.#send(parts, bytes))
    this.#pacer = new Pacer(share)
    const surroundings = this.#surroundings()
    if (origin.kind === 'launch') {
      const sources = origin.largeFiles?.map((file) => ({ path: file.path, source: init.port.storage.source(file) }))
      this.#wasi = new Wasi({ ...origin, sources, ...surroundings })
    } else this.#arrival = new Arrival({ expected: this.#expectation(), surroundings })
    const { module } = init.compiled
    const calls = this.#wasi?.imports() ?? this.#arrival?.imports ?? {}
    const imports = { [WASI_MODULE]: calls }
    const told = { onPoll: () => this.#poll(), onResumed: () => init.port.resumed() }
    this.#program = this.migratable
      ? new Builds({ module, imports, ...told, budget: this.#pacer.budget })
      : new UntouchedProgram(module, WASI_MODULE, calls)
    const { memory } = this.#program
    if (memory !== undefined) this.#wasi?.bind(memory)
  }

  #surroundings(): WasiSurroundings {
    const { clock, random } = this.#init
    const output: WasiHost['output'] = (stream, offset, bytes) => {
      this.#output.add(stream, offset, bytes, clock.mono())
      this.#output.flushIfDue(clock.mono())
      if (!this.migratable) this.#lookIn()
    }
    const cpuMs = (): number => this.#pacer.busyMsAt(clock.mono())
    const moved = this.migratable ? (bytes: number) => this.#moved(bytes) : undefined
    const host = { output, wait: (ms: number) => this.#wait(ms), moved }
    return { limits: this.#limits, clock, random, cpuMs, host, pool: this.#init.port.storage.pool }
  }

  /** Applies parts of a program that comes in parts; true once it is all there. Throws `SNAPSHOT_*`: it is lost then. */
  add(parts: Uint8Array): boolean {
    if (this.#arrival === undefined) throw new Error('the program did not come in parts')
    const arrived = this.#arrival.add(parts, this.#builds)
    if (arrived !== undefined) this.#arrived(arrived)
    return this.#wasi !== undefined
  }

  #arrived({ wasi, state }: Arrived): void {
    this.#wasi = wasi
    this.#earlier = state.usage
    this.#pacer.busyMs = state.usage.busyMs
    this.#tierUp = new TierUp(state.usage.busyMs)
    this.#started = true
  }

  #expectation(): SnapshotExpectation {
    const { moduleHash, layoutHash, baselines } = this.#init.compiled
    const { memoryBytes, diskBytes } = this.#limits
    const maxMemoryPages = Math.floor(memoryBytes / WASM_PAGE_BYTES)
    const maxStateBytes = diskBytes + SNAPSHOT_STATE_SLACK_BYTES
    const memories = baselines.length
    return { moduleHash, layoutHash, instrumenter: INSTRUMENTER_VERSION, memories, maxMemoryPages, maxStateBytes }
  }

  /** Runs, or goes on, until it ends or stands still. Delivers all output before it returns. */
  run(): ProgramOutcome {
    const { clock } = this.#init
    this.#wallSince = clock.mono()
    this.#pacer.begin(clock.mono())
    let outcome: ProgramOutcome
    try {
      let how = this.#started ? this.#builds.current.rewind() : this.#program.run()
      // It left its stack for its own good.
      while (how === 'suspended' && !this.stopWanted) how = this.#builds.current.rewind()
      outcome = how === 'suspended' ? { kind: 'suspended' } : this.#exited(0)
    } catch (error) {
      outcome = error instanceof ExitStatus ? this.#exited(error.exitCode) : this.#failed(error)
      if (error instanceof Killed) outcome = { kind: 'ended', exit: { kind: 'killed', usage: this.usage() } }
    }
    this.#started = true
    this.#stopWall()
    this.#output.flush()
    return outcome
  }

  /** When the guest executed its last instruction before it stood still: `hostMono`. */
  get stoppedAt(): number {
    return this.#stoppedAt
  }

  /** The copy that is being made of it. */
  get departure(): Departure | undefined {
    return this.#departure
  }

  /** Of a program that stands still: it goes on in the tracking build `module`, and is copied from now on. */
  beginCopy(module: WebAssembly.Module): void {
    const maps = this.#builds.track(module)
    this.#departure = new Departure({ ...this.#departing(), maps })
  }

  /** Of a program that stands still: it goes on in the fast build, and is no longer copied. */
  endCopy(): void {
    this.#departure?.end()
    this.#departure = undefined
    this.#builds.untrack()
  }

  /** Of a program that stands still: all that is left to be copied of it, its state last. */
  *pack(): Generator<Material, void, void> {
    this.#departure ??= new Departure(this.#departing())
    yield* this.#departure.last(this.usage())
  }

  #departing(): DepartureInit {
    const { compiled } = this.#init
    if (this.#wasi === undefined) throw new Error('the program has not arrived')
    return { builds: this.#builds, wasi: this.#wasi, compiled }
  }

  get #builds(): Builds {
    if (this.#program instanceof Builds) return this.#program
    throw notMigratable()
  }

  /** False: it passes no polls, and is looked at in its calls. */
  get migratable(): boolean {
    return this.#init.compiled.build !== 'untouched'
  }

  /** What a poll does for others. */
  #lookIn(): void {
    const { clock, port } = this.#init
    this.#pacer.end(clock.mono())
    if (port.control.rings !== this.#seenRings) this.#takeMail()
    this.#enforce()
  }

  /** Takes what is new in the piece, as far as there is room; says what it has now. */
  writeStdin({ at, bytes, end }: StdinPiece): StdinTaken {
    const wasi = this.#wasi
    if (wasi === undefined) throw new CodedError<CellErrorCode>('CELL_ENDED', 'the cell has not arrived')
    const before = wasi.stdinTaken()
    if (at > before.bytes || before.closed) return before
    const news = bytes.subarray(before.bytes - at)
    wasi.writeStdin(news.subarray(0, Math.max(0, STDIN_UNREAD_BYTES - wasi.unreadStdin())))
    if (end === true && wasi.stdinTaken().bytes === at + bytes.length) wasi.closeStdin()
    this.#stdinCame = true
    return wasi.stdinTaken()
  }

  /** A file of its tree as it is now. Throws `StorageError`. */
  readFile(path: string): KeptFile | undefined {
    const content = this.#wasi?.contentOf(path)
    return content && this.#init.port.storage.kept(content)
  }

  usage(): CellUsage {
    return {
      busyMs: this.#pacer.busyMs,
      wallMs: this.#earlier.wallMs + this.#wallMs,
      fuel: this.#earlier.fuel + this.#program.pollsPassed,
      memoryBytes: this.#program.memoryBytes,
      outputBytes: this.#wasi?.outputBytes() ?? 0,
      diskBytes: this.#wasi?.diskBytes() ?? 0,
    }
  }

  #poll(): PollAnswer {
    const { clock, port } = this.#init
    const stoppedAt = hostMono()
    this.#pacer.endSlice(clock.mono())
    this.#output.flushIfDue(clock.mono())
    if (port.control.rings !== this.#seenRings) this.#takeMail()
    port.work(false)
    this.#enforce()
    if (this.#pacer.sleepMs > 0 && !this.stopWanted && !this.stopNears) {
      const from = clock.mono()
      this.#nap(this.#pacer.sleepMs, () => this.stopNears)
      this.#pacer.slept(clock.mono() - from)
    }
    const left = this.#limits.fuel - this.#earlier.fuel - this.#builds.pollsPassed
    this.#builds.current.budget = Math.max(1, Math.min(this.#pacer.budget, left))
    this.#pacer.begin(clock.mono())
    if (this.stopWanted) this.#stoppedAt = stoppedAt
    return this.stopWanted || this.#tiersUp() ? 'unwind' : 'continue'
  }

  /** A program that is being copied will be in other code soon enough. */
  #tiersUp(): boolean {
    return this.#departure === undefined && this.#tierUp.due(this.#pacer.busyMs)
  }

  /** A budget counts loop turns, and one with such a call may take a thousand times as long as the last one. */
  #moved(bytes: number): void {
    this.#movedBytes += bytes
    if (this.#movedBytes < LOOK_AFTER_BYTES) return
    this.#movedBytes = 0
    if (this.#pacer.sliceMsAt(this.#init.clock.mono()) > LONG_SLICE_MS) this.#builds.current.interrupt()
  }

  /** WASI's wait: true when the call is to be made again after an unwind. */
  #wait(ms: number): boolean {
    const { clock, port } = this.#init
    this.#pacer.end(clock.mono())
    this.#output.flush()
    this.#stdinCame = false
    if (port.control.rings !== this.#seenRings) this.#takeMail()
    if (this.killed) throw new Killed()
    if (!this.stopWanted) this.#nap(ms, () => this.#stdinCame)
    this.#pacer.begin(clock.mono())
    if (this.stopWanted) this.#builds.current.interrupt()
    return this.stopWanted
  }

  /** Sleeps, handling mail and keeping the wall limit, until a stop is wanted, it is `over`, or the time is. */
  #nap(ms: number, over = () => false): void {
    const { clock, port } = this.#init
    const until = clock.mono() + ms
    for (;;) {
      port.work(true)
      this.#enforce()
      const left = Math.min(until - clock.mono(), this.#limits.wallMs - this.usage().wallMs + 1)
      if (left <= 0 || this.stopWanted || over()) return
      port.control.waitForRing(this.#seenRings, Math.min(left, MAX_NAP_MS))
      if (port.control.rings !== this.#seenRings) this.#takeMail()
    }
  }

  #takeMail(): void {
    this.#seenRings = this.#init.port.control.rings
    this.#init.port.takeMail()
  }

  #enforce(): void {
    if (this.killed) throw new Killed()
    this.#stopWall()
    const usage = this.usage()
    this.#init.port.control.publish(usage)
    if (usage.wallMs > this.#limits.wallMs) throw limit('CELL_TIME_LIMIT', 'wallMs', this.#limits.wallMs)
    if (usage.fuel >= this.#limits.fuel) throw limit('CELL_FUEL_LIMIT', 'fuel', this.#limits.fuel)
  }

  #stopWall(): void {
    const now = this.#init.clock.mono()
    this.#wallMs += now - this.#wallSince
    this.#wallSince = now
  }

  /** Sends a batch, and waits for credit while too much is on its way. */
  #send(parts: readonly OutputPart[], bytes: number): void {
    const { clock, port } = this.#init
    port.send(parts, bytes)
    this.#sentBytes = (this.#sentBytes + bytes) | 0
    const onItsWay = (): number => (this.#sentBytes - port.control.acknowledged) | 0
    if (onItsWay() <= OUTPUT_WINDOW_BYTES) return
    this.#pacer.end(clock.mono())
    // The bell is read before the credit, so that credit that comes in between is not slept over.
    for (let rings = port.control.rings; onItsWay() > OUTPUT_WINDOW_BYTES; rings = port.control.rings) {
      port.control.waitForRing(rings, MAX_NAP_MS)
    }
    this.#pacer.begin(clock.mono())
  }

  #exited(exitCode: number): ProgramOutcome {
    this.#pacer.end(this.#init.clock.mono())
    this.#stopWall()
    if ((this.#wasi?.diskBytes() ?? 0) > LARGE_RESULT_BYTES) this.#init.port.over()
    let results: Results = { files: [] }
    try {
      if (this.#wasi !== undefined) results = this.#init.port.storage.results(this.#wasi)
    } catch (error) {
      return this.#failed(error)
    }
    return { kind: 'ended', exit: { kind: 'exited', exitCode, ...results, usage: this.usage() } }
  }

  #failed(error: unknown): ProgramOutcome {
    this.#pacer.end(this.#init.clock.mono())
    this.#stopWall()
    const { code, message } = failure(error)
    return { kind: 'ended', exit: { kind: 'failed', code, message: bounded(message), usage: this.usage() } }
  }
}

function limit(code: CellErrorCode, what: string, value: number): CodedError<CellErrorCode> {
  return new CodedError(code, `the cell used its ${what} of ${value}: give it more, or make the program do less`)
}

/** What ended a program, in our words: its trap, its limit, or the engine's stack. */
export function failure(error: unknown): { code: CellErrorCode; message: string } {
  if (isCoded<CellErrorCode>(error)) return { code: error.code, message: error.message }
  if (error instanceof StorageError) return { code: 'CELL_STORAGE_FAILED', message: error.message }
  if (error instanceof RangeError && /call stack/i.test(error.message)) {
    return { code: 'CELL_STACK_TOO_DEEP', message: `the program recursed too deeply: ${error.message}` }
  }
  if (error instanceof RangeError && /memory/i.test(error.message)) {
    return { code: 'CELL_MEMORY_LIMIT', message: `the memory for the program could not be had: ${error.message}` }
  }
  return { code: 'CELL_TRAPPED', message: `the program trapped: ${messageOf(error)}` }
}
