// Training off the event loop: a process per job, which loads the tensor library, gives way to cells, and takes all its memory
// along when it ends. (A thread kept 50 to 120 MB of the peer's resident memory after its end.)
import { fork } from 'node:child_process'
import { entryUrl } from '../core/entry.ts'
import { CodedError, isCoded } from '../core/errors.ts'
import type { BackendName } from './backend.ts'
import type { FlErrorCode } from './errors.ts'
import type { TrainingOptions, TrainingResult, TrainingSet } from './training.ts'
import type { TrainingAnswer, TrainingJob } from './worker.ts'

/** JavaScript heap of the process: the library takes about 40 MiB, the largest training set less than one. */
const HEAP_MB = 256

export interface TrainerInit {
  /** @default 'auto': native if installed, else wasm, else cpu */
  readonly backend?: BackendName | 'auto'
}

export class Trainer {
  #backend: BackendName | 'auto'
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
   * when it aborts: the process is then ended in mid-step.
   */
  async train(
    weights: Float32Array,
    set: TrainingSet,
    options: TrainingOptions & { readonly signal?: AbortSignal },
  ): Promise<TrainingResult> {
    const { signal, ...rest } = options
    try {
      return await this.#attempt({ backend: this.#backend, weights, set, options: rest }, signal)
    } catch (error) {
      // A native library takes its process along where the CPU lacks an instruction that it was built for.
      if (this.#backend !== 'auto' || !isCoded(error) || error.facts.killedBy === undefined) throw error
      this.#backend = 'wasm'
      return this.#attempt({ backend: this.#backend, weights, set, options: rest }, signal)
    }
  }

  async #attempt(job: TrainingJob, signal: AbortSignal | undefined): Promise<TrainingResult> {
    signal?.throwIfAborted()
    const child = fork(entryUrl(import.meta.url, 'worker'), {
      execArgv: [`--max-old-space-size=${HEAP_MB}`],
      env: {},
      // Numbers travel as the typed arrays they are.
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    const { promise, resolve, reject } = Promise.withResolvers<TrainingAnswer>()
    const onAbort = (): void => reject(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    let killedBy: NodeJS.Signals | undefined
    const failed = (message: string): void => resolve({ kind: 'failed', message })
    child.once('message', (answer) => resolve(answer as TrainingAnswer))
    child.on('error', (error) => failed(error.message))
    child.once('exit', (code, signalled) => {
      killedBy = signalled ?? undefined
      failed(`the training process ended with ${signalled ?? code}`)
    })
    child.send(job, (error) => {
      if (error !== null) failed(error.message)
    })
    try {
      const answer = await promise
      if (answer.kind === 'failed')
        throw new CodedError<FlErrorCode>('FL_TRAINING_FAILED', `the model was not trained: ${answer.message}`, {
          facts: { killedBy },
        })
      this.#used = answer.backend
      return answer.result
    } finally {
      signal?.removeEventListener('abort', onAbort)
      child.kill('SIGKILL')
    }
  }
}
