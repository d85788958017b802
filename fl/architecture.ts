// The shape of the placement network, as data: which tensors there are, in which order they lie in the flat weights.
import { sha256Hex, utf8 } from '../core/bytes.ts'
import { seededRandom } from '../core/random.ts'
import { FEATURE_COUNT, FEATURE_VERSION } from './features.ts'

interface TensorSpec {
  /** Name of the layer that owns it. */
  readonly layer: string
  readonly kind: 'kernel' | 'bias'
  readonly shape: readonly number[]
}

const HIDDEN = [24, 12] as const

/**
 * A perceptron of two tanh layers beside a linear path ("wide and deep", Cheng 2016): run times are nearly products, so in
 * logarithms nearly sums, which the linear path learns from few samples; the perceptron adds what is not a sum.
 */
export const LAYOUT: readonly TensorSpec[] = [
  { layer: 'hidden1', kind: 'kernel', shape: [FEATURE_COUNT, HIDDEN[0]] },
  { layer: 'hidden1', kind: 'bias', shape: [HIDDEN[0]] },
  { layer: 'hidden2', kind: 'kernel', shape: [HIDDEN[0], HIDDEN[1]] },
  { layer: 'hidden2', kind: 'bias', shape: [HIDDEN[1]] },
  { layer: 'deep', kind: 'kernel', shape: [HIDDEN[1], 1] },
  { layer: 'linear', kind: 'kernel', shape: [FEATURE_COUNT, 1] },
  { layer: 'linear', kind: 'bias', shape: [1] },
]

export const HIDDEN_UNITS: readonly [number, number] = HIDDEN

/** Numbers in one tensor of the layout. */
export function sizeOf(spec: { readonly shape: readonly number[] }): number {
  return spec.shape.reduce((product, dimension) => product * dimension, 1)
}

export const PARAMETERS = LAYOUT.reduce((sum, spec) => sum + sizeOf(spec), 0)

/** Fixed for ever: peers that never met share their first version because of it. */
const INITIAL_SEED = 20_250_117

/**
 * The weights of version 0, equal on every peer: Glorot-uniform hidden layers (Glorot and Bengio 2010) and zero outputs, so
 * that the untrained model predicts exactly its base.
 */
export function initialWeights(): Float32Array {
  const random = seededRandom(INITIAL_SEED)
  const out = new Float32Array(PARAMETERS)
  let at = 0
  for (const spec of LAYOUT) {
    const size = sizeOf(spec)
    const [fanIn = 1, fanOut = 1] = spec.shape
    const limit = Math.sqrt(6 / (fanIn + fanOut))
    if (spec.layer.startsWith('hidden') && spec.kind === 'kernel')
      for (let k = 0; k < size; k++) out[at + k] = (random.next() * 2 - 1) * limit
    at += size
  }
  return out
}

/** Hex SHA-256 that two peers share exactly when their weights mean the same. */
export const SHAPE_HASH = sha256Hex(utf8(JSON.stringify({ FEATURE_VERSION, LAYOUT, activation: 'tanh', INITIAL_SEED })))

/** True when `weights` fit the layout and every number is finite. */
export function validWeights(weights: Float32Array): boolean {
  return weights.length === PARAMETERS && weights.every((value) => Number.isFinite(value))
}
