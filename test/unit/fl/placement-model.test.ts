import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../../core/random.ts'
import { initialWeights } from '../../../fl/architecture.ts'
import { decide } from '../../../fl/decider.ts'
import { type ModelStore, PlacementModel, type StoredModel } from '../../../fl/placement-model.ts'
import { heldOut, MAX_SAMPLES, memorySampleStore, type Sample } from '../../../fl/samples.ts'
import { SyntheticWorld } from '../../support/synthetic-runs.ts'

const world = new SyntheticWorld(2, 5)
const runs = (count: number, seed: number) => world.anyRuns(count, seededRandom(seed))

function memoryModelStore(): ModelStore & { stored: StoredModel | undefined } {
  return {
    stored: undefined,
    async load() {
      return this.stored
    },
    async save(model) {
      this.stored = model
    },
  }
}

describe('samples', () => {
  it('hold out exactly one run of every five, not always the same one', () => {
    const places = new Set<number>()
    for (let block = 0; block < 200; block++) {
      const out = [0, 1, 2, 3, 4].filter((k) => heldOut(block * 5 + k))
      expect(out.length).toBe(1)
      places.add(out[0] ?? -1)
    }
    expect(places.size).toBe(5)
  })

  it('keep the newest, in memory and in the store, and go on counting after a restart', async () => {
    const store = memorySampleStore()
    const model = new PlacementModel({ samples: store })
    await model.load()
    const [run] = runs(1, 1)
    if (run === undefined) throw new Error('no run')
    for (let k = 0; k < MAX_SAMPLES + 7; k++) await model.record({ ...run, ms: k + 1 })
    expect(model.samples.all.length).toBe(MAX_SAMPLES)
    expect((await store.load()).length).toBe(MAX_SAMPLES)
    expect(model.samples.all[0]?.ms).toBe(8)
    const again = new PlacementModel({ samples: store })
    await again.load()
    expect(again.samples.all).toEqual(model.samples.all)
    expect((await again.record(run)).index).toBe(MAX_SAMPLES + 7)
    expect(again.samples.training.some(({ index }) => heldOut(index))).toBe(false)
    expect(again.samples.training.length + again.samples.validation.length).toBe(MAX_SAMPLES)
  })

  it('refuse a time that is none', async () => {
    const model = new PlacementModel({ samples: memorySampleStore() })
    const [run] = runs(1, 1)
    if (run === undefined) throw new Error('no run')
    for (const ms of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
      await expect(model.record({ ...run, ms })).rejects.toMatchObject({ code: 'FL_SAMPLE_INVALID' })
    expect(model.samples.all.length).toBe(0)
  })
})

describe('the placement model', () => {
  it('gets better on runs it never saw, by the difference that it gives away', async () => {
    const model = new PlacementModel({ samples: memorySampleStore(), backend: 'wasm' })
    for (const run of runs(100, 2)) await model.record(run)
    expect(model.fresh).toBe(80)
    const before = model.evaluate()
    const version = model.version
    const update = await model.train()
    if (update === undefined) throw new Error('nothing was trained')
    expect(update.samples).toBe(80)
    expect(model.version).toBe(version)
    expect(model.weights).toEqual(initialWeights())
    const trained = model.weights.map((value, k) => value + (update.delta[k] ?? 0))
    const after = model.evaluate(undefined, trained)
    expect(after?.runs).toBe(20)
    expect(after?.loss).toBeLessThan((before?.loss ?? 0) * 0.5)
    const lineage = { version: 'ab', round: 1, parent: version, contributors: ['others'] }
    await model.adopt(trained, lineage, false)
    expect(model.fresh).toBe(80)
    await model.adopt(trained, { ...lineage, contributors: ['me'] }, true)
    expect(model.fresh).toBe(0)
    expect(model.evaluate()).toEqual(after)
  })

  it('has nothing to give while it has seen nothing', async () => {
    const model = new PlacementModel({ samples: memorySampleStore() })
    expect(await model.train()).toBeUndefined()
    expect(model.evaluate()).toBeUndefined()
  })

  it('is what was adopted after a restart, and untouched by what is refused', async () => {
    const store = memoryModelStore()
    const model = new PlacementModel({ samples: memorySampleStore(), model: store })
    const weights = initialWeights().map((value) => value + 0.1)
    const lineage = { version: 'cd', round: 4, parent: 'ab', contributors: ['a', 'b'] }
    await model.adopt(weights, lineage, true)
    for (const bad of [weights.slice(1), weights.map((value, k) => (k === 9 ? Number.NaN : value))])
      await expect(model.adopt(bad, { ...lineage, round: 5 }, true)).rejects.toMatchObject({
        code: 'FL_WEIGHTS_INVALID',
      })
    const again = new PlacementModel({ samples: memorySampleStore(), model: store })
    await again.load()
    expect(again.lineage).toEqual(lineage)
    expect(again.weights).toEqual(weights)
    if (store.stored !== undefined) store.stored = { ...store.stored, shape: 'another' }
    const other = new PlacementModel({ samples: memorySampleStore(), model: store })
    await other.load()
    expect(other.round).toBe(0)
  })

  it('keeps its version when the store fails', async () => {
    const full: ModelStore = { load: async () => undefined, save: () => Promise.reject(new Error('disk full')) }
    const model = new PlacementModel({ samples: memorySampleStore(), model: full })
    const lineage = { version: 'cd', round: 1, parent: model.version, contributors: [] }
    await expect(model.adopt(initialWeights(), lineage, true)).rejects.toThrow('disk full')
    expect(model.round).toBe(0)
  })
})

describe('who decides', () => {
  /** `count` runs of 100 ms, of which both are off by their factor. */
  const judged = (count: number, model: number, heuristic: number): Sample[] =>
    runs(count, 3).map((run, index) => ({ ...run, index, ms: 100, modelMs: 100 * model, heuristicMs: 100 * heuristic }))
  const said = (sample: Sample): number => sample.modelMs

  it('is the heuristic until there are enough runs', () => {
    expect(decide(judged(19, 1, 5), said, 'heuristic')).toMatchObject({
      decides: 'heuristic',
      reason: expect.stringContaining('19 of 20'),
    })
    expect(decide(judged(20, 1, 5), said, 'heuristic').decides).toBe('model')
  })

  it('changes with a margin, and back only when the model is no better at all', () => {
    const close = judged(30, 1.95, 2)
    expect(decide(close, said, 'heuristic').decides).toBe('heuristic')
    expect(decide(close, said, 'model').decides).toBe('model')
    expect(decide(judged(30, 2.1, 2), said, 'model').decides).toBe('heuristic')
  })

  it('never counts what the model says now of a run it may have trained on', () => {
    const samples = judged(40, 9, 2)
    const asked: number[] = []
    decide(samples, ({ index }) => asked.push(index), 'heuristic')
    expect(asked).toEqual(samples.map(({ index }) => index).filter(heldOut))
    expect(asked.length).toBe(8)
  })

  it('is judged anew after every run and every version', async () => {
    const model = new PlacementModel({ samples: memorySampleStore() })
    expect(model.verdict().reason).toContain('only 0 of 20')
    for (const run of runs(25, 4)) await model.record({ ...run, heuristicMs: run.ms * 1000 })
    const judgedNow = model.verdict()
    expect(judgedNow.decides).toBe('model')
    const off = initialWeights().map(() => 5)
    await model.adopt(off, { version: 'ef', round: 1, parent: '', contributors: [] }, false)
    expect(model.verdict().reason).not.toBe(judgedNow.reason)
  })

  it('leaves out runs for which the heuristic was not asked', () => {
    const unasked = judged(50, 1, 2).map(({ heuristicMs: _, ...rest }) => rest)
    expect(decide(unasked, said, 'model').decides).toBe('heuristic')
  })
})
