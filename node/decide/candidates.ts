// Whom to look at: a fixed number of peers, however many there are.
import { type Random, shuffled } from '../../core/random.ts'
import type { CellFacts, PeerFacts } from './types.ts'

/** Eight candidates come within a few percent of looking at every peer, at a cost that does not grow with the mesh. */
export const MAX_CANDIDATES = 8
/** Near ones are cheap to reach, */
const NEAREST = 3
/** holders of the module spare a fetch, */
const HOLDERS = 2
/** and the rest are drawn at random, so that no good host stays unknown and no two peers pile onto the same one. */

/** Self, the nearest by round trip, holders of the module, and a few at random; all of them when there are no more than that. */
export function chooseCandidates(cell: CellFacts, passed: readonly PeerFacts[], random: Random): readonly PeerFacts[] {
  if (passed.length <= MAX_CANDIDATES) return passed
  const chosen = new Set<PeerFacts>(passed.filter((peer) => peer.self))
  const add = (peers: readonly PeerFacts[], count: number): void => {
    const upTo = Math.min(MAX_CANDIDATES, chosen.size + count)
    for (const peer of peers) if (chosen.size < upTo) chosen.add(peer)
  }
  const others = shuffled(
    passed.filter((peer) => !peer.self),
    random,
  )
  // the sort is stable: peers at the same distance stay in random order
  add([...others].sort(byRtt), NEAREST)
  add(
    others.filter((peer) => !chosen.has(peer) && peer.modules.includes(cell.module)),
    HOLDERS,
  )
  add(others, MAX_CANDIDATES)
  return [...chosen]
}

function byRtt(a: PeerFacts, b: PeerFacts): number {
  return (a.rttMs ?? Number.MAX_VALUE) - (b.rttMs ?? Number.MAX_VALUE)
}
