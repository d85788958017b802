// Who predicts now, the model or the heuristic: the model has to earn it on the peer's own recent runs, and can lose it.
import { heldOut, type Sample } from './samples.ts'

export interface Verdict {
  readonly decides: 'model' | 'heuristic'
  /** For people: the figures it rests on. */
  readonly reason: string
}

/** Fewer runs than this say nothing about either. */
const MIN_RUNS = 20
/** Older runs are about another model, another peer, another workload. */
const WINDOW = 60
/** The model takes over at this share of the heuristic's error, and hands back when it is no longer below it at all. */
const TAKE_OVER_AT = 0.9
const HAND_BACK_AT = 1

/** Mean absolute error of ln(ms). */
export function logError(pairs: readonly (readonly [predictedMs: number, ms: number])[]): number {
  return pairs.reduce((sum, [predicted, ms]) => sum + Math.abs(Math.log(predicted / ms)), 0) / pairs.length
}

/**
 * Judges over the last runs for which the heuristic was asked too. A run that the model may have trained on counts with what
 * the model said before it; a held-out one with what `predict` says now.
 */
export function decide(
  samples: readonly Sample[],
  predict: (sample: Sample) => number,
  current: Verdict['decides'],
): Verdict {
  const recent = samples.filter(({ heuristicMs }) => heuristicMs !== undefined && heuristicMs > 0).slice(-WINDOW)
  if (recent.length < MIN_RUNS)
    return { decides: 'heuristic', reason: `only ${recent.length} of ${MIN_RUNS} own runs to judge the model by` }
  const model = logError(recent.map((sample) => [heldOut(sample.index) ? predict(sample) : sample.modelMs, sample.ms]))
  const heuristic = logError(recent.map(({ heuristicMs, ms }) => [heuristicMs ?? ms, ms]))
  const limit = heuristic * (current === 'model' ? HAND_BACK_AT : TAKE_OVER_AT)
  const decides = model < limit ? 'model' : 'heuristic'
  const figures = `error of ln(ms) over the last ${recent.length} own runs: model ${model.toFixed(3)}, heuristic ${heuristic.toFixed(3)}`
  const rule = decides === 'model' ? 'the model is better' : `the model has to get below ${limit.toFixed(3)}`
  return { decides, reason: `${figures}; ${rule}` }
}
