// How long packets take: a local network, the world, or what was measured.
import { type Random, seededRandom } from '../../core/random.ts'
import { wonderproxy } from '../bench/round-trips.ts'
import type { NetworkModel } from './types.ts'

/** Mean of the exponential jitter of a switched network. */
const LAN_JITTER_MS = 0.1

/** One switched network: 0.1 to 0.6 ms one way, the same for a pair at all times, and some jitter. */
export function lan(): NetworkModel {
  return {
    delayMs: (from, to, random) => 0.1 + 0.5 * shareOf(from, to) - LAN_JITTER_MS * Math.log(1 - random.next()),
  }
}

/** Width of the map in milliseconds one way, and the longest last mile. */
const MAP_MS = 100
const LAST_MILE_MS = 15

/** Peers all over the world: on a map, each behind a last mile of its own; round trips of 5 to 300 ms. */
export function wan(seed: number, count: number): NetworkModel {
  const random = seededRandom(seed)
  const places = Array.from({ length: count }, () => ({
    x: MAP_MS * random.next(),
    y: 0.6 * MAP_MS * random.next(),
    mile: 1 + LAST_MILE_MS * random.next() ** 3,
  }))
  return matrix((from, to) => {
    const [a, b] = [places[from], places[to]]
    return a === undefined || b === undefined ? undefined : 2 * (Math.hypot(a.x - b.x, a.y - b.y) + a.mile + b.mile)
  })
}

/** Two peers in one city. */
const CITY_MS = 2

/** Peers in the cities that WonderProxy measures between, one after the other; undefined without its data. */
export function cities(): NetworkModel | undefined {
  const measured = wonderproxy()
  if (measured === undefined) return undefined
  const { count } = measured
  const all = Float32Array.from({ length: count * count }, (_, at) => {
    const [a, b] = [Math.floor(at / count), at % count]
    return a === b ? CITY_MS : (measured.ms(a, b) ?? Number.NaN)
  })
  return matrix((from, to) => {
    const ms = all[(from % count) * count + (to % count)] as number
    return Number.isNaN(ms) ? undefined : ms
  })
}

/** A tenth of what a round trip takes, at most, comes on top by chance. */
const JITTER_SHARE = 0.1
/** To the other side of the world. */
const UNKNOWN_MS = 300

/** Round trips as measured, undefined where nobody has. */
export function matrix(rttMs: (from: number, to: number) => number | undefined): NetworkModel {
  return {
    delayMs: (from: number, to: number, random: Random) =>
      ((rttMs(from, to) ?? UNKNOWN_MS) / 2) * (1 + JITTER_SHARE * random.next() ** 2),
  }
}

/** A number in [0, 1) that belongs to the pair, whichever comes first. */
function shareOf(a: number, b: number): number {
  let hash = Math.imul(Math.min(a, b) + 1, 0x9e3779b1) ^ Math.imul(Math.max(a, b) + 1, 0x85ebca77)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return ((hash ^ (hash >>> 12)) >>> 0) / 2 ** 32
}
