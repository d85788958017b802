// One program in the thread of its worker: runs it, stops it at polls and in waits, packs it, ends it by its limits.
// Synchronous throughout; what it says and hears goes through `ProgramPort`.
import type { Clock } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import type { Random } from '../../core/random.ts'
import { fromCbor, toCbor } from '../../core/shape.ts'
import type { CellErrorCode } from '../errors.ts'
import { ABI, INSTRUMENTER_VERSION } from '../instrument/abi.ts'
import { type PollAnswer, Suspendable } from '../instrument/driver.ts'
import { WASM_PAGE_BYTES } from '../snapshot/format.ts'
import { applyPages } from '../snapshot/pages.ts'
import { packSnapshot, type ReadSnapshot, readSnapshot, type SnapshotExpectation } from '../snapshot/snapshot.ts'
import type { CellLimits, CellUsage } from '../types.ts'
import { ExitStatus, Wasi, type WasiHost, type WasiState, type WasiSurroundings, wasiState } from '../wasi/index.ts'
import type { Control } from './control.ts'
import {
  LARGE_RESULT_BYTES,
  MAX_NAP_MS,
  OUTPUT_WINDOW_BYTES,
  SNAPSHOT_STATE_SLACK_BYTES,
  STDIN_UNREAD_BYTES,
} from './limits.ts'
import { bounded, type CellStart, type CompiledModule, type ReportedExit } from './messages.ts'
import { OutputBatch, type OutputPart } from './output-batch.ts'
import { Pacer } from './pacer.ts'
import { notMigratable, UntouchedProgram } from './untouched-program.ts'

/** The thread around the program. */
export interface ProgramPort {
  readonly control: Control
  /** Handles what has been posted since; called at polls and in waits when the bell has rung. */
  takeMail(): void
  send(parts: readonly OutputPart[], bytes: number): void
  /** The program is over, and its results are about to be copied. */
  over(): void
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
  /** Set by mail: it is to end here and now. */
  killed = false
  readonly #init: ProgramInit
  readonly #limits: CellLimits
  readonly #wasi: Wasi
  readonly #program: Suspendable | UntouchedProgram
  readonly #memory: WebAssembly.Memory | undefined
  readonly #output: OutputBatch
  readonly #pacer: Pacer
  #seenRings: number
  #sentBytes = 0
  /** It has frames: it goes on by a rewind. */
  #started = false
  /** Standard input came during the wait that is under way. */
  #stdinCame = false
  /** What it used before this instance: wall time, fuel. */
  readonly #earlier: { readonly wallMs: number; readonly fuel: number }
  /** Wall time of this instance, up to `#wallSince`. */
  #wallMs = 0
  #wallSince = 0

