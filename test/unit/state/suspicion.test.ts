import { expect, test } from 'vitest'
import { adjustHealth, MAX_HEALTH_SCORE, stretched, suspicionTimeoutMs } from '../../../protocols/state/suspicion.ts'

test.each([
  [2, 0, 2_000],
  [3, 0, 2_000],
  [4, 0, 8_000],
  [100, 0, 8_000],
  [100, 2, 2_000],
  [100, 9, 2_000],
  [1_000, 0, 12_000],
  [1_000, 2, 3_000],
])('%i peers, %i confirmations: %i ms', (peers, confirmations, ms) => {
  expect(suspicionTimeoutMs(peers, confirmations)).toBeCloseTo(ms, 6)
})

test('one confirmation of two shortens by log 2 / log 3', () => {
  expect(suspicionTimeoutMs(10, 1)).toBeCloseTo(8_000 - (Math.log(2) / Math.log(3)) * 6_000, 6)
})

test('local health stays within its bounds and stretches times', () => {
  expect(adjustHealth(0, -1)).toBe(0)
  expect(adjustHealth(MAX_HEALTH_SCORE, 3)).toBe(MAX_HEALTH_SCORE)
  expect(stretched(1_000, 0)).toBe(1_000)
  expect(stretched(1_000, MAX_HEALTH_SCORE)).toBe(8_000)
})
