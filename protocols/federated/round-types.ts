// The words of one round: what it knows, what can happen to it, what it wants done. Data only.
import type { PeerKey } from '../kit/types.ts'
import type { Update } from './average.ts'
import type { FederatedErrorCode } from './errors.ts'
import type { Lineage, RoundDeadlines, TaskDescriptor } from './types.ts'

/** Names the attempt a message belongs to. */
export interface RoundKey {
  /** Hex hash of the task descriptor. */
  readonly task: string
  readonly round: number
  /** The version all members train from. */
  readonly parent: string
  /** Counts the attempts at this round from this parent. */
  readonly view: number
}

/** Peer -> hash of its update. */
export type UpdateSet = ReadonlyMap<PeerKey, string>

export interface RoundConfig {
  readonly task: TaskDescriptor
  readonly taskHash: string
  readonly self: PeerKey
  readonly parent: Lineage
  readonly weights: Float32Array
  readonly deadlines: RoundDeadlines
}

/**
 * `gather`: who takes part. `exchange`: train, and send the update to all. `hold`: say whose updates one holds.
 * `agree`: say what everybody seems to hold. `adopt`: store the average of that.
 */
export type RoundPhase = 'gather' | 'exchange' | 'hold' | 'agree' | 'adopt' | 'ended'

export interface RoundOutcome {
  readonly kind: 'committed' | 'aborted'
  /** Of an abort. */
  readonly code?: FederatedErrorCode
  readonly reason?: string
  readonly lineage?: Lineage
}

export interface RoundState {
  readonly config: RoundConfig
  readonly phase: RoundPhase
  readonly view: number
  /** When the gathering was to end, on the caller's monotonic clock: all later deadlines are counted from it. */
  readonly closesAt: number
  /** When the phase ends at the latest. */
  readonly endsAt: number
  readonly invited: readonly PeerKey[]
  /** Invited, and not answered yet. */
  readonly asked: ReadonlySet<PeerKey>
  /** Members, this peer included. */
  readonly group: ReadonlySet<PeerKey>
  /** Not waited for any more; what they sent still counts. */
  readonly gone: ReadonlySet<PeerKey>
  /** Members whose training has ended, with an update or without. */
  readonly settled: ReadonlySet<PeerKey>
  readonly updates: ReadonlyMap<PeerKey, Update>
  readonly holds: ReadonlyMap<PeerKey, UpdateSet>
  readonly agrees: ReadonlyMap<PeerKey, UpdateSet>
  readonly lineage?: Lineage
  readonly outcome?: RoundOutcome
}

export type RoundEvent =
  /** A member says that it takes part. */
  | { readonly kind: 'ready'; readonly peer: PeerKey; readonly key: RoundKey; readonly closesInMs: number }
  /** A member answered our question; one that cannot be reached answers that it has not joined. */
  | { readonly kind: 'answered'; readonly peer: PeerKey; readonly joined: boolean; readonly view: number }
  /** Our own training ended; undefined when there is nothing to send. */
  | { readonly kind: 'trained'; readonly update: Update | undefined }
  | { readonly kind: 'update'; readonly peer: PeerKey; readonly key: RoundKey; readonly update: Update | undefined }
  | {
      readonly kind: 'set'
      readonly peer: PeerKey
      readonly key: RoundKey
      readonly step: 'hold' | 'agree'
      readonly set: UpdateSet
    }
  /** A member gives the round up, and takes back what it said to hold. */
  | { readonly kind: 'leave'; readonly peer: PeerKey; readonly key: RoundKey }
  /** The connection with a member was lost. */
  | { readonly kind: 'gone'; readonly peer: PeerKey }
  | { readonly kind: 'adopted' }
  | { readonly kind: 'adopt-failed'; readonly reason: string }
  | { readonly kind: 'cancel'; readonly code: FederatedErrorCode; readonly reason: string }
  /** Time has passed. */
  | { readonly kind: 'tick' }

export type RoundEffect =
  /** Ask each of them to take part, and report the answers; the gathering closes here in `closesInMs`. */
  | { readonly kind: 'ask'; readonly to: readonly PeerKey[]; readonly view: number; readonly closesInMs: number }
  /** Train from the parent, and report the end. */
  | { readonly kind: 'train' }
  | { readonly kind: 'stop-training' }
  | { readonly kind: 'send-update'; readonly to: readonly PeerKey[]; readonly update: Update | undefined }
  | {
      readonly kind: 'send-set'
      readonly to: readonly PeerKey[]
      readonly step: 'hold' | 'agree' | 'leave'
      readonly set: UpdateSet
    }
  | { readonly kind: 'adopt'; readonly weights: Float32Array; readonly lineage: Lineage }
  | { readonly kind: 'end'; readonly outcome: RoundOutcome }

/** Why an event changed nothing. */
export interface Refusal {
  readonly code: FederatedErrorCode
  readonly reason: string
}

export interface RoundStep {
  readonly state: RoundState
  readonly effects: readonly RoundEffect[]
  readonly refusal?: Refusal
}
