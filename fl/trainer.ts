// Training off the event loop: a thread per job, which loads the tensor library and ends with it.
import { Worker } from 'node:worker_threads'
import { entryUrl } from '../core/entry.ts'
import { CodedError } from '../core/errors.ts'
import type { BackendName } from './backend.ts'
import type { FlErrorCode } from './errors.ts'
import type { TrainingOptions, TrainingResult, TrainingSet } from './training.ts'
import type { TrainingAnswer, TrainingJob } from './worker.ts'

/** JavaScript heap of the thread: the library takes about 40 MiB, the largest training set less than one. */
const HEAP_MB = 256

export interface TrainerInit {
  /** @default 'auto': native if installed, else wasm, else cpu */
  readonly backend?: BackendName | 'auto'
}

export class Trainer {
  readonly #backend: BackendName | 'auto'
  #used: BackendName | undefined

  constructor(init: TrainerInit = {}) {
    this.#backend = init.backend ?? 'auto'
  }

  /** The backend of the last training, when there was one. */
  get backend(): BackendName | undefined {
    return this.#used
  }

  /**
   * Trains a copy of `weights` on `set`; neither is changed. Rejects with `FL_TRAINING_FAILED`, and with the signal's reason
   * when it aborts: the thread is then ended in mid-step.
   */
  async train(
    weights: Float32Array,
    set: TrainingSet,
    options: TrainingOptions & { readonly signal?: AbortSignal },
  ): Promise<TrainingResult> {
    const { signal, ...rest } = options
    signal?.throwIfAborted()
    const job: TrainingJob = { backend: this.#backend, weights, set, options: rest }
    const worker = new Worker(entryUrl(import.meta.url, 'worker'), {
      workerData: job,
      name: 'cloudskin-training',
      env: {},
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    })
    const { promise, resolve, reject } = Promise.withResolvers<TrainingAnswer>()
    const onAbort = (): void => reject(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    worker.once('message', resolve)
    worker.once('error', (error) => resolve({ kind: 'failed', message: error.message }))
    worker.once('exit', (code) => resolve({ kind: 'failed', message: `the training thread ended with ${code}` }))
    try {
      const answer = await promise
      if (answer.kind === 'failed')
        throw new CodedError<FlErrorCode>('FL_TRAINING_FAILED', `the model was not trained: ${answer.message}`)
      this.#used = answer.backend
      return answer.result
    } finally {
      signal?.removeEventListener('abort', onAbort)
      await worker.terminate()
    }
  }
}
