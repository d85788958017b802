// Start, stop, and the tasks and deadlines that hang on them.
import { type Clock, sleep } from './clock.ts'
import { CodedError, isAbort } from './errors.ts'

export interface Startable {
  start(): Promise<void>
  /** Idempotent; afterwards `start()` may be called again. */
  stop(): Promise<void>
}

/** A signal that aborts with `signal`, or after `timeoutMs` with a `TimeoutError`. */
export function deadline(timeoutMs: number, signal?: AbortSignal): AbortSignal {
  const timeout = AbortSignal.timeout(timeoutMs)
  return signal === undefined ? timeout : AbortSignal.any([signal, timeout])
}

/** Rejects with the signal's reason as soon as it aborts, else follows `promise`. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise<T>((resolve, reject) => {
    if (signal.aborted) {
      promise.catch(() => undefined)
      reject(signal.reason)
      return
    }
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

export interface TasksInit {
  /** Called with every failure of a task that is not an abort: no promise without an owner. */
  readonly onError: (error: unknown, name: string) => void
}

/** The tasks of one started service: they share a signal, and `stop` aborts and then awaits them all. */
export class Tasks {
  readonly #controller = new AbortController()
  readonly #running = new Set<Promise<void>>()
  readonly #onError: TasksInit['onError']

  constructor(init: TasksInit) {
    this.#onError = init.onError
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Runs `work` now and owns its promise. */
  run(name: string, work: (signal: AbortSignal) => Promise<void>): void {
    if (this.signal.aborted) return
    const task = work(this.signal)
      .catch((error: unknown) => {
        if (!this.signal.aborted && !isAbort(error)) this.#onError(error, name)
      })
      .finally(() => this.#running.delete(task))
    this.#running.add(task)
  }

  /** Repeats `work`, waiting `intervalMs()` before each turn, until stopped; a failed turn does not end it. */
  every(name: string, clock: Clock, intervalMs: () => number, work: (signal: AbortSignal) => Promise<void>): void {
    this.run(name, async (signal) => {
      while (!signal.aborted) {
        await sleep(clock, intervalMs(), signal)
        try {
          await work(signal)
        } catch (error) {
          if (signal.aborted) return
          this.#onError(error, name)
        }
      }
    })
  }

  async stop(): Promise<void> {
    this.#controller.abort(new CodedError('STOPPED', 'the service was stopped'))
    while (this.#running.size > 0) await Promise.allSettled([...this.#running])
  }
}
