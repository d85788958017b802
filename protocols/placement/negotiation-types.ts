// The words of a negotiation: who is asked, what is answered, what is to be done, how it ended.
import type { PeerKey } from '../kit/types.ts'
import type { Bid, Refusal } from './messages.ts'

/** A host worth asking, best first in a list; the parts of its cost that its bid can correct stand apart. */
export interface Candidate {
  readonly peer: PeerKey
  /** Round trip, inputs and execution, milliseconds. */
  readonly fixedMs: number
  /** Added when the host turns out not to have the module. */
  readonly moduleFetchMs: number
}

export type CandidateOutcome =
  /** It got the cell (or, when only room was asked for, it keeps the room). */
  | 'chosen'
  /** Its bid was good, another one was cheaper. */
  | 'outbid'
  | 'refused'
  /** No connection, no such protocol, a broken stream. */
  | 'unreachable'
  /** Neither yes nor no in time. */
  | 'unanswered'
  | 'expired'
  /** Never asked: somebody had taken the cell before its turn. */
  | 'unasked'

/** What came of one candidate. */
export interface CandidateReport {
  readonly peer: PeerKey
  readonly outcome: CandidateOutcome
  readonly code?: string
  readonly reason?: string
  /** Cost with the bid's own backlog, milliseconds. */
  readonly costMs?: number
  readonly bid?: Bid
  /** The epoch of the start that this candidate was told, whatever came of it. */
  readonly epoch?: number
}

export type NegotiationOutcome =
  | {
      readonly kind: 'placed'
      readonly host: PeerKey
      readonly epoch: number
      readonly reservation: string
      readonly costMs: number
      readonly bid: Bid
      readonly candidates: readonly CandidateReport[]
    }
  /** `epoch` is the highest that was used: the next attempt must go on above it. */
  | {
      readonly kind: 'failed'
      readonly epoch: number
      readonly reason: string
      readonly candidates: readonly CandidateReport[]
    }

export type NegotiationEvent =
  | { readonly kind: 'begin' }
  | { readonly kind: 'bid'; readonly peer: PeerKey; readonly bid: Bid }
  | ({ readonly kind: 'refused'; readonly peer: PeerKey } & Refusal)
  | { readonly kind: 'unreachable'; readonly peer: PeerKey; readonly reason: string }
  | { readonly kind: 'started'; readonly peer: PeerKey; readonly epoch: number }
  | ({ readonly kind: 'start-refused'; readonly peer: PeerKey; readonly epoch: number } & Refusal)
  /** The start may or may not have arrived. */
  | { readonly kind: 'start-lost'; readonly peer: PeerKey; readonly epoch: number; readonly reason: string }
  /** Time has passed. */
  | { readonly kind: 'tick' }
  | { readonly kind: 'cancel'; readonly reason: string }

export type NegotiationEffect =
  | { readonly kind: 'offer'; readonly peer: PeerKey }
  | { readonly kind: 'start'; readonly peer: PeerKey; readonly reservation: string; readonly epoch: number }
  | { readonly kind: 'release'; readonly peer: PeerKey; readonly reservation: string }
  /** Undo a start that may have been accepted: whatever runs there under `epoch` is not wanted. */
  | { readonly kind: 'revoke'; readonly peer: PeerKey; readonly reservation: string; readonly epoch: number }
  /** Send a `tick` at this time. */
  | { readonly kind: 'wake'; readonly at: number }
  | { readonly kind: 'end'; readonly outcome: NegotiationOutcome }

/** A bid that can still be taken up. */
export interface LiveBid {
  readonly bid: Bid
  readonly costMs: number
  readonly expiresAt: number
}

export interface Negotiation {
  readonly phase: 'idle' | 'offering' | 'starting' | 'ended'
  /** `reserve` ends with the best bid in hand and starts nothing. */
  readonly purpose: 'start' | 'reserve'
  /** Every start gets a higher one, so that a start whose answer was lost can never be mistaken for the placement. */
  readonly epoch: number
  readonly candidates: ReadonlyMap<PeerKey, Candidate>
  readonly unasked: readonly PeerKey[]
  /** Offers without an answer. */
  readonly pending: ReadonlySet<PeerKey>
  readonly bids: ReadonlyMap<PeerKey, LiveBid>
  readonly starting?: { readonly peer: PeerKey; readonly live: LiveBid }
  /** Nobody is left to ask: the first bid to come is taken. */
  readonly late: boolean
  /** When the phase is judged by what there is. */
  readonly deadlineAt: number
  readonly reports: ReadonlyMap<PeerKey, CandidateReport>
}

export interface Step {
  readonly state: Negotiation
  readonly effects: readonly NegotiationEffect[]
}
