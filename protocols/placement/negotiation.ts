// One negotiation, as a pure machine: offers to a few candidates at a time, the cheapest bid is started, the rest is
// given back. It ends whatever is answered, in whatever order, or not at all.
import type { PeerKey } from '../kit/types.ts'
import type { Bid } from './messages.ts'
import type {
  Candidate,
  CandidateReport,
  Negotiation,
  NegotiationEffect,
  NegotiationEvent,
  NegotiationOutcome,
  Step,
} from './negotiation-types.ts'
import { BID_DEADLINE_MS, LATE_BID_MS, OFFERS_PER_ROUND, START_DEADLINE_MS } from './protocol.ts'

/** `epoch` is the last one in use for this cell; the first start gets the next. The best candidate comes first. */
export function negotiation(
  candidates: readonly Candidate[],
  epoch: number,
  purpose: Negotiation['purpose'],
): Negotiation {
  const byPeer = new Map(candidates.map((candidate) => [candidate.peer, candidate]))
  return {
    phase: 'idle',
    purpose,
    epoch,
    candidates: byPeer,
    unasked: [...byPeer.keys()],
    pending: new Set(),
    bids: new Map(),
    late: false,
    deadlineAt: 0,
    reports: new Map(),
  }
}

/** Time is any monotonic milliseconds, the same for every step. */
export function step(state: Negotiation, event: NegotiationEvent, now: number): Step {
  if (state.phase === 'ended') return afterEnd(state, event)
  switch (event.kind) {
    case 'begin':
      return state.phase === 'idle' ? proceed(state, now) : { state, effects: [] }
    case 'bid':
      return takeBid(state, event.peer, event.bid, now)
    case 'refused':
      return answered(state, { peer: event.peer, outcome: 'refused', code: event.code, reason: event.reason }, now)
    case 'unreachable':
      return answered(state, { peer: event.peer, outcome: 'unreachable', reason: event.reason }, now)
    case 'started':
      return isCurrent(state, event) ? placed(state) : { state, effects: [] }
    case 'start-refused':
      return isCurrent(state, event)
        ? startFailed(state, { outcome: 'refused', code: event.code, reason: event.reason }, [], now)
        : { state, effects: [] }
    case 'start-lost':
      return isCurrent(state, event) ? startLost(state, event.reason, now) : { state, effects: [] }
    case 'tick':
      return tick(state, now)
    case 'cancel':
      return cancel(state, event.reason)
  }
}

function isCurrent(state: Negotiation, event: { readonly peer: PeerKey; readonly epoch: number }): boolean {
  return state.phase === 'starting' && state.starting?.peer === event.peer && state.epoch === event.epoch
}

function takeBid(state: Negotiation, peer: PeerKey, bid: Bid, now: number): Step {
  const candidate = state.candidates.get(peer)
  if (candidate === undefined || !state.pending.has(peer))
    return { state, effects: [{ kind: 'release', peer, reservation: bid.reservation }] }
  const costMs = candidate.fixedMs + (bid.hasModule ? 0 : candidate.moduleFetchMs) + bid.backlogMs
  const bids = new Map(state.bids).set(peer, { bid, costMs, expiresAt: now + bid.ttlMs })
  return settleRound({ ...state, bids, pending: less(state.pending, peer) }, now)
}

function answered(state: Negotiation, report: CandidateReport, now: number): Step {
  if (!state.pending.has(report.peer)) return { state, effects: [] }
  const next = { ...state, pending: less(state.pending, report.peer), reports: noted(state, report) }
  return settleRound(next, now)
}

/** A round is over once nobody is left to answer; while a start is under way, late bids are only kept. */
function settleRound(state: Negotiation, now: number): Step {
  const over = state.pending.size === 0 || (state.late && state.bids.size > 0)
  return state.phase === 'offering' && over ? proceed(state, now) : { state, effects: [] }
}

function tick(state: Negotiation, now: number): Step {
  if (now < state.deadlineAt || state.phase === 'idle') return { state, effects: [] }
  if (state.phase === 'starting') return startLost(state, `no answer to the start within ${START_DEADLINE_MS} ms`, now)
  return state.late && state.bids.size === 0 ? end(state, undefined, []) : proceed(state, now)
}

/** The next thing to do when nothing is under way: start the cheapest bid, else ask further candidates, else end. */
function proceed(state: Negotiation, now: number): Step {
  const { fresh, released } = dropExpired(state, now)
  const best = cheapest(fresh)
  if (best !== undefined) {
    const step = fresh.purpose === 'reserve' ? placed({ ...fresh, starting: best }) : start(fresh, best, now)
    return { state: step.state, effects: [...released, ...step.effects] }
  }
  if (fresh.unasked.length > 0) {
    const asked = fresh.unasked.slice(0, OFFERS_PER_ROUND)
    const deadlineAt = now + BID_DEADLINE_MS
    const unasked = fresh.unasked.slice(OFFERS_PER_ROUND)
    return {
      state: { ...fresh, phase: 'offering', unasked, pending: new Set([...fresh.pending, ...asked]), deadlineAt },
      effects: [
        ...released,
        ...asked.map((peer) => ({ kind: 'offer', peer }) as const),
        { kind: 'wake', at: deadlineAt },
      ],
    }
  }
  if (fresh.pending.size === 0) return end(fresh, undefined, released)
  const deadlineAt = now + LATE_BID_MS
  return {
    state: { ...fresh, phase: 'offering', late: true, deadlineAt },
    effects: [...released, { kind: 'wake', at: deadlineAt }],
  }
}

