// Training in the current thread: local Adam on Huber loss from given weights, the same on every backend to 1e-5.
import type { LayersModel } from '@tensorflow/tfjs-layers'
import { seededRandom, shuffled } from '../core/random.ts'
import { HIDDEN_UNITS, LAYOUT, PARAMETERS, sizeOf } from './architecture.ts'
import type { TensorBackend } from './backend.ts'
import { FEATURE_COUNT } from './features.ts'

/** Rows of features, and what the network should say for each: ln(ms) minus the base. */
export interface TrainingSet {
  /** `targets.length` rows of `FEATURE_COUNT`. */
  readonly features: Float32Array
  readonly targets: Float32Array
}

export interface TrainingOptions {
  readonly epochs: number
  readonly learningRate: number
  /** Samples per step. */
  readonly batch: number
  /** Of the order in which samples are seen: the same seed gives the same update. */
  readonly seed: number
}

export interface TrainingResult {
  readonly weights: Float32Array
  /** Huber loss over the whole set. */
  readonly lossBefore: number
  readonly lossAfter: number
}

/** Where Huber's loss turns from square to linear, in ln(ms): outliers (a host that swapped) pull no harder than this. */
const HUBER_DELTA = 1
/** Adam's constants (Kingma and Ba 2014), but for epsilon: it keeps rounding noise of dead inputs from becoming a step. */
const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-4 }
/** Weight decay of the hidden layers and the linear path. */
const L2 = 1e-4

/** Trains a copy of `weights`; every tensor it made is disposed of when it ends, however it ends. */
export async function trainHere(
  backend: TensorBackend,
  weights: Float32Array,
  set: TrainingSet,
  options: TrainingOptions,
): Promise<TrainingResult> {
  const { tf, layers } = backend
  const rows = set.targets.length
  if (weights.length !== PARAMETERS || set.features.length !== rows * FEATURE_COUNT || rows === 0)
    throw new RangeError(`${rows} samples of ${set.features.length} features do not fit the model`)
  const model = build(layers)
  const optimizer = tf.train.adam(options.learningRate, ADAM.beta1, ADAM.beta2, ADAM.epsilon)
  const huber: Loss = (truth, guess) => tf.losses.huberLoss(truth, guess, undefined, HUBER_DELTA)
  const x = tf.tensor2d(set.features, [rows, FEATURE_COUNT])
  const y = tf.tensor2d(set.targets, [rows, 1])
  try {
    setWeights(backend, model, weights)
    model.compile({ optimizer, loss: huber })
    const lossOf = (): number =>
      tf.tidy(() => huber(y, model.predict(x) as import('@tensorflow/tfjs-core').Tensor).dataSync()[0] ?? Number.NaN)
    const lossBefore = lossOf()
    const random = seededRandom(options.seed)
    const order = Array.from({ length: rows }, (_, index) => index)
    for (let epoch = 0; epoch < options.epochs; epoch++) {
      const shuffledOrder = shuffled(order, random)
      for (let at = 0; at < rows; at += options.batch) {
        const indices = tf.tensor1d(shuffledOrder.slice(at, at + options.batch), 'int32')
        const xs = tf.gather(x, indices)
        const ys = tf.gather(y, indices)
        await model.trainOnBatch(xs, ys)
        tf.dispose([indices, xs, ys])
      }
    }
    return { weights: await getWeights(model), lossBefore, lossAfter: lossOf() }
  } finally {
    tf.dispose([x, y])
    optimizer.dispose()
    model.dispose()
  }
}

type Loss = (
  truth: import('@tensorflow/tfjs-core').Tensor,
  guess: import('@tensorflow/tfjs-core').Tensor,
) => import('@tensorflow/tfjs-core').Tensor

/** The network of `LAYOUT` as a layers model. */
export function build(layers: TensorBackend['layers']): LayersModel {
  const l2 = layers.regularizers.l2({ l2: L2 })
  const input = layers.input({ shape: [FEATURE_COUNT], name: 'features' })
  const hidden = (name: string, units: number) =>
    layers.layers.dense({ name, units, activation: 'tanh', kernelInitializer: 'zeros', kernelRegularizer: l2 })
  const output = (name: string, useBias: boolean) =>
    layers.layers.dense({ name, units: 1, useBias, kernelInitializer: 'zeros', kernelRegularizer: l2 })
  const deep = output('deep', false).apply(
    hidden('hidden2', HIDDEN_UNITS[1]).apply(hidden('hidden1', HIDDEN_UNITS[0]).apply(input)),
  )
  const linear = output('linear', true).apply(input)
  const sum = layers.layers.add({ name: 'sum' }).apply([deep, linear] as never)
  return layers.model({ inputs: input, outputs: sum as never })
}

export function setWeights({ tf }: TensorBackend, model: LayersModel, weights: Float32Array): void {
  let at = 0
  for (const layer of new Set(LAYOUT.map((spec) => spec.layer))) {
    const tensors = LAYOUT.filter((spec) => spec.layer === layer).map((spec) => {
      const size = sizeOf(spec)
      at += size
      return tf.tensor(weights.slice(at - size, at), [...spec.shape])
    })
    model.getLayer(layer).setWeights(tensors)
    tf.dispose(tensors)
  }
}

async function getWeights(model: LayersModel): Promise<Float32Array> {
  const out = new Float32Array(PARAMETERS)
  let at = 0
  for (const layer of new Set(LAYOUT.map((spec) => spec.layer)))
    for (const tensor of model.getLayer(layer).getWeights()) {
      out.set(await tensor.data<'float32'>(), at)
      at += tensor.size
    }
  return out
}
