// The peer's handle of one cell: keeps its state, checks what its host process says of it, and outlives that process.

import { concat } from '../../core/bytes.ts'
import { type Clock, hostMono } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import { abortable } from '../../core/lifecycle.ts'
import type { Shape } from '../../core/shape.ts'
import type { CellErrorCode } from '../errors.ts'
import type { SnapshotUsage } from '../snapshot/format.ts'
import type {
  CellEvents,
  CellExit,
  CellFile,
  CellHandle,
  CellLimits,
  CellSnapshot,
  CellUsage,
  LargeFile,
  LiveCopy,
  Resumed,
  StdinPiece,
  StdinTaken,
  StoppedCopy,
} from '../types.ts'
import type { AskInit, CellHostProcess, CellListener, Question } from './host-process.ts'
import {
  KILL_TIMEOUT_MS,
  PACK_TIMEOUT_MS,
  QUIESCE_TIMEOUT_MS,
  RESULT_BYTES_PER_MS,
  RESULTS_TIMEOUT_MS,
} from './limits.ts'
import { LiveCopies } from './live-copies.ts'
import { answers, type CellCommand, type HostReport, type ReportedExit } from './messages.ts'
import { type Place, type Relocate, settle } from './relocation.ts'
import { notMigratable } from './untouched-program.ts'
import { WallWatch } from './wall-watch.ts'

export interface RunningCellInit {
  readonly id: string
  /** Its number in the host process. */
  readonly cell: number
  readonly host: CellHostProcess
  readonly migratable: boolean
  /** Nothing else is in its host process: to kill it is to kill that. */
  readonly alone: boolean
  readonly clock: Clock
  readonly limits: CellLimits
  readonly events: CellEvents
  readonly moduleHash: string
  /** It comes in parts: suspended, and with nothing used until `arrived`. */
  readonly arrives: boolean
  /** Puts the program, in mid-run, into the build that notes its writes. */
  readonly track: () => Promise<unknown>
  /** It was killed and does not end: its host process must be destroyed. Settles when it is. */
  /** Takes a large result away from where the cell runs now; says where it is, or throws. */
  readonly take: (name: string, bytes: number) => string
  readonly onStuck: () => Promise<void>
  readonly onEnded: () => void
}

type State = 'running' | 'suspending' | 'suspended' | 'ended'

export class RunningCell implements CellHandle, CellListener {
  readonly id: string
  readonly ended: Promise<CellExit>
  readonly migratable: boolean
  readonly #init: RunningCellInit
  /** Where it is now. */
  #at: Place
  readonly #written = { stdout: 0, stderr: 0 }
  readonly #settle: (exit: CellExit) => void
  #state: State = 'running'
  #usage: CellUsage = { busyMs: 0, wallMs: 0, fuel: 0, memoryBytes: 0, outputBytes: 0, diskBytes: 0 }
  readonly #copies: LiveCopies
  #exit: CellExit | undefined
  /** Why the peer itself ended it, when that was not a kill. */
  #verdict: { readonly code: CellErrorCode; readonly message: string } | undefined
  #killed = false
  readonly #wall: WallWatch
  /** It comes in parts, and not all have come. */
  #isArriving: boolean
  /** A suspension that is under way. */
  #stopping: Promise<unknown> | undefined
  /** It is on its way into another process: what is asked of it meanwhile waits for that. */
  #leaving: Promise<void> | undefined

