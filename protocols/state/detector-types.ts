// What the failure detector holds, hears and asks for.
import type { PeerKey } from '../kit/types.ts'
import type { Stamp } from './merge.ts'
import { REVIVE_INTERVAL_MS } from './protocol.ts'
import type { MemberStatus } from './types.ts'

export interface Suspicion {
  readonly sinceMs: number
  /** Others that found the peer silent; the first one is whoever we believed, unless `own`. */
  readonly confirmers: readonly PeerKey[]
  /** Our own probe of it failed. */
  readonly own: boolean
}

/** One peer as the detector sees it. All times are monotonic milliseconds. */
export interface Tracked extends Stamp {
  readonly status: MemberStatus
  readonly sinceMs: number
  /** Last sign of life that came from the peer itself. */
  readonly heardMs: number
  /** When its newest version arrived, from whomever. */
  readonly learntMs: number
  readonly probing: boolean
  readonly suspicion?: Suspicion
}

export interface DetectorState {
  readonly self: PeerKey
  readonly members: ReadonlyMap<PeerKey, Tracked>
  readonly connected: ReadonlySet<PeerKey>
  /** Local health score, 0 (healthy) to 7. */
  readonly health: number
  /** Peers still to probe in this turn, shuffled. */
  readonly rotation: readonly PeerKey[]
  readonly nextProbeMs: number
  readonly nextReviveMs: number
  readonly tickedMs: number
}

export type ProbeOutcome = 'alive' | 'dead' | 'inconclusive'

export type DetectorEvent =
  /** A verified record newer than the one held was stored. */
  | { readonly kind: 'record'; readonly peer: PeerKey; readonly stamp: Stamp; readonly left: boolean }
  /** A remote's digest calls `about` suspect or failed at `stamp`. */
  | {
      readonly kind: 'claim'
      readonly about: PeerKey
      readonly stamp: Stamp
      readonly status: 'suspect' | 'failed'
      readonly confirmers: readonly PeerKey[]
    }
  /** The peer itself answered or asked. */
  | { readonly kind: 'heard'; readonly peer: PeerKey }
  /** Something with the peer went wrong: a reason to look now, and no more. */
  | { readonly kind: 'doubt'; readonly peer: PeerKey }
  | { readonly kind: 'connection'; readonly peer: PeerKey; readonly up: boolean }
  | {
      readonly kind: 'probed'
      readonly peer: PeerKey
      readonly outcome: ProbeOutcome
      /** Helpers that were asked and said nothing, not even that the target is silent: a sign that we are the slow one. */
      readonly silentHelpers: number
    }
  | { readonly kind: 'tick' }

export type DetectorEffect =
  /** Ping it, and through `helpers` too when it is silent. `suspected` asks the target to raise its version. */
  | {
      readonly kind: 'probe'
      readonly peer: PeerKey
      readonly helpers: readonly PeerKey[]
      readonly timeoutMs: number
      readonly suspected?: Stamp
    }
  | { readonly kind: 'status'; readonly peer: PeerKey; readonly status: MemberStatus }
  /** Others doubt us: publish a new version, at once. */
  | { readonly kind: 'refute' }
  /** Compare tables with a peer that came back. */
  | { readonly kind: 'exchange'; readonly peer: PeerKey }
  | { readonly kind: 'forget'; readonly peer: PeerKey }

export interface Step {
  readonly state: DetectorState
  readonly effects: readonly DetectorEffect[]
}

export function newDetector(self: PeerKey, now: number): DetectorState {
  return {
    self,
    members: new Map(),
    connected: new Set(),
    health: 0,
    rotation: [],
    nextProbeMs: now,
    nextReviveMs: now + REVIVE_INTERVAL_MS,
    tickedMs: now,
  }
}
