// The heuristic: what a module took before, scaled by how fast each host's calibration kernels are. Needs no training, and is
// what the model has to beat.
import type { CellFacts, PeerFacts, Prediction, Predictor } from './types.ts'

/** A run that this peer hosted, or had placed. */
export interface ObservedRun {
  readonly module: string
  readonly inputBytes: number
  readonly opcodeFeatures: readonly number[]
  /** From the first instruction to the last, throttling included; only of runs that did not move. */
  readonly ms: number
  readonly host: Pick<PeerFacts, 'calibration' | 'fuelShare'>
}

interface RunMean {
  readonly n: number
  /** Mean of ln(milliseconds on this very peer). */
  readonly lnMs: number
}

/** Plain data, for the home. */
export interface SpecCostState {
  readonly modules: readonly (readonly [key: string, n: number, lnMs: number])[]
  /** Mean of ln(actual / prior) over everything: what corrects the guess for modules never seen. */
  readonly prior: RunMean
}

/** Old runs fade: a mean follows a change within about this many runs. */
const MEMORY_RUNS = 10
/** Oldest first beyond this: some hundred bytes each. */
const MAX_MEANS = 4096
/** An unseen program: the start itself, input at 10 MB/s, and code, as big programs mostly do more. */
const PRIOR_START_MS = 50
const PRIOR_MS_PER_BYTE = 1 / 10_000
const PRIOR_MS_PER_OPCODE = 1 / 2000
/** What few runs of other programs say about an unseen one is taken with this much caution, in runs. */
const PRIOR_CAUTION = 4
/** One step is 4x the input; between a constant and a linear program, time then grows 2x. */
const BUCKET_GROWTH = 2
/** However odd the facts, nothing is predicted outside of 0.01 ms to 30 days. */
const MIN_MS = 0.01
const MAX_MS = 30 * 86_400_000

export class SpecCost implements Predictor {
  readonly #own: () => Pick<PeerFacts, 'calibration' | 'fuelShare'>
  /** In the order of their last run. */
  readonly #means: Map<string, RunMean>
  #prior: RunMean

  /** `own` are this peer's facts: every index is relative to them. */
  constructor(own: () => Pick<PeerFacts, 'calibration' | 'fuelShare'>, state?: SpecCostState) {
    this.#own = own
    this.#means = new Map(state?.modules.map(([key, n, lnMs]) => [key, { n, lnMs }]))
    this.#prior = state?.prior ?? { n: 0, lnMs: 0 }
  }

  observe(run: ObservedRun): void {
    const lnMs = Math.log(bounded(run.ms / speedIndex(run.host, this.#own())))
    const key = keyOf(run.module, bucketOf(run.inputBytes))
    const mean = merged(this.#means.get(key), lnMs)
    this.#means.delete(key)
    this.#means.set(key, mean)
    const oldest = this.#means.keys().next()
    if (this.#means.size > MAX_MEANS && !oldest.done) this.#means.delete(oldest.value)
    this.#prior = merged(this.#prior.n === 0 ? undefined : this.#prior, lnMs - Math.log(priorMs(run)))
  }

  predict(cell: CellFacts, peer: PeerFacts): Prediction {
    const { lnMs, basis } = this.#expected(cell)
    return { ms: bounded(Math.exp(lnMs) * speedIndex(peer, this.#own())), by: 'spec-cost', basis }
  }

  state(): SpecCostState {
    return { modules: [...this.#means].map(([key, { n, lnMs }]) => [key, n, lnMs] as const), prior: this.#prior }
  }

  #expected(cell: CellFacts): { lnMs: number; basis: string } {
    const bucket = bucketOf(cell.inputBytes)
    for (let distance = 0; distance <= MAX_BUCKET; distance++) {
      for (const other of distance === 0 ? [bucket] : [bucket - distance, bucket + distance]) {
        const mean = this.#means.get(keyOf(cell.module, other))
        if (mean === undefined) continue
        const lnMs = mean.lnMs + (bucket - other) * Math.log(BUCKET_GROWTH)
        return { lnMs, basis: `${runs(mean.n)} of it with ${distance === 0 ? 'such' : 'other'} input` }
      }
    }
    const { n, lnMs: learned } = this.#prior
    const lnMs = Math.log(priorMs(cell)) + (learned * n) / (n + PRIOR_CAUTION)
    return { lnMs, basis: this.#prior.n === 0 ? 'its size alone' : `its size and ${runs(this.#prior.n)} of others` }
  }
}

/**
 * How many times longer things take on `host` than on `own`: geometric mean over the kernels that both have timed, or by
 * their shares of fuel when there is none.
 */
export function speedIndex(
  host: Pick<PeerFacts, 'calibration' | 'fuelShare'>,
  own: Pick<PeerFacts, 'calibration' | 'fuelShare'>,
): number {
  let sum = 0
  let shared = 0
  for (const [kernel, ms] of Object.entries(host.calibration)) {
    const mine = Object.hasOwn(own.calibration, kernel) ? own.calibration[kernel] : undefined
    if (mine === undefined || !(mine > 0) || !(ms > 0) || !Number.isFinite(mine) || !Number.isFinite(ms)) continue
    sum += Math.log(ms / mine)
    shared++
  }
  const index = shared > 0 ? Math.exp(sum / shared) : share(own.fuelShare) / share(host.fuelShare)
  return Math.min(Math.max(index, 1e-4), 1e4)
}

function share(fuelShare: number): number {
  return fuelShare > 0 && fuelShare <= 1 ? Math.max(fuelShare, 1e-3) : 1
}

function priorMs(cell: Pick<CellFacts, 'inputBytes' | 'opcodeFeatures'>): number {
  const opcodes = cell.opcodeFeatures.reduce((sum, value) => sum + Math.expm1(Math.min(Math.max(value, 0), 20)), 0)
  return bounded(PRIOR_START_MS + cell.inputBytes * PRIOR_MS_PER_BYTE + opcodes * PRIOR_MS_PER_OPCODE)
}

/** Factor-4 steps of the input's size; 26 is 4 PiB. */
const MAX_BUCKET = 26

function bucketOf(bytes: number): number {
  return Math.min(MAX_BUCKET, Math.round(Math.log2(1 + Math.max(0, bytes)) / 2))
}

function keyOf(module: string, bucket: number): string {
  return `${module}/${bucket}`
}

function merged(mean: RunMean | undefined, lnMs: number): RunMean {
  if (mean === undefined) return { n: 1, lnMs }
  const n = mean.n + 1
  return { n, lnMs: mean.lnMs + (lnMs - mean.lnMs) / Math.min(n, MEMORY_RUNS) }
}

function bounded(ms: number): number {
  return Number.isNaN(ms) ? MIN_MS : Math.min(Math.max(ms, MIN_MS), MAX_MS)
}

function runs(n: number): string {
  return n === 1 ? '1 run' : `${n} runs`
}