  /** Instantiates, and for a resume restores; throws `SNAPSHOT_*` or what the engine throws. Runs no guest code. */
  constructor(init: ProgramInit) {
    this.#init = init
    const { origin, limits, share } = init.start
    this.#limits = limits
    this.#seenRings = init.port.control.rings
    this.#output = new OutputBatch((parts, bytes) => this.#send(parts, bytes))
    const snapshot = origin.kind === 'launch' ? undefined : readSnapshot(origin.snapshot, this.#expectation())
    this.#earlier = { wallMs: snapshot?.usage.wallMs ?? 0, fuel: snapshot?.usage.fuel ?? 0 }
    this.#pacer = new Pacer(share, snapshot?.usage.busyMs)
    const surroundings = this.#surroundings()
    this.#wasi =
      origin.kind === 'launch' ? new Wasi({ ...origin, ...surroundings }) : Wasi.restore(wasiOf(snapshot), surroundings)
    const { module } = init.compiled
    const imports = { [WASI_MODULE]: this.#wasi.imports() }
    this.#program = this.migratable
      ? new Suspendable({ module, imports, onPoll: () => this.#poll(), budget: this.#pacer.budget })
      : new UntouchedProgram(module, imports)
    const { exports } = this.#program.instance
    const memory = this.migratable ? exports[ABI.memory] : exports.memory
    this.#memory = memory instanceof WebAssembly.Memory ? memory : undefined
    if (this.#memory !== undefined) this.#wasi.bind(this.#memory)
    if (snapshot !== undefined) this.#restore(snapshot)
  }

  #surroundings(): WasiSurroundings {
    const { clock, random } = this.#init
    const output: WasiHost['output'] = (stream, offset, bytes) => {
      this.#output.add(stream, offset, bytes, clock.mono())
      this.#output.flushIfDue(clock.mono())
      if (!this.migratable) this.#lookIn()
    }
    const cpuMs = (): number => this.#pacer.busyMsAt(clock.mono())
    return { limits: this.#limits, clock, random, cpuMs, host: { output, wait: (ms) => this.#wait(ms) } }
  }

  #restore(snapshot: ReadSnapshot): void {
    const missing = snapshot.memoryPages - this.#memoryBytes().length / WASM_PAGE_BYTES
    if (missing < 0 || (missing > 0 && this.#memory === undefined)) {
      throw new CodedError<CellErrorCode>('SNAPSHOT_MALFORMED', "the snapshot's memory is not one of this module")
    }
    if (missing > 0) this.#memory?.grow(missing)
    applyPages(this.#memoryBytes(), snapshot.runs, snapshot.data)
    this.#instance.putFrames(snapshot.frames)
    this.#instance.putGlobals(snapshot.globals)
    this.#started = true
  }

  #memoryBytes(): Uint8Array {
    return this.#memory === undefined ? new Uint8Array(0) : new Uint8Array(this.#memory.buffer)
  }

  #expectation(): SnapshotExpectation {
    const { moduleHash, layoutHash } = this.#init.compiled
    const { memoryBytes, diskBytes } = this.#limits
    const maxMemoryPages = Math.floor(memoryBytes / WASM_PAGE_BYTES)
    const maxStateBytes = diskBytes + SNAPSHOT_STATE_SLACK_BYTES
    return { moduleHash, layoutHash, instrumenter: INSTRUMENTER_VERSION, maxMemoryPages, maxStateBytes }
  }

  /** Runs, or goes on, until it ends or stands still. Delivers all output before it returns. */
  run(): ProgramOutcome {
    const { clock } = this.#init
    this.#wallSince = clock.mono()
    this.#pacer.begin(clock.mono())
    let outcome: ProgramOutcome
    try {
      const how = this.#started ? this.#instance.rewind() : this.#program.run()
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

  /** Packs the program, which stands still. */
  pack(): Uint8Array<ArrayBuffer> {
    const { moduleHash, layoutHash } = this.#init.compiled
    const wasi = this.#wasi.state()
    const { busyMs, wallMs, fuel } = this.usage()
    const state = {
      moduleHash,
      layoutHash,
      instrumenter: INSTRUMENTER_VERSION,
      globals: this.#instance.takeGlobals(),
      frames: this.#instance.takeFrames(),
      wasi: toCbor(wasi),
      usage: { busyMs, wallMs, fuel, stdoutBytes: wasi.stdoutBytes, stderrBytes: wasi.stderrBytes },
    }
    return packSnapshot(state, this.#memoryBytes(), this.#init.compiled.baseline)
  }

  get #instance(): Suspendable {
    if (this.#program instanceof Suspendable) return this.#program
    throw notMigratable()
  }

  /** False: it passes no polls, and is looked at in its calls. */
  get migratable(): boolean {
    return this.#init.compiled.build === 'movable'
  }

  /** What a poll does for others. */
  #lookIn(): void {
    const { clock, port } = this.#init
    this.#pacer.end(clock.mono())
    if (port.control.rings !== this.#seenRings) this.#takeMail()
    this.#enforce()
  }

  /** Throws `CELL_STDIN_FULL`. */
  writeStdin(bytes: Uint8Array, end: boolean): void {
    if (this.#wasi.unreadStdin() + bytes.length > STDIN_UNREAD_BYTES) {
      throw new CodedError<CellErrorCode>(
        'CELL_STDIN_FULL',
        `the program has ${this.#wasi.unreadStdin()} bytes of standard input unread: send ${bytes.length} more later`,
      )
    }
    this.#wasi.writeStdin(bytes)
    if (end) this.#wasi.closeStdin()
    this.#stdinCame = true
  }

  readFile(path: string): Uint8Array | undefined {
    return this.#wasi.readFile(path)
  }

  usage(): CellUsage {
    return {
      busyMs: this.#pacer.busyMs,
      wallMs: this.#earlier.wallMs + this.#wallMs,
      fuel: this.#earlier.fuel + this.#program.pollsPassed,
      memoryBytes: this.#memoryBytes().length,
      outputBytes: this.#wasi.outputBytes(),
      diskBytes: this.#wasi.diskBytes(),
    }
  }

  #poll(): PollAnswer {
    const { clock, port } = this.#init
    this.#pacer.endSlice(clock.mono())
    this.#output.flushIfDue(clock.mono())
    if (port.control.rings !== this.#seenRings) this.#takeMail()
    this.#enforce()
    if (this.#pacer.sleepMs > 0 && !this.stopWanted) {
      const from = clock.mono()
      this.#nap(this.#pacer.sleepMs)
      this.#pacer.slept(clock.mono() - from)
    }
    const left = this.#limits.fuel - this.#earlier.fuel - this.#instance.pollsPassed
    this.#instance.budget = Math.max(1, Math.min(this.#pacer.budget, left))
    this.#pacer.begin(clock.mono())
    return this.stopWanted ? 'unwind' : 'continue'
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
    if (this.stopWanted) this.#instance.interrupt()
    return this.stopWanted
  }

  /** Sleeps, handling mail and keeping the wall limit, until a stop is wanted, it is `over`, or the time is. */
  #nap(ms: number, over = () => false): void {
    const { clock, port } = this.#init
    const until = clock.mono() + ms
    for (;;) {
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
    if (this.#wasi.diskBytes() > LARGE_RESULT_BYTES) this.#init.port.over()
    const files = this.#wasi.changedFiles()
    return { kind: 'ended', exit: { kind: 'exited', exitCode, files, usage: this.usage() } }
  }

  #failed(error: unknown): ProgramOutcome {
    this.#pacer.end(this.#init.clock.mono())
    this.#stopWall()
    const { code, message } = failure(error)
    return { kind: 'ended', exit: { kind: 'failed', code, message: bounded(message), usage: this.usage() } }
  }
}

/** The peer goes by the header: output that the state says otherwise would look like a host process gone mad. */
function wasiOf(snapshot: ReadSnapshot | undefined): WasiState {
  const state = fromCbor(snapshot?.wasi ?? new Uint8Array(0), wasiState, 'SNAPSHOT_MALFORMED')
  const { stdoutBytes, stderrBytes } = snapshot?.usage ?? state
  if (stdoutBytes === state.stdoutBytes && stderrBytes === state.stderrBytes) return state
  throw new CodedError<CellErrorCode>(
    'SNAPSHOT_MALFORMED',
    'the snapshot counts its output in two ways; take a new one',
  )
}

function limit(code: CellErrorCode, what: string, value: number): CodedError<CellErrorCode> {
  return new CodedError(code, `the cell used its ${what} of ${value}: give it more, or make the program do less`)
}

/** What ended a program, in our words: its trap, its limit, or the engine's stack. */
export function failure(error: unknown): { code: CellErrorCode; message: string } {
  if (isCoded<CellErrorCode>(error)) return { code: error.code, message: error.message }
  if (error instanceof RangeError && /call stack/i.test(error.message)) {
    return { code: 'CELL_STACK_TOO_DEEP', message: `the program recursed too deeply: ${error.message}` }
  }
  if (error instanceof RangeError && /memory/i.test(error.message)) {
    return { code: 'CELL_MEMORY_LIMIT', message: `the memory for the program could not be had: ${error.message}` }
  }
  return { code: 'CELL_TRAPPED', message: `the program trapped: ${messageOf(error)}` }
}
