// The network's forward pass in plain JavaScript, so that a peer that only predicts never loads a tensor library.
import { HIDDEN_UNITS, PARAMETERS } from './architecture.ts'
import { baseLnMs, type CellFeatures, FEATURE_COUNT, featureVector, type PeerFeatures } from './features.ts'

/** ln(ms) can be no further out than this: e^20 ms is 15 years. */
const MAX_LN_MS = 20

/** The network's output for one feature vector: the correction to the base, ln(ms). `weights` as in `LAYOUT`. */
export function correction(weights: Float32Array, features: Float32Array): number {
  if (weights.length !== PARAMETERS || features.length !== FEATURE_COUNT)
    throw new RangeError(`${weights.length} weights and ${features.length} features do not fit the model`)
  const [first, second] = HIDDEN_UNITS
  const hidden1 = dense(weights, 0, features, first)
  const at2 = (FEATURE_COUNT + 1) * first
  const hidden2 = dense(weights, at2, hidden1, second)
  let at = at2 + (first + 1) * second
  let sum = 0
  for (const value of hidden2) sum += value * (weights[at++] ?? 0)
  for (const value of features) sum += value * (weights[at++] ?? 0)
  return sum + (weights[at] ?? 0)
}

/** Predicted run time in ms of `cell` on `peer`. */
export function predictMs(weights: Float32Array, cell: CellFeatures, peer: PeerFeatures): number {
  const lnMs = baseLnMs(peer) + correction(weights, featureVector(cell, peer))
  return Math.exp(Math.min(Math.max(lnMs, -MAX_LN_MS), MAX_LN_MS))
}

/** tanh(x W + b), with W (row-major, inputs first) and then b lying at `offset`. */
function dense(weights: Float32Array, offset: number, inputs: Float32Array, units: number): Float32Array {
  const out = new Float32Array(units)
  const bias = offset + inputs.length * units
  for (let unit = 0; unit < units; unit++) {
    let sum = weights[bias + unit] ?? 0
    let at = offset + unit
    for (const input of inputs) {
      sum += input * (weights[at] ?? 0)
      at += units
    }
    out[unit] = Math.tanh(sum)
  }
  return out
}