function start(state: Negotiation, best: NonNullable<Negotiation['starting']>, now: number): Step {
  const epoch = state.epoch + 1
  const deadlineAt = now + START_DEADLINE_MS
  const { peer } = best
  return {
    state: { ...state, phase: 'starting', epoch, starting: best, bids: lessKey(state.bids, peer), deadlineAt },
    effects: [
      { kind: 'start', peer, reservation: best.live.bid.reservation, epoch },
      { kind: 'wake', at: deadlineAt },
    ],
  }
}

function startFailed(
  state: Negotiation,
  what: Pick<CandidateReport, 'outcome' | 'code' | 'reason'>,
  effects: readonly NegotiationEffect[],
  now: number,
): Step {
  const { starting, ...rest } = state
  if (starting === undefined) return { state, effects: [] }
  const report: CandidateReport = {
    peer: starting.peer,
    ...what,
    bid: starting.live.bid,
    costMs: starting.live.costMs,
    epoch: state.epoch,
  }
  const next = proceed({ ...rest, phase: 'offering', reports: noted(state, report) }, now)
  return { state: next.state, effects: [...effects, ...next.effects] }
}

function startLost(state: Negotiation, reason: string, now: number): Step {
  return startFailed(state, { outcome: 'unanswered', reason }, revocation(state), now)
}

function revocation(state: Negotiation): NegotiationEffect[] {
  if (state.phase !== 'starting' || state.starting === undefined) return []
  const { peer, live } = state.starting
  return [{ kind: 'revoke', peer, reservation: live.bid.reservation, epoch: state.epoch }]
}

function placed(state: Negotiation): Step {
  const chosen = state.starting
  if (chosen === undefined) return { state, effects: [] }
  return end({ ...state, bids: lessKey(state.bids, chosen.peer) }, chosen, [])
}

function cancel(state: Negotiation, reason: string): Step {
  const revoked = revocation(state)
  const { starting, ...rest } = state
  const reports =
    starting === undefined ? state.reports : noted(state, { peer: starting.peer, outcome: 'unanswered', reason })
  return end({ ...rest, reports }, undefined, revoked, reason)
}

/** Gives back every bid that was not taken, names what became of each candidate, and says how it ended. */
function end(
  state: Negotiation,
  chosen: Negotiation['starting'],
  effects: readonly NegotiationEffect[],
  reason?: string,
): Step {
  const reports = new Map(state.reports)
  const released: NegotiationEffect[] = []
  for (const [peer, { bid, costMs }] of state.bids) {
    reports.set(peer, { peer, outcome: 'outbid', bid, costMs })
    released.push({ kind: 'release', peer, reservation: bid.reservation })
  }
  for (const peer of state.pending)
    reports.set(peer, { peer, outcome: 'unanswered', reason: 'no answer to the offer in time' })
  for (const peer of state.unasked) reports.set(peer, { peer, outcome: 'unasked' })
  let outcome: NegotiationOutcome
  if (chosen !== undefined) {
    const { bid, costMs } = chosen.live
    reports.set(chosen.peer, { peer: chosen.peer, outcome: 'chosen', bid, costMs, epoch: state.epoch })
    const candidates = inOrder(state, reports)
    const { reservation } = bid
    outcome = { kind: 'placed', host: chosen.peer, epoch: state.epoch, reservation, costMs, bid, candidates }
  } else {
    const why = reason ?? (state.candidates.size === 0 ? 'no candidate' : 'no candidate took it')
    outcome = { kind: 'failed', epoch: state.epoch, reason: why, candidates: inOrder(state, reports) }
  }
  // pending stays: a bid that comes after the end is recognised and given back
  return {
    state: { ...state, phase: 'ended', bids: new Map(), reports },
    effects: [...effects, ...released, { kind: 'end', outcome }],
  }
}

function afterEnd(state: Negotiation, event: NegotiationEvent): Step {
  if (event.kind !== 'bid') return { state, effects: [] }
  return { state, effects: [{ kind: 'release', peer: event.peer, reservation: event.bid.reservation }] }
}

function dropExpired(state: Negotiation, now: number): { fresh: Negotiation; released: NegotiationEffect[] } {
  let { bids, reports } = state
  const released: NegotiationEffect[] = []
  for (const [peer, live] of state.bids) {
    if (live.expiresAt > now) continue
    bids = lessKey(bids, peer)
    reports = new Map(reports).set(peer, { peer, outcome: 'expired', bid: live.bid, costMs: live.costMs })
    released.push({ kind: 'release', peer, reservation: live.bid.reservation })
  }
  return { fresh: { ...state, bids, reports }, released }
}

function cheapest(state: Negotiation): NonNullable<Negotiation['starting']> | undefined {
  let best: NonNullable<Negotiation['starting']> | undefined
  // candidates keep the order of their rank: of equal costs the better-ranked wins
  for (const peer of state.candidates.keys()) {
    const live = state.bids.get(peer)
    if (live !== undefined && (best === undefined || live.costMs < best.live.costMs)) best = { peer, live }
  }
  return best
}

function inOrder(state: Negotiation, reports: ReadonlyMap<PeerKey, CandidateReport>): CandidateReport[] {
  return [...state.candidates.keys()].map((peer) => reports.get(peer) ?? { peer, outcome: 'unasked' })
}

function noted(state: Negotiation, report: CandidateReport): ReadonlyMap<PeerKey, CandidateReport> {
  return new Map(state.reports).set(report.peer, report)
}

function less(set: ReadonlySet<PeerKey>, peer: PeerKey): ReadonlySet<PeerKey> {
  return new Set([...set].filter((other) => other !== peer))
}

function lessKey<T>(map: ReadonlyMap<PeerKey, T>, peer: PeerKey): ReadonlyMap<PeerKey, T> {
  return new Map([...map].filter(([other]) => other !== peer))
}
