import { expect, test } from 'vitest'
import { RoundTrips } from '../../../protocols/kit/round-trips.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const { signal } = new AbortController()

/** Answers with `values` in turn, and counts. */
function pings(...values: number[]) {
  const state = { asked: 0 }
  const measure = async (): Promise<number> => {
    const value = values[state.asked++]
    if (value === undefined) throw new Error('no answer')
    return value
  }
  return { state, measure }
}

test('the first estimate is the least of three pings', async () => {
  const { state, measure } = pings(40, 8, 12)
  const trips = new RoundTrips(measure, new ManualClock())
  expect(trips.of('a')).toBeUndefined()
  await trips.refresh('a', signal)
  expect(trips.of('a')).toBe(8)
  expect(state.asked).toBe(3)
})

test('later ones are smoothed, and measured every 30 s at most', async () => {
  const { state, measure } = pings(8, 8, 8, 16)
  const clock = new ManualClock()
  const trips = new RoundTrips(measure, clock)
  await trips.refresh('a', signal)
  await clock.advance(29_999)
  await trips.refresh('a', signal)
  expect(state.asked).toBe(3)
  await clock.advance(1)
  await trips.refresh('a', signal)
  expect(trips.of('a')).toBe(9)
})

test('one at a time per peer; a failure leaves the estimate and allows another try', async () => {
  const { state, measure } = pings(5, 5, 5)
  const clock = new ManualClock()
  const trips = new RoundTrips(measure, clock)
  await Promise.all([trips.refresh('a', signal), trips.refresh('a', signal)])
  expect(state.asked).toBe(3)
  await clock.advance(30_000)
  await expect(trips.refresh('a', signal)).rejects.toThrow('no answer')
  await expect(trips.refresh('a', signal)).rejects.toThrow('no answer')
  expect(trips.of('a')).toBe(5)
})

test('a peer that went while it was measured has no estimate', async () => {
  const answer = Promise.withResolvers<number>()
  const trips = new RoundTrips(() => answer.promise, new ManualClock())
  const measuring = trips.refresh('a', signal)
  trips.forget('a')
  answer.resolve(3)
  await measuring
  expect(trips.of('a')).toBeUndefined()
})
