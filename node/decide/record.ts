// What is kept of a decision, for `why`: everything that was weighed, what the hosts answered, and how it turned out.
// JSON-able data; each later fact makes a new record.
import type { CandidateReport, NegotiationOutcome } from '../../protocols/placement/index.ts'
import type { Decision, ExcludedPeer } from './types.ts'

export interface DecisionRecord extends Omit<Decision, 'later'> {
  /** A first place, or a new one for a running cell. */
  readonly kind: 'place' | 'move'
  /** All peers known, excluded ones included. */
  readonly peers: number
  /** Excluded peers beyond those that are listed. */
  readonly unlisted: number
  /** How much cheaper the first of the ranking is than the second. */
  readonly margin?: { readonly over: string; readonly ms: number }
  /** What each candidate answered, once the negotiation is over. */
  readonly candidates?: readonly CandidateReport[]
  readonly placed?: {
    readonly peer: string
    readonly epoch: number
    readonly costMs: number
    readonly predictedMs: number
  }
  /** Why nobody took it. */
  readonly failed?: string
  /** How long it really ran where it was placed, or what became of it. */
  readonly actual?: ActualRun
}

export interface ActualRun {
  readonly outcome: 'finished' | 'failed' | 'stopped' | 'lost' | 'moved'
  /** Comparable with `placed.predictedMs` only for a run that finished where it began. */
  readonly ms?: number
}

/** A mesh of thousands need not be listed; every filter keeps some of its peers. */
const MAX_LISTED = 64

export function recordOf(decision: Decision, kind: DecisionRecord['kind']): DecisionRecord {
  const { later: _, ...rest } = decision
  const [first, second] = decision.ranked
  const listed = listedOf(decision.excluded)
  return {
    ...rest,
    kind,
    excluded: listed,
    peers: decision.ranked.length + decision.excluded.length + decision.unconsidered,
    unlisted: decision.excluded.length - listed.length,
    ...(first === undefined || second === undefined
      ? {}
      : { margin: { over: second.peer, ms: second.totalMs - first.totalMs } }),
  }
}

export function withOutcome(record: DecisionRecord, outcome: NegotiationOutcome): DecisionRecord {
  const { candidates } = outcome
  if (outcome.kind === 'failed') return { ...record, candidates, failed: outcome.reason }
  const { host: peer, epoch, costMs } = outcome
  const predictedMs = record.ranked.find((ranked) => ranked.peer === peer)?.prediction.ms ?? costMs
  return { ...record, candidates, placed: { peer, epoch, costMs, predictedMs } }
}

export function withActual(record: DecisionRecord, actual: ActualRun): DecisionRecord {
  return { ...record, actual }
}

/** Up to {@link MAX_LISTED}, taken from the reasons in turn. */
function listedOf(excluded: readonly ExcludedPeer[]): readonly ExcludedPeer[] {
  if (excluded.length <= MAX_LISTED) return excluded
  const groups = [...Map.groupBy(excluded, (peer) => peer.reason).values()]
  const listed = new Set<ExcludedPeer>()
  for (let turn = 0; listed.size < MAX_LISTED; turn++) {
    for (const group of groups) {
      const peer = group[turn]
      if (peer !== undefined && listed.size < MAX_LISTED) listed.add(peer)
    }
  }
  return excluded.filter((peer) => listed.has(peer))
}
