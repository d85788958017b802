import { expect, test } from 'vitest'
import { adjustHealth, MAX_HEALTH_SCORE, stretched, suspicionTimeoutMs } from '../../../protocols/state/suspicion.ts'

test.each([
  // peers, confirmations, milliseconds: 3 s times log10 of the peers, four times that when nobody confirms
  [2, 0, 3_000],
  [3, 0, 3_000],
  [4, 0, 12_000],
  [10, 0, 12_000],
  [10, 2, 3_000],
  [10, 9, 3_000],
  [100, 0, 24_000],
  [100, 2, 6_000],
  [1_000, 2, 9_000],
])('%i peers, %i confirmations: %i ms', (peers, confirmations, ms) => {
  expect(suspicionTimeoutMs(peers, confirmations)).toBeCloseTo(ms, 6)
})

test('one confirmation of two shortens by log 2 / log 3', () => {
  expect(suspicionTimeoutMs(10, 1)).toBeCloseTo(12_000 - (Math.log(2) / Math.log(3)) * 9_000, 6)
})

test('local health stays within its bounds and stretches times', () => {
  expect(adjustHealth(0, -1)).toBe(0)
  expect(adjustHealth(MAX_HEALTH_SCORE, 3)).toBe(MAX_HEALTH_SCORE)
  expect(stretched(1_000, 0)).toBe(1_000)
  expect(stretched(1_000, MAX_HEALTH_SCORE)).toBe(8_000)
})
