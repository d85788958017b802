import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { seededRandom, shuffled } from '../../../core/random.ts'
import { average, checkTensor, updateHash, updateOf } from '../../../protocols/federated/average.ts'
import { bytesToFloats, floatBytes, supersedes, versionOf } from '../../../protocols/federated/lineage.ts'
import type { Lineage } from '../../../protocols/federated/types.ts'
import { TASK } from '../../support/round-simulation.ts'

const float = fc.float({ min: -1000, max: 1000, noNaN: true })
const tensor = fc.array(float, { minLength: 6, maxLength: 6 }).map((values) => Float32Array.from(values))
const updates = fc.array(fc.tuple(tensor, fc.integer({ min: 1, max: 1e9 })), { minLength: 1, maxLength: 16 })
const asMap = (list: readonly (readonly [Float32Array, number])[]) =>
  new Map(list.map(([delta, weight], k) => [`peer-${String(k).padStart(2, '0')}`, updateOf(delta, weight)]))

describe('the average', () => {
  it('is the parent plus the weighted mean, to 1e-6 of its size', () => {
    void fc.assert(
      fc.property(tensor, updates, (parent, list) => {
        const result = average(TASK, parent, asMap(list))
        const weights = list.map(([, weight]) => Math.min(weight, TASK.weightCap))
        const total = weights.reduce((sum, weight) => sum + weight, 0)
        for (let k = 0; k < 6; k++) {
          const mean = list.reduce((sum, [delta], i) => sum + ((weights[i] ?? 0) / total) * (delta[k] ?? 0), 0)
          const wanted = (parent[k] ?? 0) + mean
          expect(Math.abs((result[k] ?? Number.NaN) - wanted)).toBeLessThanOrEqual(1e-6 * Math.max(1, Math.abs(wanted)))
        }
      }),
    )
  })

  it('does not depend on the order of arrival, to the last bit', () => {
    void fc.assert(
      fc.property(tensor, updates, fc.integer(), (parent, list, seed) => {
        const other = new Map(shuffled([...asMap(list)], seededRandom(seed)))
        expect(average(TASK, parent, other)).toEqual(average(TASK, parent, asMap(list)))
      }),
    )
  })

  it('gives a claim above the cap no more effect than the cap', () => {
    void fc.assert(
      fc.property(tensor, updates, fc.integer({ min: TASK.weightCap, max: 2 ** 50 }), (parent, list, claim) => {
        const claimed = (weight: number) => average(TASK, parent, asMap([[parent, weight], ...list]))
        expect(claimed(claim)).toEqual(claimed(TASK.weightCap))
      }),
    )
  })

  it('of updates that say nothing is the parent', () => {
    const parent = Float32Array.from([1, 2, 3, 4, 5, 6])
    expect(average(TASK, parent, asMap([[new Float32Array(6), 3]]))).toEqual(parent)
  })
})

describe('an update', () => {
  it.each([
    ['UPDATE_WRONG_SHAPE', [1, 2, 3]],
    ['UPDATE_WRONG_SHAPE', [1, 2, 3, 4, 5, 6, 7]],
    ['UPDATE_NOT_FINITE', [1, 2, Number.NaN, 4, 5, 6]],
    ['UPDATE_NOT_FINITE', [1, 2, 3, Number.POSITIVE_INFINITY, 5, 6]],
    ['UPDATE_NOT_FINITE', [1, 2, 3, 4, 5, -1e7]],
  ])('is refused with %s', (code, values) => {
    expect(() => checkTensor(TASK, Float32Array.from(values))).toThrow(expect.objectContaining({ code }))
  })

  it('hashes its numbers and its weight', () => {
    const bytes = floatBytes(Float32Array.from([1, 2, 3]))
    expect(updateHash(bytes, 4)).not.toBe(updateHash(bytes, 5))
    expect(updateOf(Float32Array.from([1, 2, 3]), 4).hash).toBe(updateHash(bytes, 4))
  })

  it('travels in little-endian order, to the last bit', () => {
    expect([...floatBytes(Float32Array.from([1, -2]))]).toEqual([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0])
    void fc.assert(
      fc.property(tensor, (values) => {
        expect(bytesToFloats(floatBytes(values))).toEqual(values)
      }),
    )
  })
})

describe('versions', () => {
  const lineage: fc.Arbitrary<Lineage> = fc.record({
    version: fc.constantFrom('a', 'b', 'c', 'd'),
    round: fc.integer({ min: 0, max: 2 }),
    parent: fc.constant('p'),
    contributors: fc.constantFrom(['x'], ['x', 'y'], ['x', 'z']),
  })
  const same = (a: Lineage, b: Lineage): boolean =>
    a.version === b.version && a.round === b.round && a.contributors.length === b.contributors.length

  it('stand in a strict order, so that all who hear of the same ones choose the same one', () => {
    void fc.assert(
      fc.property(lineage, lineage, lineage, (a, b, c) => {
        expect(supersedes(a, a)).toBe(false)
        expect(supersedes(a, b) || supersedes(b, a) || same(a, b)).toBe(true)
        expect(supersedes(a, b) && supersedes(b, a)).toBe(false)
        if (supersedes(a, b) && supersedes(b, c)) expect(supersedes(a, c)).toBe(true)
      }),
    )
  })

  it('prefer the later round, then more contributors, then the smaller hash', () => {
    const base: Lineage = { version: 'b', round: 2, parent: 'p', contributors: ['x', 'y'] }
    expect(supersedes({ ...base, round: 3, contributors: ['x'], version: 'z' }, base)).toBe(true)
    expect(supersedes({ ...base, contributors: ['x', 'y', 'z'], version: 'z' }, base)).toBe(true)
    expect(supersedes({ ...base, version: 'a' }, base)).toBe(true)
    expect(supersedes({ ...base, version: 'c' }, base)).toBe(false)
  })

  it('are named by everything that is in them', () => {
    const weights = Float32Array.from([1, 2])
    const origin = { round: 1, parent: 'p', contributors: ['x', 'y'] }
    const names = new Set([
      versionOf('task', origin, weights),
      versionOf('other', origin, weights),
      versionOf('task', { ...origin, round: 2 }, weights),
      versionOf('task', { ...origin, parent: 'q' }, weights),
      versionOf('task', { ...origin, contributors: ['x'] }, weights),
      versionOf('task', origin, Float32Array.from([1, 3])),
    ])
    expect(names.size).toBe(6)
  })
})