  constructor(init: RunningCellInit) {
    this.id = init.id
    this.#init = init
    this.#at = init
    this.migratable = init.migratable
    this.#isArriving = init.arrives
    if (init.arrives) this.#state = 'suspended'
    const { clock, limits } = init
    this.#copies = new LiveCopies({
      ask: (command, shape) => this.#ask(command, shape).answer,
      track: () => init.track(),
      stop: async (signal) => {
        this.#mustBe('running')
        return this.#stop(signal)
      },
      failure: (error) => (this.#exit === undefined ? error : this.#over()),
    })
    const resultsMs = RESULTS_TIMEOUT_MS + Math.floor(limits.diskBytes / RESULT_BYTES_PER_MS)
    this.#wall = new WallWatch({ clock, wallMs: limits.wallMs, resultsMs, onLate: (what) => this.#onLate(what) })
    const { promise, resolve } = Promise.withResolvers<CellExit>()
    this.ended = promise
    this.#settle = resolve
  }

  /** Listens, before the start is asked for. */
  attach(): void {
    this.#at.host.attach(this.#at.cell, this)
  }

  /** What its host process calls it. */
  get number(): number {
    return this.#at.cell
  }

  /** It is all there, and could go on in another process. */
  get movable(): boolean {
    return this.migratable && this.#state !== 'ended' && !this.#killed && !this.#isArriving
  }

  /**
   * Leaves its process for another, in which `restore` puts its snapshot: there it runs if it ran, and is suspended if it
   * was. A copy that is being made of it is cancelled. Stays where it is if that fails, suspended.
   */
  evacuate(restore: (snapshot: Uint8Array, relocate: Relocate) => Promise<void>): Promise<void> {
    const leaving = this.#evacuate(restore).finally(() => {
      this.#leaving = undefined
    })
    // Who waits for it wants to know only that it is over.
    this.#leaving = leaving.catch(() => undefined)
    return leaving
  }

  async #evacuate(restore: (snapshot: Uint8Array, relocate: Relocate) => Promise<void>): Promise<void> {
    await this.#stopping?.catch(() => undefined)
    const ran = this.#state === 'running'
    this.#copies.cancel()
    const { parts } = ran ? await this.#stop(undefined) : await this.#packAgain()
    await restore(concat(parts), (place, start) => this.#relocate(place, start))
    if (ran) await this.#goOn()
  }

  /** Of a suspended program: all of it, whatever was copied before. */
  async #packAgain(): Promise<{ readonly parts: readonly Uint8Array[] }> {
    this.#mustBe('suspended')
    const timeoutMs = PACK_TIMEOUT_MS
    return this.#ask({ kind: 'suspend' }, answers.stopped, { timeoutMs }).answer
  }

  /** Lives in `place` once `start` has restored it there, suspended as it is; stays where it is if that fails. */
  async #relocate(place: Place, start: () => Promise<void>): Promise<void> {
    this.#mustBe('suspended')
    const before = this.#at
    await settle(place, this, start, () => this.#mustBe('suspended'))
    this.#at = place
    before.host.detach(before.cell)
  }

  /** All of it has come: it goes on from what it had used. */
  arrived({ busyMs, wallMs, fuel, stdoutBytes, stderrBytes }: SnapshotUsage): void {
    this.#written.stdout = stdoutBytes
    this.#written.stderr = stderrBytes
    this.#wall.usedMs = wallMs
    this.#usage = { ...this.#usage, busyMs, wallMs, fuel, outputBytes: stdoutBytes + stderrBytes }
  }

  /** Hands whole parts to a program that comes in parts; true once it is all there. */
  async add(parts: Uint8Array): Promise<boolean> {
    const { complete } = await this.#ask({ kind: 'add', parts }, answers.added).answer
    this.#isArriving = !complete
    return complete
  }

  /** The program has begun to run. */
  began(): void {
    if (this.#state === 'running') this.#wall.begin()
  }

  async suspend(init: { readonly signal?: AbortSignal }): Promise<CellSnapshot> {
    // Only then: what is asked for takes effect at once.
    if (this.#leaving !== undefined) await this.#leaving
    init.signal?.throwIfAborted()
    this.#mustBe('running')
    if (!this.migratable) throw notMigratable()
    if (this.#copies.isUnderWay) throw new Error(`cell ${this.id} is being copied: stop or cancel that`)
    const { parts, quiesceMs, packMs, moduleHash } = await this.#stop(init.signal)
    return { bytes: concat(parts), quiesceMs, packMs, moduleHash }
  }

  async copy({ signal }: { readonly signal?: AbortSignal }): Promise<LiveCopy> {
    if (this.#leaving !== undefined) await this.#leaving
    signal?.throwIfAborted()
    this.#mustBe('running')
    if (!this.migratable) throw notMigratable()
    if (this.#copies.isUnderWay) throw new Error(`cell ${this.id} is being copied already`)
    return this.#copies.begin(signal)
  }

  #stop(signal: AbortSignal | undefined): Promise<StoppedCopy> {
    const stopping = this.#askToStop(signal).finally(() => {
      this.#stopping = undefined
    })
    this.#stopping = stopping
    return stopping
  }

  async #askToStop(signal: AbortSignal | undefined): Promise<StoppedCopy> {
    this.#state = 'suspending'
    const askedAt = hostMono()
    const quiesceDeadline = Promise.withResolvers<never>()
    const timer = this.#init.clock.after(QUIESCE_TIMEOUT_MS, () => {
      const message = `the program passed no poll within ${QUIESCE_TIMEOUT_MS} ms: it goes on here, try again later`
      quiesceDeadline.reject(new CodedError<CellErrorCode>('CELL_QUIESCE_TIMEOUT', message))
    })
    const { seq, answer } = this.#ask({ kind: 'suspend' }, answers.stopped, {
      timeoutMs: QUIESCE_TIMEOUT_MS + PACK_TIMEOUT_MS,
      onQuiesced: () => timer.cancel(),
    })
    try {
      const stopped = await abortable(Promise.race([answer, quiesceDeadline.promise]), signal)
      this.#state = 'suspended'
      this.#wall.end()
      // A program that waits may have executed its last instruction long before.
      const quiesceMs = Math.max(0, stopped.stoppedAt - askedAt)
      return { ...stopped, quiesceMs, moduleHash: this.#init.moduleHash }
    } catch (error) {
      answer.catch(() => undefined)
      this.#withdraw(seq)
      throw this.#exit === undefined ? error : this.#over()
    } finally {
      timer.cancel()
    }
  }

  /** The program runs on, whether it has stopped already or not: commands reach it in the order of their sending. */
  #withdraw(suspendSeq: number): void {
    if (this.#state !== 'suspending') return
    this.#state = 'running'
    this.#tell({ kind: 'withdraw', suspendSeq }).catch(() => undefined)
  }

  async resumeHere(): Promise<Resumed> {
    if (this.#leaving !== undefined) await this.#leaving
    return this.#goOn()
  }

  async #goOn(): Promise<Resumed> {
    this.#mustBe('suspended')
    this.#state = 'running'
    const resumed = await this.#ask({ kind: 'resume-here' }, answers.resumed).answer.catch(async (error: unknown) => {
      if (!isCoded(error, 'CELL_ENDED')) throw error
      // The stack in a snapshot that somebody else made may lead nowhere: that is why it ended.
      const exit = await this.ended
      throw exit.kind === 'failed' ? new CodedError(exit.code, exit.message) : this.#over()
    })
    this.began()
    return resumed
  }

  async discard(): Promise<void> {
    if (this.#leaving !== undefined) await this.#leaving
    this.#mustBe('suspended')
    await this.#tell({ kind: 'discard' })
    await this.ended
  }

  async kill(): Promise<void> {
    if (this.#exit !== undefined) return
    this.#killed = true
    const { host, cell } = this.#at
    if (this.#init.alone) {
      host.destroy('its cell was killed')
      return
    }
    const late = this.#init.clock.after(KILL_TIMEOUT_MS, () => void this.#init.onStuck())
    // The answer says that the thread is being ended; the report that follows, that it is.
    host.ask({ kind: 'kill', cell }, answers.nothing).answer.catch(() => undefined)
    await this.ended
    late.cancel()
  }

  async writeStdin(piece: StdinPiece): Promise<StdinTaken> {
    if (this.#leaving !== undefined) await this.#leaving
    if (this.#state === 'suspending' || this.#state === 'suspended') {
      const message = `cell ${this.id} is ${this.#state}: send it more standard input when it runs again`
      throw new CodedError<CellErrorCode>('CELL_NOT_RUNNING', message)
    }
    this.#mustBe('running')
    return this.#told({ kind: 'write-stdin', piece }, answers.stdin)
  }

  async readFile(path: string): Promise<CellFile | LargeFile | undefined> {
    if (this.#exit?.kind === 'exited') return this.#exit.files.find((file) => file.path === path)
    if (this.#exit !== undefined) return undefined
    const { bytes, large } = await this.#ask({ kind: 'read-file', path }, answers.file).answer
    if (large !== undefined) return { path, file: this.#init.take(large.file, large.bytes), bytes: large.bytes }
    return bytes === undefined ? undefined : { path, bytes }
  }

  async usage(): Promise<CellUsage> {
    if (this.#exit !== undefined) return this.#exit.usage
    const { host, cell } = this.#at
    const usage = await host.ask({ kind: 'usage', cell }, answers.usage).answer.catch(() => this.#usage)
    // One that passes no polls last said so in a call of its own.
    this.#usage = this.migratable ? usage : { ...usage, wallMs: Math.max(usage.wallMs, this.#wall.usedMs) }
    return this.#usage
  }

  onOutput(report: Extract<HostReport, { kind: 'output' }>): void {
    for (const { stream, offset, bytes } of report.parts) {
      const total = this.#written.stdout + this.#written.stderr + bytes.length
      if (offset !== this.#written[stream] || total > this.#init.limits.outputBytes) {
        throw new Error(`output of cell ${this.id} out of place`)
      }
      this.#written[stream] += bytes.length
      this.#init.events.onOutput(stream, offset, bytes)
    }
  }

  onOver(): void {
    this.#wall.awaitResults()
  }

  onEnded(exit: ReportedExit): void {
    const verdict = this.#verdict
    if (exit.kind === 'exited') this.#end(this.#taken(exit))
    else
      this.#end(
        exit.kind === 'killed' && verdict !== undefined ? { kind: 'failed', ...verdict, usage: exit.usage } : exit,
      )
  }

  /** Its large results are in a folder that may go any moment. */
  #taken(exit: Extract<ReportedExit, { kind: 'exited' }>): CellExit {
    try {
      const largeFiles = exit.largeFiles?.map(({ path, file, bytes }) => ({
        path,
        file: this.#init.take(file, bytes),
        bytes,
      }))
      return { ...exit, largeFiles }
    } catch (error) {
      const message = `the results of the cell cannot be taken over: ${messageOf(error)}`
      return { kind: 'failed', code: 'CELL_HOST_DIED', message, usage: exit.usage }
    }
  }

  onHostDied(message: string): void {
    const usage = this.#usage
    const died = { code: 'CELL_HOST_DIED', message }
    // A kill that had to take the whole process is still a kill.
    if (this.#killed && this.#verdict === undefined) this.#end({ kind: 'killed', usage })
    else this.#end({ kind: 'failed', ...(this.#verdict ?? died), usage })
  }

  /** The engine stops: what still runs counts as killed. */
  onEngineStopped(): void {
    this.#at.host.detach(this.#at.cell)
    this.#end({ kind: 'killed', usage: this.#usage })
  }

  #end(exit: CellExit): void {
    if (this.#exit !== undefined) return
    this.#wall.end()
    this.#state = 'ended'
    this.#exit = exit
    this.#settle(exit)
    this.#init.onEnded()
  }

  #ask<T>(command: CellCommand, shape: Shape<T>, init: AskInit = {}): Question<T> {
    return this.#at.host.ask<T>({ kind: 'cell', cell: this.#at.cell, command }, shape, init)
  }

  /** A command that needs no answer but that it arrived; a cell that ended meanwhile is `CELL_ENDED`. */
  async #tell(command: CellCommand): Promise<void> {
    await this.#told(command, answers.nothing)
  }

  /** The answer; that the cell has ended, if that is why there is none. */
  async #told<T>(command: CellCommand, shape: Shape<T>): Promise<T> {
    return this.#ask(command, shape).answer.catch((error: unknown) => {
      throw this.#exit === undefined ? error : this.#over()
    })
  }

  #onLate(what: 'program' | 'results'): void {
    const { wallMs } = this.#init.limits
    this.#verdict =
      what === 'program'
        ? { code: 'CELL_TIME_LIMIT', message: `the cell used its wallMs of ${wallMs}: give it more` }
        : { code: 'CELL_HOST_DIED', message: 'the cell is over, but its results did not come; run it again' }
    void this.kill()
  }

  #mustBe(state: State): void {
    if (this.#state === 'ended') throw this.#over()
    if (this.#state !== state) throw new Error(`cell ${this.id} is ${this.#state}, not ${state}`)
  }

  #over(): CodedError<CellErrorCode> {
    return new CodedError('CELL_ENDED', `cell ${this.id} has ended: ${this.#exit?.kind ?? 'it is gone'}`)
  }
}
