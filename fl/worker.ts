// Entry of the training thread: one job in, one answer out, then it ends and its memory goes back.
import { parentPort, workerData } from 'node:worker_threads'
import { messageOf } from '../core/errors.ts'
import { type BackendName, loadBackend } from './backend.ts'
import { type TrainingOptions, type TrainingResult, type TrainingSet, trainHere } from './training.ts'

export interface TrainingJob {
  readonly backend: BackendName | 'auto'
  readonly weights: Float32Array
  readonly set: TrainingSet
  readonly options: TrainingOptions
}

export type TrainingAnswer =
  | { readonly kind: 'done'; readonly backend: BackendName; readonly result: TrainingResult }
  | { readonly kind: 'failed'; readonly message: string }

async function run(job: TrainingJob): Promise<TrainingAnswer> {
  try {
    const backend = await loadBackend(job.backend)
    return { kind: 'done', backend: backend.name, result: await trainHere(backend, job.weights, job.set, job.options) }
  } catch (error) {
    return { kind: 'failed', message: messageOf(error) }
  }
}

parentPort?.postMessage(await run(workerData as TrainingJob))
