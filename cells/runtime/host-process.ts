// The peer's end of one cell host process: starts it, asks it, believes nothing unchecked, ends it.
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Clock } from '../../core/clock.ts'
import { entryUrl } from '../../core/entry.ts'
import { CodedError, messageOf } from '../../core/errors.ts'
import type { Shape } from '../../core/shape.ts'
import { CELL_ERRORS, type CellErrorCode } from '../errors.ts'
import { WASI_ERRORS } from '../wasi/errors.ts'
import type { HostFolder } from './host-folder.ts'
import { HOST_ANSWER_MS, HOST_END_MS } from './limits.ts'
import { bounded, type HostCommand, type HostReport, hostReport, NEED_MODULE } from './messages.ts'
import { type HostKind, hostFlags } from './permissions.ts'

/** One cell, as far as its host process reports on it. */
export interface CellListener {
  onOutput(report: Extract<HostReport, { kind: 'output' }>): void
  /** The program is over; its results, which take their time, follow. */
  onOver(): void
  onEnded(exit: Extract<HostReport, { kind: 'ended' }>['exit']): void
  /** The process is gone, with the cell in it. */
  onHostDied(message: string): void
}

export interface AskInit {
  /** @default HOST_ANSWER_MS */
  readonly timeoutMs?: number
  /** A suspension's program stands still. */
  readonly onQuiesced?: () => void
}

/** Something that was asked, by its number, and its checked answer. */
export interface Question<T> {
  readonly seq: number
  readonly answer: Promise<T>
}

interface OpenQuestion {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
  readonly shape: Shape<unknown>
  readonly onQuiesced: (() => void) | undefined
}

type Unnumbered<T> = T extends HostCommand ? Omit<T, 'seq'> : never

export interface HostProcessInit {
  readonly clock: Clock
  readonly heapMb: number
  readonly kind: HostKind
  /** Goes with the process. */
  readonly folder: HostFolder | undefined
  readonly onExit: () => void
}

/** What one cell has to do with its process. */
export type CellHostProcess = Pick<HostProcess, 'ask' | 'attach' | 'detach' | 'destroy'>

export class HostProcess {
  readonly #clock: Clock
  readonly #child: ChildProcess
  readonly #questions = new Map<number, OpenQuestion>()
  readonly #cells = new Map<number, CellListener>()
  readonly #gone: Promise<void>
  #seq = 0
  #dead: string | undefined

