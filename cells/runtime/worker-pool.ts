// In the host process: worker threads for cells, some kept ready, reused after a cell that ended by itself.
import { Worker } from 'node:worker_threads'
import type { Clock, Timer } from '../../core/clock.ts'
import { entryUrl } from '../../core/entry.ts'
import { messageOf } from '../../core/errors.ts'
import {
  CELLS_PER_WORKER,
  SPARE_WORKERS,
  STARTING_WORKERS,
  WORKER_IDLE_MS,
  WORKER_PATIENCE_MS,
  WORKER_STACK_MB,
} from './limits.ts'
import type { WorkerCommand, WorkerReport } from './messages.ts'

export interface WorkerEvents {
  onReport(report: WorkerReport): void
  /** The thread ended: by `terminate`, or by an error, such as a heap that is full. */
  onGone(error: string | undefined): void
}

/** A thread that runs one cell at a time. */
export class CellWorker {
  cellsRun = 0
  /** Who listens: nobody while the worker is spare. */
  events: WorkerEvents | undefined
  readonly #worker: Worker
  #error: string | undefined
  #isTerminated = false

  constructor(heapMb: number, onGone: (worker: CellWorker) => void) {
    // No `execArgv`: a worker with its own escapes the permission model.
    this.#worker = new Worker(entryUrl(import.meta.url, './worker'), {
      env: {},
      stdin: false,
      resourceLimits: { maxOldGenerationSizeMb: heapMb, stackSizeMb: WORKER_STACK_MB },
    })
    this.#worker.on('message', (report: WorkerReport) => this.events?.onReport(report))
    this.#worker.on('error', (error) => {
      this.#error = messageOf(error)
    })
    this.#worker.on('exit', () => {
      onGone(this)
      this.events?.onGone(this.#error)
    })
  }

  post(command: WorkerCommand): void {
    this.#worker.postMessage(command)
  }

  /** Ends the thread wherever it is; `onGone` follows. */
  terminate(): void {
    this.#isTerminated = true
    void this.#worker.terminate()
  }

  /** It runs no more cells, though it may still report on its last one. */
  get isTerminated(): boolean {
    return this.#isTerminated
  }
}

export class WorkerPool {
  readonly #clock: Clock
  readonly #heapMb: number
  /** Started, without a cell, and since when; the last one used is the last here. */
  readonly #spare: { readonly worker: CellWorker; readonly since: number }[] = []
  /** Starts that wait for a worker, first come first served. */
  readonly #waiting: ((worker: CellWorker) => void)[] = []
  #starting = 0
  #patience: Timer | undefined
  #retirement: Timer | undefined

  constructor(clock: Clock, heapMb: number) {
    this.#clock = clock
    this.#heapMb = heapMb
  }

  /** Makes sure that the next `take` finds a worker that has started. */
  warm(): void {
    if (this.#waiting.length === 0) this.#spawn(SPARE_WORKERS - this.#spare.length - this.#starting)
  }

  /**
   * A started worker: a spare one, or the first that comes back or starts. A cell may be over in less time than a thread
   * takes to start, so that in a burst few are started, and all of them are where cells run on.
   */
  async take(events: WorkerEvents): Promise<CellWorker> {
    const worker = this.#spare.pop()?.worker ?? (await this.#next())
    worker.events = events
    return worker
  }

  /** Takes a worker back whose cell has ended by itself. */
  giveBack(worker: CellWorker): void {
    worker.events = undefined
    worker.cellsRun += 1
    if (!worker.isTerminated && worker.cellsRun < CELLS_PER_WORKER) this.#offer(worker)
    else worker.terminate()
  }

  #next(): Promise<CellWorker> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.#bePatient()
    })
  }

  #bePatient(): void {
    if (this.#patience !== undefined || this.#starting >= STARTING_WORKERS) return
    const [first] = this.#waiting
    this.#patience = this.#clock.after(WORKER_PATIENCE_MS, () => {
      this.#patience = undefined
      // As long as the queue moves, cells are shorter than the start of a thread.
      if (this.#waiting[0] === first) this.#spawn(1)
      if (this.#waiting.length > 0) this.#bePatient()
    })
  }

  #offer(worker: CellWorker): void {
    const next = this.#waiting.shift()
    if (next !== undefined) {
      next(worker)
      return
    }
    this.#spare.push({ worker, since: this.#clock.mono() })
    if (this.#spare.length > SPARE_WORKERS) this.#retirement ??= this.#clock.after(WORKER_IDLE_MS, () => this.#retire())
  }

  /** Ends workers that nobody has needed for a while. */
  #retire(): void {
    this.#retirement = undefined
    const before = this.#clock.mono() - WORKER_IDLE_MS
    while (this.#spare.length > SPARE_WORKERS && (this.#spare[0]?.since ?? Infinity) <= before) {
      this.#spare.shift()?.worker.terminate()
    }
    if (this.#spare.length > SPARE_WORKERS) this.#retirement = this.#clock.after(WORKER_IDLE_MS, () => this.#retire())
  }

  #spawn(count: number): void {
    for (let i = 0; i < count; i++) {
      this.#starting += 1
      let starting = true
      const started = (): void => {
        if (starting) this.#starting -= 1
        starting = false
        if (this.#waiting.length > 0) this.#bePatient()
      }
      const worker = new CellWorker(this.#heapMb, (gone) => {
        const at = this.#spare.findIndex(({ worker }) => worker === gone)
        if (at >= 0) this.#spare.splice(at, 1)
        started()
      })
      worker.events = {
        onReport: () => {
          worker.events = undefined
          started()
          this.#offer(worker)
        },
        onGone: () => undefined,
      }
    }
  }
}
