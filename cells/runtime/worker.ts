// Entry of the worker thread that runs cells, one at a time: takes commands, also in mid-run, and reports.
import { type MessagePort, parentPort, receiveMessageOnPort } from 'node:worker_threads'
import { hostMono, systemClock } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import { systemRandom } from '../../core/random.ts'
import type { CellErrorCode } from '../errors.ts'
import type { Material } from '../snapshot/snapshot.ts'
import { CellStorage } from './cell-storage.ts'
import { Control } from './control.ts'
import type { Departure } from './departure.ts'
import {
  bounded,
  type CellCommand,
  type ReportedExit,
  type Stopped,
  type WorkerCommand,
  type WorkerReport,
} from './messages.ts'
import { failure, Program } from './program.ts'
import { notMigratable } from './untouched-program.ts'

/** A piece of a round that the peer wants. */
interface SliceRequest {
  readonly seq: number
  readonly round: number
}

type CopyCommand = Extract<CellCommand, { kind: 'end-copy' | 'slice' | 'dirty' | 'rehearse' }>

/** What is to be done as soon as the program stands still, before it goes on. */
interface AtRest {
  readonly seq: number
  readonly act: (program: Program) => void
}

class CellThread {
  readonly #port: MessagePort
  #program: Program | undefined
  #storage: CellStorage | undefined
  #running = false
  #atRest: AtRest[] = []
  #slices: SliceRequest[] = []
  /** The request whose suspension is in force. */
  #suspendedBy: number | undefined
  /** A `resume-here` that is answered when the guest goes on. */
  #resuming: number | undefined
  /** Snapshots begun by this thread: their parts are not to be mixed. */
  #snapshot = 0

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

