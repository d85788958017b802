// Entry of the training process: one job in, one answer out, then it ends.
import { constants, setPriority } from 'node:os'
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

// Cells and the peer come first; where priorities cannot be set, training competes as an equal.
try {
  setPriority(constants.priority.PRIORITY_BELOW_NORMAL)
} catch {}

process.once('message', (job: TrainingJob) => {
  void run(job).then((answer) => process.send?.(answer, () => process.exit()))
})
// The peer is gone: nobody waits for an answer.
process.once('disconnect', () => process.exit())
