// Network coordinates: they predict round trips that nobody measured, and bear what others may say.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Random, seededRandom } from '../../../core/random.ts'
import {
  type Coordinate,
  type CoordinateState,
  DIMENSIONS,
  estimateBetween,
  estimateMs,
  isUsable,
  measured,
  packed,
  UNPLACED,
  unpacked,
} from '../../../protocols/state/coordinates.ts'
import { placedPeers, predictionErrors, type RoundTripsOf, wonderproxy } from '../../../testnet/bench/round-trips.ts'
import { median } from '../../../testnet/bench/statistics.ts'

/** Peers in a plane of 100 ms, each up to 10 ms from the backbone. */
function plane(count: number, random: Random): RoundTripsOf {
  const peers = Array.from({ length: count }, () => [100 * random.next(), 100 * random.next(), 10 * random.next()])
  return {
    count,
    ms(i, j) {
      const [x1 = 0, y1 = 0, h1 = 0] = peers[i] ?? []
      const [x2 = 0, y2 = 0, h2 = 0] = peers[j] ?? []
      return Math.hypot(x1 - x2, y1 - y2) + h1 + h2
    },
    spreadMs: () => 0,
  }
}

describe('an estimate', () => {
  it('is close to what was not measured, where distances are distances', () => {
    const network = plane(60, seededRandom(1))
    const errors = predictionErrors(network, placedPeers(network, { neighbours: 12, nearest: 4, rounds: 120, seed: 2 }))
    expect(errors.length).toBeGreaterThan(1_000)
    expect(median(errors)).toBeLessThan(0.05)
  })

  const data = wonderproxy()
  it.skipIf(data === undefined)(
    'is within 15 % between cities of the world, at the median (needs CLOUDSKIN_SHARED)',
    () => {
      const network = data as RoundTripsOf
      const peers = placedPeers(network, { neighbours: 16, nearest: 8, rounds: 60, seed: 1 })
      expect(median(predictionErrors(network, peers))).toBeLessThan(0.15)
    },
  )

  it('is not given before both are placed, and says how wrong it may be', () => {
    const placed = { ...UNPLACED.coordinate, position: [3, 4, 0, 0, 0, 0, 0, 0], height: 1, error: 0.2 }
    const other = { ...UNPLACED.coordinate, height: 2, error: 0.1 }
    expect(estimateBetween(placed, UNPLACED.coordinate)).toBeUndefined()
    expect(estimateBetween(placed, undefined)).toBeUndefined()
    expect(estimateBetween(placed, other)).toEqual({ ms: 8, error: 0.2 })
    expect(estimateBetween(other, placed)).toEqual({ ms: 8, error: 0.2 })
  })
})

const anyNumber = fc.oneof(
  fc.double(),
  fc.constantFrom(0, -0, 1e300, -1e300, Number.NaN, Number.POSITIVE_INFINITY, 25_000),
)
const anyCoordinate: fc.Arbitrary<Coordinate> = fc.record({
  position: fc.array(anyNumber, { minLength: 0, maxLength: 10 }),
  height: anyNumber,
  adjustment: anyNumber,
  error: anyNumber,
})
const within = (limit: number) => fc.double({ min: -limit, max: limit, noNaN: true })
const usableCoordinate: fc.Arbitrary<Coordinate> = fc.record({
  position: fc.array(within(20_000), { minLength: DIMENSIONS, maxLength: DIMENSIONS }),
  height: fc.double({ min: 0, max: 20_000, noNaN: true }),
  adjustment: within(20_000),
  error: fc.double({ min: 0, max: 1.5, noNaN: true }),
})

describe('a coordinate', () => {
  it('stays usable, whatever others say', () => {
    const samples = fc.array(
      fc.tuple(fc.oneof(anyCoordinate, usableCoordinate), anyNumber, fc.integer({ min: 0, max: 3 })),
    )
    fc.assert(
      fc.property(samples, (said) => {
        const random = seededRandom(3)
        let state: CoordinateState = UNPLACED
        for (const [other, rttMs, peer] of said) {
          state = measured(state, `peer-${peer}`, other, rttMs, random)
          expect(isUsable(state.coordinate)).toBe(true)
          expect(state.samples.size).toBeLessThanOrEqual(4)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('is moved by one sample no further than by 0.1 s, and as much by the pull of the origin, whoever gave it', () => {
    // Also from next to it, and from high above.
    const near = fc.record({ aside: within(0.1), height: fc.double({ min: 0, max: 20_000, noNaN: true }) })
    const rtt = fc.double({ min: 0, max: 10_000, noNaN: true })
    fc.assert(
      fc.property(usableCoordinate, fc.option(near), usableCoordinate, rtt, (coordinate, nextToIt, far, rttMs) => {
        const first = (coordinate.position[0] ?? 0) + (nextToIt?.aside ?? 0)
        const other =
          nextToIt === null
            ? far
            : { ...coordinate, position: [first, ...coordinate.position.slice(1)], height: nextToIt.height }
        const { coordinate: after } = measured({ ...UNPLACED, coordinate }, 'other', other, rttMs, seededRandom(6))
        const way = Math.hypot(...after.position.map((at, k) => at - (coordinate.position[k] ?? 0)))
        expect(way).toBeLessThan(201)
        expect(Math.abs(after.height - coordinate.height)).toBeLessThan(201)
        // Of a window of one sample; half of the most that it may ever be is 50 ms.
        expect(Math.abs(after.adjustment)).toBeLessThanOrEqual(coordinate === after ? 20_000 : 50)
      }),
      { numRuns: 1_000 },
    )
  })

  it('is moved by one lie no further than by 0.1 s, and by its own samples back again', () => {
    const random = seededRandom(4)
    const honest: Coordinate = { ...UNPLACED.coordinate, position: [50, 0, 0, 0, 0, 0, 0, 0], error: 0.1 }
    let state: CoordinateState = UNPLACED
    for (let k = 0; k < 200; k++) state = measured(state, 'honest', honest, 50, random)
    const before = state.coordinate
    const far: Coordinate = { ...honest, position: [-20_000, 20_000, 0, 0, 0, 0, 0, 0], error: 0 }
    state = measured(state, 'liar', far, 0.1, random)
    const way = Math.hypot(...state.coordinate.position.map((at, k) => at - (before.position[k] ?? 0)))
    expect(way).toBeGreaterThan(1)
    expect(way).toBeLessThan(101)
    for (let k = 0; k < 200; k++) state = measured(state, 'honest', honest, 50, random)
    expect(Math.abs(estimateMs(state.coordinate, honest) - 50)).toBeLessThan(5)
  })

  it('comes out of a record as it went in, to a hundredth of a millisecond', () => {
    fc.assert(
      fc.property(usableCoordinate, (coordinate) => {
        const numbers = packed(coordinate)
        expect(numbers.every(Number.isSafeInteger)).toBe(true)
        const back = unpacked(numbers)
        expect(back).toBeDefined()
        for (const [k, at] of coordinate.position.entries())
          expect(Math.abs((back?.position[k] ?? Number.NaN) - at)).toBeLessThan(0.0051)
        expect(Math.abs((back?.height ?? Number.NaN) - coordinate.height)).toBeLessThan(0.0051)
        expect(back?.error).toBeCloseTo(coordinate.error, 2)
      }),
    )
    expect(unpacked(undefined)).toBeUndefined()
    expect(unpacked([1, 2, 3])).toBeUndefined()
    expect(unpacked(Array.from({ length: DIMENSIONS + 3 }, () => 3_000_000))).toBeUndefined()
  })
})
