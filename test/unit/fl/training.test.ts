import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Tensor } from '@tensorflow/tfjs-core'
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../../core/random.ts'
import { initialWeights, PARAMETERS } from '../../../fl/architecture.ts'
import { type BackendName, loadBackend } from '../../../fl/backend.ts'
import { FEATURE_COUNT } from '../../../fl/features.ts'
import { trainingSet } from '../../../fl/placement-model.ts'
import { correction } from '../../../fl/predict.ts'
import { Trainer } from '../../../fl/trainer.ts'
import { build, setWeights, trainHere } from '../../../fl/training.ts'
import { SyntheticWorld } from '../../support/synthetic-runs.ts'

const OPTIONS = { epochs: 6, learningRate: 0.02, batch: 16, seed: 3 }
const world = new SyntheticWorld(2, 1)
const set = trainingSet(world.anyRuns(60, seededRandom(2)))
const largest = (a: Float32Array, b: Float32Array): number =>
  Math.max(...a.map((value, k) => Math.abs(value - (b[k] ?? Number.NaN))))

const native = createRequire(import.meta.url)
  .resolve.paths('@tensorflow/tfjs-node')
  ?.some((path) => existsSync(join(path, '@tensorflow/tfjs-node')))
const installed: readonly BackendName[] = native === true ? ['native', 'wasm', 'cpu'] : ['wasm', 'cpu']

describe('the plain forward pass', () => {
  it.each(installed)('says what the %s backend says, to 1e-5', async (name) => {
    const backend = await loadBackend(name)
    const random = seededRandom(4)
    const weights = Float32Array.from({ length: PARAMETERS }, () => random.next() - 0.5)
    const rows = 20
    const features = Float32Array.from({ length: rows * FEATURE_COUNT }, () => random.next() * 4 - 2)
    const model = build(backend.layers)
    setWeights(backend, model, weights)
    const theirs = backend.tf.tidy(() =>
      (model.predict(backend.tf.tensor2d(features, [rows, FEATURE_COUNT])) as Tensor).dataSync(),
    )
    model.dispose()
    for (let row = 0; row < rows; row++) {
      const mine = correction(weights, features.subarray(row * FEATURE_COUNT, (row + 1) * FEATURE_COUNT))
      expect(Math.abs(mine - (theirs[row] ?? Number.NaN))).toBeLessThan(1e-5)
    }
  })
})

describe('the backend', () => {
  it('is the fastest one that is installed; one that is not says so', async () => {
    expect((await loadBackend()).name).toBe(installed[0])
    const asked = loadBackend('native')
    if (native === true) expect((await asked).name).toBe('native')
    else
      await expect(asked).rejects.toMatchObject({
        code: 'FL_BACKEND_UNAVAILABLE',
        message: expect.stringContaining('native: '),
      })
  })
})

describe('training', () => {
  it.each(installed)('gives on %s the update of cpu to 1e-5, and the same bits for the same seed', async (name) => {
    const here = await trainHere(await loadBackend(name), initialWeights(), set, OPTIONS)
    const again = await trainHere(await loadBackend(name), initialWeights(), set, OPTIONS)
    const cpu = await trainHere(await loadBackend('cpu'), initialWeights(), set, OPTIONS)
    // The native library adds up on several threads, in no fixed order.
    if (name !== 'native') expect(again.weights).toEqual(here.weights)
    expect(largest(here.weights, initialWeights())).toBeGreaterThan(0.01)
    expect(largest(here.weights, cpu.weights)).toBeLessThan(1e-5)
    expect(here.lossAfter).toBeLessThan(here.lossBefore / 2)
    expect(cpu.lossAfter).toBeCloseTo(here.lossAfter, 5)
  })

  it('leaves no tensor behind in a hundred rounds, failed ones included', async () => {
    const backend = await loadBackend('wasm')
    const short = { ...OPTIONS, epochs: 1, batch: 60 }
    await trainHere(backend, initialWeights(), set, short)
    const { numTensors, numDataBuffers } = backend.tf.memory()
    for (let round = 0; round < 100; round++) await trainHere(backend, initialWeights(), set, short)
    await expect(trainHere(backend, new Float32Array(3), set, short)).rejects.toThrow('do not fit')
    expect(backend.tf.memory()).toMatchObject({ numTensors, numDataBuffers })
  })

  it('runs in a process with the same result, and can be stopped in the middle', async () => {
    const trainer = new Trainer({ backend: 'wasm' })
    const here = await trainHere(await loadBackend('wasm'), initialWeights(), set, OPTIONS)
    const there = await trainer.train(initialWeights(), set, OPTIONS)
    expect(there).toEqual(here)
    expect(trainer.backend).toBe('wasm')
    const stop = new AbortController()
    const endless = trainer.train(initialWeights(), set, { ...OPTIONS, epochs: 1e9, signal: stop.signal })
    stop.abort(new Error('enough'))
    await expect(endless).rejects.toThrow('enough')
  })

  it('says why nothing came of it', async () => {
    await expect(new Trainer().train(new Float32Array(3), set, OPTIONS)).rejects.toMatchObject({
      code: 'FL_TRAINING_FAILED',
      message: expect.stringContaining('do not fit'),
    })
  })
})
