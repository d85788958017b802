import { expect, it } from 'vitest'
import { geometricMean, median, percentile } from '../../../testnet/bench/statistics.ts'

it('the median lies in the middle, of an even number too', () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 3, 2])).toBe(2.5)
  expect(median([7])).toBe(7)
  expect(median([])).toBeNaN()
})

it('a percentile is one of the values, by nearest rank', () => {
  const values = Array.from({ length: 20 }, (_, k) => 20 - k)
  expect(percentile(values, 95)).toBe(19)
  expect(percentile(values, 100)).toBe(20)
  expect(percentile([], 50)).toBeNaN()
})

it('the geometric mean of ratios and of their inverses are inverse', () => {
  expect(geometricMean([1, 4])).toBeCloseTo(2, 12)
  expect(geometricMean([1 / 3, 1 / 5]) * geometricMean([3, 5])).toBeCloseTo(1, 12)
})
