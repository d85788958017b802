// Entry of a cell host process: the cells of one owner, each in a worker thread. It holds no key, has no environment,
// and ends with the channel to its peer.
import { systemClock } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import { Control } from './control.ts'
import { KILL_POLL_MS, MAX_CELLS_PER_HOST } from './limits.ts'
import { bounded, type HostCommand, type ReportedExit, type WorkerReport } from './messages.ts'
import { ModuleCache } from './module-cache.ts'
import { type MaterialReport, PartPress } from './part-press.ts'
import { type CellWorker, WorkerPool } from './worker-pool.ts'

interface RunningCell {
  readonly worker: CellWorker
  readonly control: Control
  readonly startSeq: number
  /** Requests that the worker has not answered. */
  readonly open: Set<number>
  readonly press: PartPress
  killed: boolean
}

class CellHost {
  readonly #cells = new Map<number, RunningCell>()
  /** Cells that were let in and have no thread yet. */
  #starting = 0
  readonly #modules: ModuleCache
  readonly #pool: WorkerPool

  readonly #folder: string | undefined

  constructor(heapMb: number, folder: string | undefined) {
    this.#folder = folder
    this.#modules = new ModuleCache(systemClock, heapMb)
    this.#pool = new WorkerPool(systemClock, heapMb)
  }

  listen(): void {
    process.on('message', (command: HostCommand) => {
      this.#handle(command).catch((error: unknown) => {
        const code = isCoded(error) ? error.code : 'CELL_HOST_DIED'
        this.#send({ kind: 'failed', seq: command.seq, code, message: bounded(messageOf(error)) })
      })
    })
    process.on('disconnect', () => process.exit(0))
    this.#pool.warm()
  }

  #send(report: object, onSent?: () => void): void {
    process.send?.(report, undefined, undefined, () => onSent?.())
  }

  #done(seq: number, value: unknown): void {
    this.#send({ kind: 'done', seq, value })
  }

  async #handle(command: HostCommand): Promise<void> {
    const { seq } = command
    if (command.kind === 'inspect') return this.#done(seq, await this.#modules.inspect(command.module, command.mode))
    if (command.kind === 'prepare') {
      await this.#modules.get(command.module)
      return this.#done(seq, true)
    }
    if (command.kind === 'start') return this.#start(command)
    const cell = this.#cells.get(command.cell)
    if (cell === undefined) throw new CodedError<CellErrorCode>('CELL_ENDED', 'the cell has already ended')
    if (command.kind === 'usage') return this.#done(seq, cell.control.usage())
    if (command.kind === 'kill') {
      this.#kill(command.cell, cell)
      return this.#done(seq, true)
    }
    if (command.kind === 'copy') {
      const { module } = await this.#modules.get(command.module)
      if (this.#cells.get(command.cell) !== cell)
        throw new CodedError<CellErrorCode>('CELL_ENDED', 'the cell has ended')
      cell.open.add(seq)
      cell.worker.post({ kind: 'copy', seq, module })
    } else {
      cell.open.add(seq)
      cell.worker.post({ kind: 'command', seq, command: command.command })
    }
    cell.control.ring()
  }

  #kill(id: number, cell: RunningCell): void {
    cell.killed = true
    cell.worker.post({ kind: 'kill' })
    cell.control.ring()
    systemClock.after(KILL_POLL_MS, () => {
      if (this.#cells.get(id) === cell) cell.worker.terminate()
    })
  }

  async #start(command: Extract<HostCommand, { kind: 'start' }>): Promise<void> {
    const count = this.#cells.size + this.#starting
    if (count >= MAX_CELLS_PER_HOST) {
      const message = `the host process runs ${count} cells of this owner already; wait until one of them has ended`
      throw new CodedError<CellErrorCode>('CELL_TOO_MANY', message)
    }
    this.#starting += 1
    try {
      await this.#begin(command)
    } finally {
      this.#starting -= 1
    }
  }

  async #begin(command: Extract<HostCommand, { kind: 'start' }>): Promise<void> {
    const { seq } = command
    const compiled = await this.#modules.get(command.module)
    const control = new Control()
    const worker = await this.#pool.take({
      onReport: (report) => this.#onReport(command.cell, cell, report),
      onGone: (error) => this.#onGone(command.cell, cell, error),
    })
    const cell: RunningCell = {
      worker,
      control,
      startSeq: seq,
      open: new Set([seq]),
      press: new PartPress(),
      killed: false,
    }
    this.#cells.set(command.cell, cell)
    worker.post({ kind: 'start', seq, compiled, start: command.start, control: control.buffer, folder: this.#folder })
    // The next cell finds a warm worker; this one's start comes first.
    setImmediate(() => this.#pool.warm())
  }

  #onReport(id: number, cell: RunningCell, report: WorkerReport): void {
    if (report.kind === 'ready') return
    if (report.kind === 'output') {
      this.#send({ kind: 'output', cell: id, parts: report.parts }, () => cell.control.acknowledge(report.bytes))
      return
    }
    if (report.kind === 'over') {
      this.#send({ kind: 'over', cell: id })
      return
    }
    if (report.kind === 'ended') {
      this.#end(id, cell, report.exit)
      this.#pool.giveBack(cell.worker)
      return
    }
    if (report.kind === 'material') {
      this.#onMaterial(cell, report)
      return
    }
    if (report.kind !== 'quiesced') cell.open.delete(report.seq)
    this.#send(report)
    if (report.kind === 'failed' && report.seq === cell.startSeq) {
      this.#cells.delete(id)
      this.#pool.giveBack(cell.worker)
    }
  }

  #onMaterial(cell: RunningCell, report: MaterialReport): void {
    const { seq } = report
    const pressed = cell.press.add(report)
    pressed.then(
      (value) => {
        if (value !== undefined && cell.open.delete(seq)) this.#done(seq, value)
      },
      (error: unknown) => {
        cell.open.delete(seq)
        this.#send({ kind: 'failed', seq, code: 'CELL_HOST_DIED', message: bounded(messageOf(error)) })
      },
    )
  }

  #onGone(id: number, cell: RunningCell, error: string | undefined): void {
    if (!this.#cells.has(id)) return
    const usage = cell.control.usage()
    const message = bounded(`the thread that ran the cell ended: ${error ?? 'no reason known'}`)
    const failed = { kind: 'failed', code: 'CELL_HOST_DIED', message, usage } as const
    this.#end(id, cell, cell.killed ? { kind: 'killed', usage } : failed)
  }

  #end(id: number, cell: RunningCell, exit: ReportedExit): void {
    this.#cells.delete(id)
    for (const seq of cell.open) {
      this.#send({ kind: 'failed', seq, code: 'CELL_ENDED', message: 'the cell ended before it could answer' })
    }
    this.#send({ kind: 'ended', cell: id, exit })
  }
}

new CellHost(Number(process.argv[2]), process.argv[3]).listen()
