// Entry of the worker thread that runs cells, one at a time: takes commands, also in mid-run, and reports.
import { type MessagePort, parentPort, receiveMessageOnPort } from 'node:worker_threads'
import { hostMono, systemClock } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import { systemRandom } from '../../core/random.ts'
import type { CellErrorCode } from '../errors.ts'
import { Control } from './control.ts'
import { bounded, type CellCommand, type ReportedExit, type WorkerCommand, type WorkerReport } from './messages.ts'
import { failure, Program } from './program.ts'
import { notMigratable } from './untouched-program.ts'

class CellThread {
  readonly #port: MessagePort
  #program: Program | undefined
  #running = false
  /** The suspension that is under way or in force. */
  #suspension: { readonly seq: number; readonly requestedAt: number } | undefined

  constructor(port: MessagePort) {
    this.#port = port
  }

  listen(): void {
    this.#port.on('message', (command: WorkerCommand) => {
      this.#handle(command)
      this.#runOn()
    })
    this.#report({ kind: 'ready' })
  }

  #report(report: WorkerReport): void {
    this.#port.postMessage(report)
  }

  #handle(message: WorkerCommand): void {
    if (message.kind === 'kill') {
      this.#kill()
      return
    }
    const { seq } = message
    try {
      if (message.kind === 'start') this.#start(message)
      else this.#command(seq, message.command)
    } catch (error) {
      this.#report({ kind: 'failed', seq, ...bound(failure(error)) })
    }
  }

  #start(message: Extract<WorkerCommand, { kind: 'start' }>): void {
    const control = new Control(message.control)
    this.#suspension = undefined
    this.#program = undefined
    this.#program = new Program({
      compiled: message.compiled,
      start: message.start,
      clock: systemClock,
      random: systemRandom,
      port: {
        control,
        takeMail: () => this.#takeMail(),
        send: (parts, bytes) => this.#report({ kind: 'output', parts, bytes }),
        over: () => this.#report({ kind: 'over' }),
      },
    })
    this.#running = !message.start.paused
    this.#report({ kind: 'done', seq: message.seq, value: true })
  }

  #kill(): void {
    const program = this.#program
    if (program === undefined) return
    program.killed = true
    if (this.#running) return
    this.#program = undefined
    this.#report({ kind: 'ended', exit: { kind: 'killed', usage: program.usage() } })
  }

  #takeMail(): void {
    for (;;) {
      const mail = receiveMessageOnPort(this.#port) as { message: WorkerCommand } | undefined
      if (mail === undefined) return
      this.#handle(mail.message)
    }
  }

  #command(seq: number, command: CellCommand): void {
    const program = this.#program
    if (program === undefined) throw new CodedError<CellErrorCode>('CELL_ENDED', 'the cell has already ended')
    if (command.kind === 'suspend') {
      if (!program.migratable) throw notMigratable()
      // Answered when the program stands still. A later request takes the place of an earlier one.
      this.#suspension = { seq, requestedAt: hostMono() }
      program.stopWanted = true
      if (!this.#running) this.#pack(program, this.#suspension)
      return
    }
    if (command.kind === 'read-file') {
      const bytes = program.readFile(command.path)
      this.#report({ kind: 'done', seq, value: bytes === undefined ? {} : { bytes } })
      return
    }
    if (command.kind === 'write-stdin') {
      program.writeStdin(command.bytes, command.end)
      this.#report({ kind: 'done', seq, value: true })
      return
    }
    if (command.kind === 'discard') {
      if (this.#running) throw new CodedError<CellErrorCode>('CELL_STATE_NOT_SERIALIZABLE', 'the cell is not suspended')
      this.#program = undefined
      this.#report({ kind: 'done', seq, value: true })
      this.#report({ kind: 'ended', exit: { kind: 'killed', usage: program.usage() } })
      return
    }
    if (command.kind === 'resume-here' || this.#suspension?.seq === command.suspendSeq) {
      this.#suspension = undefined
      program.stopWanted = false
      this.#running = true
    }
    this.#report({ kind: 'done', seq, value: command.kind === 'resume-here' ? { resumedAt: hostMono() } : true })
  }

  /** Runs the program for as long as it is to run. */
  #runOn(): void {
    const program = this.#program
    while (program !== undefined && this.#running) {
      const outcome = program.run()
      if (outcome.kind === 'ended') {
        this.#running = false
        this.#program = undefined
        this.#ended(outcome.exit)
      } else if (this.#suspension !== undefined) {
        this.#running = false
        this.#pack(program, this.#suspension)
      }
    }
  }

  /** The copies of its files go along: they may be large, and nobody needs them here. */
  #ended(exit: ReportedExit): void {
    const report: WorkerReport = { kind: 'ended', exit }
    const files = exit.kind === 'exited' ? exit.files : []
    this.#port.postMessage(
      report,
      files.map(({ bytes }) => bytes.buffer as ArrayBuffer),
    )
  }

  #pack(program: Program, suspension: { readonly seq: number; readonly requestedAt: number }): void {
    const stoppedAt = hostMono()
    this.#report({ kind: 'quiesced', seq: suspension.seq })
    try {
      const bytes = program.pack()
      const quiesceMs = stoppedAt - suspension.requestedAt
      const packMs = hostMono() - stoppedAt
      const value = { bytes, stoppedAt, quiesceMs, packMs }
      const report: WorkerReport = { kind: 'done', seq: suspension.seq, value }
      this.#port.postMessage(report, [bytes.buffer])
    } catch (error) {
      // It cannot be moved, so it goes on.
      this.#suspension = undefined
      program.stopWanted = false
      this.#running = true
      const code: CellErrorCode = isCoded<CellErrorCode>(error) ? error.code : 'CELL_STATE_NOT_SERIALIZABLE'
      this.#report({ kind: 'failed', seq: suspension.seq, code, message: bounded(messageOf(error)) })
    }
  }
}

function bound(failed: { code: CellErrorCode; message: string }): { code: string; message: string } {
  return { code: failed.code, message: bounded(failed.message) }
}

if (parentPort !== null) new CellThread(parentPort).listen()
