import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareStamps, mergeRecords, type Stamped } from '../../../protocols/state/merge.ts'

const records: fc.Arbitrary<Stamped> = fc
  .tuple(fc.nat(2), fc.nat(2), fc.nat(2))
  .map(([incarnation, version, variant]) => ({ peer: 'a', incarnation, version, hash: `${variant}` }))

test('merge is commutative, associative and idempotent', () => {
  fc.assert(
    fc.property(records, records, records, (a, b, c) => {
      expect(mergeRecords(a, b)).toEqual(mergeRecords(b, a))
      expect(mergeRecords(mergeRecords(a, b), c)).toEqual(mergeRecords(a, mergeRecords(b, c)))
      expect(mergeRecords(a, a)).toBe(a)
    }),
  )
})

test('the newer incarnation holds against any version, the newer version within one', () => {
  fc.assert(
    fc.property(records, records, (x, y) => {
      const order = compareStamps(x, y)
      if (order > 0) expect(mergeRecords(x, y)).toBe(x)
      if (order < 0) expect(mergeRecords(x, y)).toBe(y)
    }),
  )
  expect(compareStamps({ incarnation: 2, version: 1 }, { incarnation: 1, version: 9 })).toBeGreaterThan(0)
})
