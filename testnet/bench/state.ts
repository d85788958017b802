// How well the mesh knows itself, on the simulated network; memberlist and gossipsub answer the same questions.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gossipsubMesh } from '../baselines/gossipsub.ts'
import { memberlistMesh } from '../baselines/memberlist.ts'
import { lan } from '../world/models.ts'
import { placedPeers, predictionErrors, type RoundTripsOf, wonderproxy } from './round-trips.ts'
import { baselineFigures } from './state-baselines.ts'
import { healMs, meshFigures, verdictsUnderStarvation } from './state-figures.ts'
import { median, percentile } from './statistics.ts'
import type { Bench, Figures } from './types.ts'

/** As a peer of a large mesh has them: half for nearness, half for reach. */
const NEIGHBOURS = 16
const NEAREST = 8
/** Ten minutes of a mesh that tells every ten seconds. */
const ROUNDS = 60
const RUNS = 5
/** Of ten thousand peers, each of which holds a thousand. */
const HEAP_MB = 14_000

const ABOUT = `on a simulated local network, in seconds: reach99.*, a change is known to 99 % of the peers (of ten thousand in ten zones: its record to 99 % of its zone and the summary to 99 % of the others), Loss: with 30 % of the packets lost;
  dead.*, a silent machine is listed as failed by all others; healS, all views are equal after a partition of ten minutes, the worst of five shapes.
  bytesPerS.*: sent per peer at rest, hot parts told every 30 s, headers of TCP/IP, noise and yamux included. falsePer1000PeerHours: peers that had CPU listed as failed, a tenth being starved at any time.
  sim10kWallS: wall time of one virtual minute of ten thousand peers. memberlist.*, gossipsub.*: the same of their published rules.
  rttMedianError: of round trips that no peer measured, between 242 cities, each with ${NEIGHBOURS} neighbours, after ten minutes: estimated against measured, median of ${RUNS} runs`

export const bench: Bench = {
  about: ABOUT,
  async run(seed) {
    const figures: Record<string, number> = {}
    const add = (more: Figures): void => {
      Object.assign(figures, more)
      for (const [key, value] of Object.entries(more))
        process.stdout.write(`  ${key} ${Number(value.toPrecision(4))}\n`)
    }
    for (const count of [100, 1_000]) add(ours(count, seed))
    add({ healS: healMs(100, seed) / 1_000 })
    for (const [count, minutes] of [
      [100, 30],
      [1_000, 6],
    ] as const) {
      const { wrong, lateBack, peerHours } = verdictsUnderStarvation(count, minutes, seed)
      const per = (wrong * 1_000) / peerHours
      add(count === 100 ? { 'false.n100': wrong, 'lateBack.n100': lateBack } : { falsePer1000PeerHours: per, lateBack })
    }
    for (const count of [100, 1_000]) add(others(count, seed))
    const network = wonderproxy()
    if (network === undefined) process.stdout.write('  round trips: skipped, CLOUDSKIN_SHARED is not set\n')
    else add(roundTrips(network, seed))
    add(await tenThousand(seed))
    return figures
  },
}

function ours(count: number, seed: number): Figures {
  const { reachMs, reachLossMs, deadMs, bytesPerS } = meshFigures(count, seed)
  return {
    [`reach99.n${count}S`]: reachMs / 1_000,
    [`reach99.n${count}Loss30S`]: reachLossMs / 1_000,
    [`dead.n${count}S`]: deadMs / 1_000,
    [`bytesPerS.n${count}`]: bytesPerS,
  }
}

function others(count: number, seed: number): Figures {
  const init = { seed, count, model: lan() }
  const named = (name: string, figures: Figures): Figures =>
    Object.fromEntries(Object.entries(figures).map(([key, value]) => [`${name}.n${count}.${key}`, value]))
  return {
    ...named('memberlist', baselineFigures({ make: () => memberlistMesh(init), restMs: 30_000, withDeaths: true })),
    // It falls behind with refreshes from a thousand peers on: this is what it does at its best.
    ...named(
      'memberlistNoRefresh',
      baselineFigures({ make: () => memberlistMesh({ ...init, refreshMs: 0 }), restMs: 30_000, withDeaths: false }),
    ),
    ...named(
      'gossipsub',
      baselineFigures({ make: () => gossipsubMesh(init), restMs: count > 100 ? 6_000 : 30_000, withDeaths: false }),
    ),
  }
}

async function tenThousand(seed: number): Promise<Figures> {
  const script = fileURLToPath(new URL('state-zones.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [`--max-old-space-size=${HEAP_MB}`, script, `${seed}`])
  const { bytesPerS, wallMs, reachMs, reachLossMs } = JSON.parse(stdout) as Record<string, number>
  return {
    'reach99.n10000S': (reachMs ?? Number.NaN) / 1_000,
    'reach99.n10000Loss30S': (reachLossMs ?? Number.NaN) / 1_000,
    'bytesPerS.n10000': bytesPerS ?? Number.NaN,
    sim10kWallS: (wallMs ?? Number.NaN) / 1_000,
  }
}

function roundTrips(network: RoundTripsOf, seed: number): Figures {
  const runs = Array.from({ length: RUNS }, (_, run) => {
    const peers = placedPeers(network, { neighbours: NEIGHBOURS, nearest: NEAREST, rounds: ROUNDS, seed: seed + run })
    const errors = predictionErrors(network, peers)
    const stated = median(peers.map(({ coordinate }) => coordinate.error))
    return { median: median(errors), p90: percentile(errors, 90), stated }
  })
  return {
    rttMedianError: median(runs.map((run) => run.median)),
    rttP90Error: median(runs.map((run) => run.p90)),
    rttStatedError: median(runs.map((run) => run.stated)),
  }
}
