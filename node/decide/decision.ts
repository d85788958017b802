// One placement decision: filters, candidates, predicted cost, rank. Pure, and the same for a new cell and for a move.
import type { Random } from '../../core/random.ts'
import type { Candidate } from '../../protocols/placement/index.ts'
import { chooseCandidates } from './candidates.ts'
import { costOf } from './cost.ts'
import { type Failure, type Filter, type FilterInit, filters } from './filters.ts'
import type { CellFacts, Decision, ExcludedPeer, MeshFacts, PeerFacts, Predictor, RankedPeer } from './types.ts'

/** For a move, `init.exclude` names the host that the cell is to leave. */
export function decide(
  cell: CellFacts,
  mesh: MeshFacts,
  predictor: Predictor,
  random: Random,
  init: FilterInit = {},
): Decision {
  const hard = filters(init)
  const passed: PeerFacts[] = []
  const excluded: ExcludedPeer[] = []
  let later = false
  for (const peer of mesh.peers) {
    const failures = failing(hard, cell, peer)
    const first = failures[0]
    if (first === undefined) {
      passed.push(peer)
      continue
    }
    const { reason, detail } = first.failure
    const { name } = first.filter
    excluded.push({
      peer: peer.peer,
      name: peer.name,
      filter: name,
      reason,
      ...(detail === undefined ? {} : { detail }),
    })
    later ||= failures.every(({ failure }) => failure.passing)
  }
  const considered = chooseCandidates(cell, passed, random)
  const ranked = considered.map((peer) => rank(cell, peer, mesh, predictor)).sort((a, b) => a.totalMs - b.totalMs)
  return {
    cell: cell.cell,
    at: mesh.at,
    ranked,
    excluded,
    unconsidered: passed.length - considered.length,
    later: passed.length === 0 && later,
    decidedBy: ranked[0]?.prediction.by ?? 'spec-cost',
  }
}

/** A decision as the negotiation takes it; what a bid will say afresh, backlog and module, stands apart. */
export function candidatesOf(decision: Decision): readonly Candidate[] {
  return decision.ranked.map(({ peer, cost, prediction, moduleFetchMs, hasModule }) => ({
    peer,
    fixedMs: cost.rttMs + prediction.ms + (hasModule ? cost.fetchMs : cost.fetchMs - moduleFetchMs),
    moduleFetchMs,
  }))
}

function failing(hard: readonly Filter[], cell: CellFacts, peer: PeerFacts): { filter: Filter; failure: Failure }[] {
  const failures = []
  for (const filter of hard) {
    const failure = filter.check(cell, peer)
    if (failure !== undefined) failures.push({ filter, failure })
  }
  return failures
}

function rank(cell: CellFacts, peer: PeerFacts, mesh: MeshFacts, predictor: Predictor): RankedPeer {
  const prediction = predictor.predict(cell, peer)
  const { parts, totalMs, moduleFetchMs } = costOf(cell, peer, prediction, mesh)
  const hasModule = peer.modules.includes(cell.module)
  return { peer: peer.peer, name: peer.name, cost: parts, totalMs, prediction, hasModule, moduleFetchMs }
}
