// The placement model of one peer: shared weights, private runs, and the judgement which of model and heuristic to trust.
import { sha256Hex } from '../core/bytes.ts'
import { CodedError } from '../core/errors.ts'
import { initialWeights, PARAMETERS, SHAPE_HASH, validWeights } from './architecture.ts'
import type { BackendName } from './backend.ts'
import { decide, logError, type Verdict } from './decider.ts'
import type { FlErrorCode } from './errors.ts'
import { baseLnMs, type CellFeatures, FEATURE_COUNT, featureVector, type PeerFeatures } from './features.ts'
import { predictMs } from './predict.ts'
import { type Run, type Sample, type SampleStore, Samples } from './samples.ts'
import { Trainer } from './trainer.ts'
import type { TrainingSet } from './training.ts'

/** Where a version comes from. */
export interface ModelLineage {
  /** Name of these weights with this history; hex. */
  readonly version: string
  /** Joint rounds behind it. */
  readonly round: number
  /** The version it was trained from; empty for version 0. */
  readonly parent: string
  /** Peers whose updates are in the last step. */
  readonly contributors: readonly string[]
}

export interface StoredModel {
  /** {@link SHAPE_HASH} of the build that wrote it: weights of another shape are not loaded. */
  readonly shape: string
  readonly lineage: ModelLineage
  readonly weights: Float32Array
}

/** Keeps the current version across restarts. */
export interface ModelStore {
  load(): Promise<StoredModel | undefined>
  /** Atomic, and durable when it resolves. */
  save(model: StoredModel): Promise<void>
}

export interface Evaluation {
  /** Mean absolute error of ln(ms). */
  readonly loss: number
  /** The heuristic's, over those runs for which it was asked. */
  readonly heuristicLoss?: number
  readonly runs: number
}

export interface PlacementModelInit {
  readonly samples: SampleStore
  readonly model?: ModelStore
  /** @default 'auto' */
  readonly backend?: BackendName | 'auto'
}

/**
 * Local training of one round: about 80 steps, in at most 20 and at least 4 passes. More lets peers with different work drift
 * apart (client drift); fewer leave a peer with a dozen runs without effect.
 */
const TRAINING = { steps: 80, minEpochs: 4, maxEpochs: 20, learningRate: 0.02, batch: 16 } as const

export class PlacementModel {
  readonly samples: Samples
  readonly #store: ModelStore | undefined
  readonly #trainer: Trainer
  #weights: Float32Array
  #lineage: ModelLineage
  #decides: Verdict['decides'] = 'heuristic'
  /** Until there is another run or version: it is asked for with every candidate of every placement. */
  #verdict: Verdict | undefined
  /** What the last training saw and started from, and the runs that have come into a version. */
  #trained = { upTo: 0, from: '' }
  #adoptedUpTo = 0

