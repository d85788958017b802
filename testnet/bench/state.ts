// How well the mesh knows itself.
import { placedPeers, predictionErrors, type RoundTripsOf, wonderproxy } from './round-trips.ts'
import { median, percentile } from './statistics.ts'
import type { Bench, Figures } from './types.ts'

/** As a peer of a large mesh has them: half for nearness, half for reach. */
const NEIGHBOURS = 16
const NEAREST = 8
/** Ten minutes of a mesh that tells every ten seconds. */
const ROUNDS = 60
const RUNS = 5

export const bench: Bench = {
  about: `rttMedianError: of round trips that no peer measured, between 242 cities, each with ${NEIGHBOURS} neighbours, after ten minutes: estimated against measured, median of ${RUNS} runs`,
  async run(seed) {
    const network = wonderproxy()
    if (network === undefined) throw new Error('set CLOUDSKIN_SHARED to the folder with data/wonderproxy')
    return roundTrips(network, seed)
  },
}

function roundTrips(network: RoundTripsOf, seed: number): Figures {
  const runs = Array.from({ length: RUNS }, (_, run) => {
    const peers = placedPeers(network, { neighbours: NEIGHBOURS, nearest: NEAREST, rounds: ROUNDS, seed: seed + run })
    const errors = predictionErrors(network, peers)
    const stated = median(peers.map(({ coordinate }) => coordinate.error))
    return { median: median(errors), p90: percentile(errors, 90), stated }
  })
  for (const run of runs)
    process.stdout.write(
      `  median error ${run.median.toFixed(3)}, 90 % within ${run.p90.toFixed(2)}, as the peers themselves say ${run.stated.toFixed(2)}\n`,
    )
  return {
    rttMedianError: median(runs.map((run) => run.median)),
    rttP90Error: median(runs.map((run) => run.p90)),
    rttStatedError: median(runs.map((run) => run.stated)),
  }
}
