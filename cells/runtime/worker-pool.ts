// In the host process: worker threads for cells, some kept ready, reused after a cell that ended by itself.
import { Worker } from 'node:worker_threads'
import { entryUrl } from '../../core/entry.ts'
import { messageOf } from '../../core/errors.ts'
import { CELLS_PER_WORKER, SPARE_WORKERS, STARTING_WORKERS, WORKER_STACK_MB } from './limits.ts'
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
    void this.#worker.terminate()
  }
}

export class WorkerPool {
  readonly #heapMb: number
  /** Started, without a cell. */
  readonly #spare: CellWorker[] = []
  /** Starts that wait for a worker, first come first served. */
  readonly #waiting: ((worker: CellWorker) => void)[] = []
  #starting = 0

  constructor(heapMb: number) {
    this.#heapMb = heapMb
  }

  /** Makes sure that the next `take` finds a worker that has started. */
  warm(): void {
    this.#spawn(SPARE_WORKERS - this.#spare.length - this.#starting)
  }

  /** A started worker: a spare one, or the first that starts or comes back. In a burst few start, and many are reused. */
  async take(events: WorkerEvents): Promise<CellWorker> {
    const worker = this.#spare.pop() ?? (await this.#next())
    worker.events = events
    return worker
  }

  /** Takes a worker back whose cell has ended by itself. */
  giveBack(worker: CellWorker): void {
    worker.events = undefined
    worker.cellsRun += 1
    if (worker.cellsRun < CELLS_PER_WORKER) this.#offer(worker)
    else worker.terminate()
  }

  #next(): Promise<CellWorker> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.#spawn(Math.min(this.#waiting.length, STARTING_WORKERS) - this.#starting)
    })
  }

  #offer(worker: CellWorker): void {
    const next = this.#waiting.shift()
    if (next !== undefined) next(worker)
    else if (this.#spare.length <= SPARE_WORKERS) this.#spare.push(worker)
    else worker.terminate()
  }

  #spawn(count: number): void {
    for (let i = 0; i < count; i++) {
      this.#starting += 1
      let starting = true
      const started = (): void => {
        if (starting) this.#starting -= 1
        starting = false
        this.#spawn(Math.min(this.#waiting.length, STARTING_WORKERS) - this.#starting)
      }
      const worker = new CellWorker(this.#heapMb, (gone) => {
        const at = this.#spare.indexOf(gone)
        if (at >= 0) this.#spare.splice(at, 1)
        started()
      })
      worker.events = {
        onReport: () => {
          worker.events = undefined
          this.#offer(worker)
          started()
        },
        onGone: () => undefined,
      }
    }
  }
}