  constructor(init: PlacementModelInit) {
    this.samples = new Samples(init.samples)
    this.#store = init.model
    this.#trainer = new Trainer(init.backend === undefined ? {} : { backend: init.backend })
    this.#weights = initialWeights()
    const version = sha256Hex(new Uint8Array(this.#weights.buffer))
    this.#lineage = { version, round: 0, parent: '', contributors: [] }
  }

  /** Reads what an earlier run of the peer has learned; a stored model of another shape or with bad numbers is passed over. */
  async load(): Promise<void> {
    await this.samples.load()
    this.#verdict = undefined
    const stored = await this.#store?.load()
    if (stored?.shape !== SHAPE_HASH || !validWeights(stored.weights)) return
    this.#weights = stored.weights.slice()
    this.#lineage = stored.lineage
  }

  get shape(): string {
    return SHAPE_HASH
  }

  get parameters(): number {
    return PARAMETERS
  }

  get lineage(): ModelLineage {
    return this.#lineage
  }

  get version(): string {
    return this.#lineage.version
  }

  get round(): number {
    return this.#lineage.round
  }

  /** A copy: whoever gets it may change it. */
  get weights(): Float32Array {
    return this.#weights.slice()
  }

  get backend(): BackendName | undefined {
    return this.#trainer.backend
  }

  /** Runs that training may see and that are in no version yet, as far as this life of the peer knows. */
  get fresh(): number {
    return this.samples.training.filter(({ index }) => index >= this.#adoptedUpTo).length
  }

  /** Predicted milliseconds of `cell` on `peer`, whoever decides now. A few microseconds; loads nothing. */
  predict(cell: CellFeatures, peer: PeerFeatures): number {
    return predictMs(this.#weights, cell, peer)
  }

  /** Keeps a finished run of this peer, with what the model says of it before it learns from it. */
  record(run: Run): Promise<Sample> {
    this.#verdict = undefined
    return this.samples.add(run, this.predict(run.cell, run.peer))
  }

  /** How well `weights` (the current ones by default) predict `samples` (the held-out ones by default). */
  evaluate(
    samples: readonly Run[] = this.samples.validation,
    weights: Float32Array = this.#weights,
  ): Evaluation | undefined {
    if (samples.length === 0) return undefined
    const loss = logError(samples.map(({ cell, peer, ms }) => [predictMs(weights, cell, peer), ms]))
    const asked = samples.filter(({ heuristicMs }) => heuristicMs !== undefined && heuristicMs > 0)
    if (asked.length === 0) return { loss, runs: samples.length }
    const heuristicLoss = logError(asked.map(({ heuristicMs, ms }) => [heuristicMs ?? ms, ms]))
    return { loss, heuristicLoss, runs: samples.length }
  }

  /** Who should predict now, and why. Remembers its answer: the margin depends on who decided before. */
  verdict(): Verdict {
    this.#verdict ??= decide(this.samples.all, ({ cell, peer }) => this.predict(cell, peer), this.#decides)
    this.#decides = this.#verdict.decides
    return this.#verdict
  }

  /**
   * Trains a copy of the current weights on the peer's own runs. Resolves with the difference and the number of runs behind
   * it, or undefined when there are none yet. The model itself stays as it is.
   */
  async train(
    init: { readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly delta: Float32Array; readonly samples: number } | undefined> {
    const runs = this.samples.training
    if (runs.length === 0) return undefined
    const upTo = this.samples.count
    const from = this.#weights
    const parent = this.version
    const { learningRate, batch } = TRAINING
    const passes = Math.ceil(TRAINING.steps / Math.ceil(runs.length / batch))
    const epochs = Math.min(Math.max(passes, TRAINING.minEpochs), TRAINING.maxEpochs)
    const options = { epochs, learningRate, batch, seed: this.round + 1, ...init }
    const { weights } = await this.#trainer.train(from, trainingSet(runs), options)
    if (!validWeights(weights))
      throw new CodedError<FlErrorCode>('FL_TRAINING_FAILED', 'training diverged; the model is what it was')
    this.#trained = { upTo, from: parent }
    return { delta: weights.map((value, k) => value - (from[k] ?? 0)), samples: runs.length }
  }

  /**
   * Replaces the model; durable when it resolves, and untouched when it rejects (`FL_WEIGHTS_INVALID`, or the store's reason).
   * `contributed`: what this peer's last training gave away is in it.
   */
  async adopt(weights: Float32Array, lineage: ModelLineage, contributed: boolean): Promise<void> {
    if (!validWeights(weights))
      throw new CodedError<FlErrorCode>(
        'FL_WEIGHTS_INVALID',
        `version ${lineage.version.slice(0, 8)} was not adopted: it is not ${PARAMETERS} finite numbers`,
      )
    const copy = weights.slice()
    await this.#store?.save({ shape: SHAPE_HASH, lineage, weights: copy })
    this.#weights = copy
    this.#lineage = lineage
    this.#verdict = undefined
    if (contributed && lineage.parent === this.#trained.from) this.#adoptedUpTo = this.#trained.upTo
  }
}

/** What the trainer needs of `runs`: features, and ln(ms) less the base. */
export function trainingSet(runs: readonly Run[]): TrainingSet {
  const features = new Float32Array(runs.length * FEATURE_COUNT)
  const targets = new Float32Array(runs.length)
  for (const [row, { cell, peer, ms }] of runs.entries()) {
    features.set(featureVector(cell, peer), row * FEATURE_COUNT)
    targets[row] = Math.log(ms) - baseLnMs(peer)
  }
  return { features, targets }
}
