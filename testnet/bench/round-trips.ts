// Networks by the round trips in them, and peers that find their coordinates there as those of a mesh do.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { seededRandom, shuffled } from '../../core/random.ts'
import {
  type Coordinate,
  type CoordinateState,
  estimateMs,
  measured,
  UNPLACED,
} from '../../protocols/state/coordinates.ts'

export interface RoundTripsOf {
  readonly count: number
  /** Undefined where nobody measured it. */
  ms(i: number, j: number): number | undefined
  /** Mean deviation of single samples. */
  spreadMs(i: number, j: number): number
}

/** 242 cities; undefined where `CLOUDSKIN_SHARED` is not set. */
export function wonderproxy(): RoundTripsOf | undefined {
  const shared = process.env.CLOUDSKIN_SHARED
  const path = shared === undefined ? '' : join(shared, 'data/wonderproxy/wonderproxy_242.json.gz')
  if (!existsSync(path)) return undefined
  const { avg, mdev }: { avg: (number | null)[][]; mdev: (number | null)[][] } = JSON.parse(
    gunzipSync(readFileSync(path)).toString(),
  )
  return {
    count: avg.length,
    ms(i, j) {
      const [there, back] = [avg[i]?.[j] ?? undefined, avg[j]?.[i] ?? undefined]
      return there === undefined || back === undefined ? (there ?? back) : (there + back) / 2
    },
    spreadMs: (i, j) => mdev[i]?.[j] ?? 0,
  }
}

export interface Placing {
  /** Of each peer: its `nearest` ones, and others at random. */
  readonly neighbours: number
  readonly nearest: number
  /** In each, a peer looks at all of its neighbours, as they said that they are in the round before. */
  readonly rounds: number
  readonly seed: number
}

export interface PlacedPeer {
  readonly coordinate: Coordinate
  readonly neighbours: ReadonlySet<number>
}

export function placedPeers(network: RoundTripsOf, { neighbours, nearest, rounds, seed }: Placing): PlacedPeer[] {
  const random = seededRandom(seed)
  const all = Array.from({ length: network.count }, (_, i) => i)
  const neighboursOf = all.map((i) => {
    const others = shuffled(
      all.filter((j) => j !== i && network.ms(i, j) !== undefined),
      random,
    )
    const near = [...others].sort((a, b) => (network.ms(i, a) ?? 0) - (network.ms(i, b) ?? 0)).slice(0, nearest)
    return [...new Set([...near, ...others])].slice(0, neighbours)
  })
  // About the mean, and rarely further from it than twice the deviation.
  const sample = (i: number, j: number): number => {
    const noise = random.next() + random.next() + random.next() - 1.5
    return Math.max(0.05, (network.ms(i, j) ?? 0) + network.spreadMs(i, j) * noise)
  }
  let states: CoordinateState[] = all.map(() => UNPLACED)
  for (let round = 0; round < rounds; round++) {
    const said = states.map(({ coordinate }) => coordinate)
    states = states.map((state, i) =>
      shuffled(neighboursOf[i] ?? [], random).reduce(
        (next, j) => measured(next, String(j), said[j] ?? UNPLACED.coordinate, sample(i, j), random),
        state,
      ),
    )
  }
  return states.map(({ coordinate }, i) => ({ coordinate, neighbours: new Set(neighboursOf[i]) }))
}

/** Relative errors of the estimates between all pairs of which neither measures the other. */
export function predictionErrors(network: RoundTripsOf, peers: readonly PlacedPeer[]): number[] {
  const errors: number[] = []
  for (const [i, a] of peers.entries())
    for (const [j, b] of peers.slice(0, i).entries()) {
      const ms = network.ms(i, j)
      if (ms === undefined || a.neighbours.has(j) || b.neighbours.has(i)) continue
      errors.push(Math.abs(estimateMs(a.coordinate, b.coordinate) - ms) / ms)
    }
  return errors
}
