import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SpecCost, speedIndex } from '../../../node/decide/spec-cost.ts'
import { cellOf, peerOf } from './facts.ts'

const own = { calibration: { integer: 50, float: 100 }, fuelShare: 1 }
const slow = { calibration: { integer: 200, float: 400 }, fuelShare: 1 }
const run = (ms: number, changes = {}) => ({
  module: 'm',
  inputBytes: 1_000_000,
  opcodeFeatures: [],
  ms,
  host: own,
  ...changes,
})

describe('the speed index', () => {
  test('is the geometric mean over shared kernels, else the share of fuel', () => {
    expect(speedIndex({ calibration: { integer: 100, float: 50 }, fuelShare: 0.5 }, own)).toBeCloseTo(1)
    expect(speedIndex({ calibration: { integer: 100, other: 9 }, fuelShare: 1 }, own)).toBeCloseTo(2)
    expect(speedIndex({ calibration: { other: 9 }, fuelShare: 0.25 }, own)).toBeCloseTo(4)
    expect(speedIndex({ calibration: { integer: 0, float: Number.NaN }, fuelShare: 1 }, own)).toBe(1)
  })
})

describe('the heuristic', () => {
  const predict = (cost: SpecCost, changes = {}, host: Partial<typeof own> = own) =>
    cost.predict(cellOf(changes), peerOf('h', host))

  test('says what the same work took before, scaled by the host', () => {
    const cost = new SpecCost(() => own)
    cost.observe(run(400))
    cost.observe(run(1600, { host: slow }))
    expect(predict(cost)).toMatchObject({ by: 'spec-cost', basis: '2 runs of it with such input' })
    expect(predict(cost).ms).toBeCloseTo(400)
    expect(predict(cost, {}, slow).ms).toBeCloseTo(1600)
  })

  test('goes by other input of the same module, then by size alone', () => {
    const cost = new SpecCost(() => own)
    const blank = predict(cost, { module: 'x', inputBytes: 0 }).ms
    expect(predict(cost, { module: 'x', inputBytes: 0 }).basis).toBe('its size alone')
    expect(predict(cost, { module: 'x', inputBytes: 10_000_000 }).ms).toBeGreaterThan(blank)
    expect(predict(cost, { module: 'x', inputBytes: 0, opcodeFeatures: [10, 10] }).ms).toBeGreaterThan(blank)
    cost.observe(run(400))
    const larger = predict(cost, { inputBytes: 16_000_000 })
    expect(larger.ms).toBeCloseTo(1600)
    expect(larger.basis).toBe('1 run of it with other input')
    expect(predict(cost, { module: 'x', inputBytes: 0 }).basis).toBe('its size and 1 run of others')
  })

  test('follows a change within a few dozen runs', () => {
    const cost = new SpecCost(() => own)
    for (let i = 0; i < 100; i++) cost.observe(run(100))
    for (let i = 0; i < 30; i++) cost.observe(run(200))
    expect(predict(cost).ms).toBeGreaterThan(190)
  })

  test('is the same after a restart, and holds a bounded number of means', () => {
    const cost = new SpecCost(() => own)
    for (let i = 0; i < 5000; i++) cost.observe(run(100 + i, { module: `m${i}` }))
    const state = cost.state()
    expect(state.modules).toHaveLength(4096)
    const again = new SpecCost(() => own, JSON.parse(JSON.stringify(state)))
    for (const module of ['m0', 'm4999', 'new']) expect(predict(again, { module })).toEqual(predict(cost, { module }))
    expect(predict(cost, { module: 'm4999' }).ms).toBeCloseTo(5099)
  })

  test('predicts some finite time for any facts', () => {
    const any = fc.oneof(fc.double(), fc.constantFrom(0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e300))
    fc.assert(
      fc.property(any, any, any, any, fc.array(any, { maxLength: 4 }), (ms, inputBytes, kernel, fuelShare, opcodes) => {
        const cost = new SpecCost(() => own)
        cost.observe({
          module: 'm',
          inputBytes: 5,
          opcodeFeatures: [],
          ms,
          host: { calibration: { integer: kernel }, fuelShare },
        })
        cost.observe(run(300, { module: 'n', inputBytes, opcodeFeatures: opcodes }))
        for (const module of ['m', 'n', 'x']) {
          const facts = { module, inputBytes, opcodeFeatures: opcodes }
          const { ms: predicted } = predict(cost, facts, { calibration: { integer: kernel, float: 1 }, fuelShare })
          expect(predicted).toBeGreaterThan(0)
          expect(predicted).toBeLessThanOrEqual(30 * 86_400_000)
        }
      }),
    )
  })
})