  #done(seq: number, value: unknown): void {
    this.#report({ kind: 'done', seq, value })
  }

  #handle(message: WorkerCommand): void {
    if (message.kind === 'kill') {
      this.#kill()
      return
    }
    const { seq } = message
    try {
      if (message.kind === 'start') this.#start(message)
      else if (message.kind === 'copy')
        this.#whenAtRest(seq, (program) => this.#beginCopy(program, seq, message.module))
      else this.#command(seq, message.command)
    } catch (error) {
      this.#failed(seq, error)
    }
  }

  #failed(seq: number, error: unknown): void {
    this.#report({ kind: 'failed', seq, ...bound(failure(error)) })
  }

  #start(message: Extract<WorkerCommand, { kind: 'start' }>): void {
    const control = new Control(message.control)
    this.#forget()
    const storage = new CellStorage(message.folder)
    this.#storage = storage
    const program = new Program({
      compiled: message.compiled,
      start: message.start,
      clock: systemClock,
      random: systemRandom,
      port: {
        control,
        storage,
        takeMail: () => this.#takeMail(),
        work: (isIdle) => this.#serveSlices(program, isIdle),
        resumed: () => this.#resumed(),
        over: () => this.#report({ kind: 'over' }),
        send: (parts, bytes) => this.#report({ kind: 'output', parts, bytes }),
      },
    })
    this.#program = program
    this.#running = message.start.origin.kind === 'launch'
    this.#done(message.seq, true)
  }

  #kill(): void {
    const program = this.#program
    if (program === undefined) return
    program.killed = true
    if (this.#running) return
    this.#forget()
    this.#report({ kind: 'ended', exit: { kind: 'killed', usage: program.usage() } })
  }

  #forget(): void {
    this.#program = undefined
    this.#storage?.close()
    this.#storage = undefined
    this.#running = false
    this.#atRest = []
    this.#slices = []
    this.#suspendedBy = undefined
    this.#resuming = undefined
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
    switch (command.kind) {
      case 'suspend':
        // Answered when the program stands still.
        this.#whenAtRest(seq, () => this.#suspend(program, seq))
        break
      case 'withdraw':
        this.#atRest = this.#atRest.filter((action) => action.seq !== command.suspendSeq)
        program.stopWanted = this.#atRest.length > 0
        if (this.#suspendedBy === command.suspendSeq) this.#goOn(program)
        this.#done(seq, true)
        break
      case 'resume-here':
        this.#resuming = seq
        this.#goOn(program)
        break
      case 'discard':
        if (this.#running) throw notNow('the cell is not suspended')
        this.#forget()
        this.#done(seq, true)
        this.#report({ kind: 'ended', exit: { kind: 'killed', usage: program.usage() } })
        break
      case 'read-file':
        this.#done(seq, program.readFile(command.path) ?? {})
        break
      case 'write-stdin':
        this.#done(seq, program.writeStdin(command.piece))
        break
      case 'add':
        this.#done(seq, { complete: program.add(command.parts) })
        break
      default:
        this.#copyCommand(program, seq, command)
    }
  }

  #copyCommand(program: Program, seq: number, command: CopyCommand): void {
    const { departure } = program
    if (command.kind === 'end-copy') {
      if (departure === undefined) this.#done(seq, true)
      else this.#whenAtRest(seq, () => this.#done(seq, this.#endCopy(program)))
      return
    }
    if (departure === undefined) throw notNow('no copy of the cell is being made')
    program.stopNears = command.kind === 'dirty'
    if (command.kind === 'slice') this.#slices.push({ seq, round: command.round })
    else if (command.kind === 'dirty') this.#done(seq, { bytes: departure.leftBytes() })
    else this.#whenAtRest(seq, () => this.#send(seq, departure.rehearsal(program.usage())))
  }

  /** Has `act` done when the program stands still, for which it is stopped; it goes on unless that suspends it. */
  #whenAtRest(seq: number, act: (program: Program) => void): void {
    const program = this.#program
    if (program === undefined) throw new CodedError<CellErrorCode>('CELL_ENDED', 'the cell has already ended')
    if (!program.migratable) throw notMigratable()
    if (this.#running) {
      this.#atRest.push({ seq, act })
      program.stopWanted = true
    } else act(program)
  }

  #rest(program: Program): void {
    const actions = this.#atRest
    this.#atRest = []
    program.stopWanted = false
    for (const { seq, act } of actions) {
      try {
        act(program)
      } catch (error) {
        this.#failed(seq, error)
      }
    }
  }

  /** Runs the program for as long as it is to run. */
  #runOn(): void {
    const program = this.#program
    while (program !== undefined && this.#running) {
      const outcome = program.run()
      if (outcome.kind === 'ended') {
        this.#forget()
        this.#ended(outcome.exit)
      } else this.#rest(program)
    }
  }

  #beginCopy(program: Program, seq: number, module: WebAssembly.Module): void {
    program.beginCopy(module)
    this.#snapshot += 1
    this.#done(seq, true)
  }

  #endCopy(program: Program): true {
    program.endCopy()
    program.stopNears = false
    for (const { seq } of this.#slices.splice(0)) this.#failed(seq, notNow('the copy of the cell is over'))
    return true
  }

  #goOn(program: Program): void {
    this.#suspendedBy = undefined
    this.#endCopy(program)
    program.stopWanted = this.#atRest.length > 0
    this.#running = true
  }

  #resumed(): void {
    if (this.#resuming === undefined) return
    this.#done(this.#resuming, { resumedAt: hostMono() })
    this.#resuming = undefined
  }

  /** Held-up time of a running program is bounded; one that waits or stands still loses none. */
  #serveSlices(program: Program, isIdle: boolean): void {
    const { departure } = program
    while (departure !== undefined) {
      const request = this.#slices[0]
      const from = systemClock.mono()
      if (request === undefined || (!isIdle && !departure.session.isDue(from))) return
      let taken: ReturnType<Departure['next']>
      try {
        taken = departure.next(request.round)
      } catch (error) {
        // The copy is spoiled, the program is not.
        this.#slices.shift()
        this.#failed(request.seq, notNow(`a piece of the program could not be copied: ${messageOf(error)}`))
        this.#whenAtRest(request.seq, () => this.#endCopy(program))
        return
      }
      departure.session.heldUp(from, systemClock.mono())
      if (taken === 'later') continue
      this.#slices.shift()
      if (taken === undefined) this.#done(request.seq, {})
      else this.#send(request.seq, taken)
    }
  }

  #suspend(program: Program, seq: number): void {
    const { stoppedAt } = program
    const stoodStill = !this.#running
    // What was taken of it before is elsewhere, or nowhere: this is all of it.
    if (stoodStill) this.#endCopy(program)
    this.#running = false
    this.#suspendedBy = seq
    this.#report({ kind: 'quiesced', seq })
    try {
      if (program.departure === undefined) this.#snapshot += 1
      for (const material of program.pack()) {
        if (material.kind !== 'state') this.#send(seq, material, 'more')
        else this.#send(seq, material, { stoppedAt })
      }
    } catch (error) {
      // It cannot be moved, so it goes on if it ran.
      if (!stoodStill) this.#goOn(program)
      const code: CellErrorCode = isCoded<CellErrorCode>(error) ? error.code : 'CELL_STATE_NOT_SERIALIZABLE'
      this.#report({ kind: 'failed', seq, code, message: bounded(messageOf(error)) })
    }
  }

  /** The bytes are handed over: they are in a buffer of their own. */
  #send(seq: number, material: Material, last?: 'more' | Stopped): void {
    const report: WorkerReport = {
      kind: 'material',
      seq,
      snapshot: this.#snapshot,
      material,
      ...(last === undefined ? {} : { last }),
    }
    const { buffer, byteLength } = material.payload
    this.#port.postMessage(report, byteLength === buffer.byteLength ? [buffer as ArrayBuffer] : [])
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
}

function notNow(why: string): CodedError<CellErrorCode> {
  return new CodedError('CELL_STATE_NOT_SERIALIZABLE', why)
}

function bound(failed: { code: CellErrorCode; message: string }): { code: string; message: string } {
  return { code: failed.code, message: bounded(failed.message) }
}

if (parentPort !== null) new CellThread(parentPort).listen()