  constructor(init: HostProcessInit) {
    this.#clock = init.clock
    const entry = fileURLToPath(entryUrl(import.meta.url, `./${init.kind.entry}`))
    this.#child = fork(entry, [String(init.heapMb), ...(init.folder === undefined ? [] : [init.folder.path])], {
      execPath: process.execPath,
      execArgv: hostFlags(init.heapMb, init.kind, init.folder),
      serialization: 'advanced',
      env: {},
      // What the process itself says goes nowhere: foreign code must not write to the peer's terminal.
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    this.#child.on('message', (report) => this.#receive(report))
    this.#gone = new Promise((resolve) => {
      const gone = (why: string): void => {
        this.#die(why)
        init.onExit()
        // What is left of it goes at the engine's next start.
        const removed = init.folder?.remove().catch(() => undefined)
        void Promise.resolve(removed).then(() => resolve())
      }
      this.#child.on('exit', (code, signal) => gone(`exit code ${code}, signal ${signal}`))
      this.#child.on('error', (error) => {
        if (this.#child.pid === undefined) gone(messageOf(error))
      })
    })
  }

  /** The process id; undefined when it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid
  }

  get alive(): boolean {
    return this.#dead === undefined
  }

  /** Nothing runs here and nothing is being asked. */
  get idle(): boolean {
    return this.#cells.size === 0 && this.#questions.size === 0
  }

  attach(cell: number, listener: CellListener): void {
    this.#cells.set(cell, listener)
  }

  detach(cell: number): void {
    this.#cells.delete(cell)
  }

  /** Asks, and checks the answer against `shape`. Rejects with the coded error of the other side, or `CELL_HOST_DIED`. */
  ask<T>(command: Unnumbered<HostCommand>, shape: Shape<T>, init: AskInit = {}): Question<T> {
    const seq = this.#seq++
    const timeoutMs = init.timeoutMs ?? HOST_ANSWER_MS
    const answer = new Promise<unknown>((resolve, reject) => {
      if (this.#dead !== undefined) {
        reject(died(this.#dead))
        return
      }
      const late = this.#clock.after(timeoutMs, () =>
        this.#late(seq, command.kind === 'cell' || command.kind === 'copy', timeoutMs),
      )
      this.#questions.set(seq, {
        resolve: (value) => {
          late.cancel()
          resolve(value)
        },
        reject: (error) => {
          late.cancel()
          reject(error)
        },
        shape,
        onQuiesced: init.onQuiesced,
      })
      // A failure to send is a dead process: `exit` says so.
      this.#child.send({ ...command, seq }, () => undefined)
    })
    return { seq, answer: answer as Promise<T> }
  }

  /** A cell answers at its polls, which is its own affair; the process itself always answers. */
  #late(seq: number, byCell: boolean, timeoutMs: number): void {
    const why = `it did not answer within ${timeoutMs} ms`
    if (!byCell) {
      this.destroy(why)
      return
    }
    const question = this.#questions.get(seq)
    this.#questions.delete(seq)
    const message = `the program passed no poll: ${why}; try again later`
    question?.reject(new CodedError<CellErrorCode>('CELL_QUIESCE_TIMEOUT', message))
  }

  /** Ends an idle process politely: it goes with its channel. Awaits its end. */
  async end(): Promise<void> {
    if (this.#dead !== undefined) return this.#gone
    this.#dead = 'it was told to end'
    const late = this.#clock.after(HOST_END_MS, () => this.#child.kill('SIGKILL'))
    if (this.#child.connected) this.#child.disconnect()
    await this.#gone
    late.cancel()
  }

  /** Kills the process and every cell in it. */
  destroy(why: string): void {
    this.#die(why)
    this.#child.kill('SIGKILL')
  }

  #die(why: string): void {
    this.#dead ??= why
    for (const question of this.#questions.values()) question.reject(died(this.#dead))
    this.#questions.clear()
    for (const cell of [...this.#cells.values()]) cell.onHostDied(died(this.#dead).message)
    this.#cells.clear()
  }

  #receive(raw: unknown): void {
    if (this.#dead !== undefined) return
    try {
      this.#dispatch(hostReport(raw, ''))
    } catch (error) {
      this.destroy(`it sent something that it never sends: ${bounded(messageOf(error))}`)
    }
  }

  #dispatch(report: HostReport): void {
    if (report.kind === 'output') this.#cells.get(report.cell)?.onOutput(report)
    else if (report.kind === 'over') this.#cells.get(report.cell)?.onOver()
    else if (report.kind === 'ended') {
      const cell = this.#cells.get(report.cell)
      this.#cells.delete(report.cell)
      cell?.onEnded(report.exit)
    } else {
      const question = this.#questions.get(report.seq)
      if (report.kind === 'quiesced') {
        question?.onQuiesced?.()
        return
      }
      this.#questions.delete(report.seq)
      if (report.kind === 'failed') question?.reject(coded(report.code, report.message))
      else question?.resolve(question.shape(report.value, 'value'))
    }
  }
}

function died(why: string): CodedError<CellErrorCode> {
  return new CodedError('CELL_HOST_DIED', `the process that ran the cell ended: ${why}; run the cell again`)
}

function coded(code: string, message: string): CodedError {
  const known = code === NEED_MODULE || Object.hasOwn(CELL_ERRORS, code) || Object.hasOwn(WASI_ERRORS, code)
  return new CodedError(known ? code : 'CELL_HOST_DIED', message)
}
