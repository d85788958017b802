// What federated rounds offer, and what they need: a participant that trains, and the members to train with.
import type { Logger } from '@libp2p/interface'
import type { Clock } from '../../core/clock.ts'
import type { Random } from '../../core/random.ts'
import type { Network, PeerKey } from '../kit/types.ts'

/** What all members of a round must agree on beforehand: two peers work together exactly when this hashes alike. */
export interface TaskDescriptor {
  readonly id: string
  /** Hex hash of what the weights mean: the model's graph, its inputs and their scaling. */
  readonly shape: string
  /** Numbers in the flat weights; at most `MAX_PARAMETERS`. */
  readonly parameters: number
  /** Fewest contributors whose average is adopted, at least 2: a lone update is no average, and would be readable. */
  readonly quorum: number
  /** Most members of a group, at most `MAX_GROUP`. */
  readonly maxGroup: number
  /** Samples beyond this count no more: bounds what one member can claim. */
  readonly weightCap: number
}

/** A version, and where it comes from. */
export interface Lineage {
  /** Hex SHA-256 of task, round, parent, contributors and weights; of version 0 whatever all participants agree on. */
  readonly version: string
  readonly round: number
  /** The version all contributors trained from; empty for version 0. */
  readonly parent: string
  /** Sorted. */
  readonly contributors: readonly PeerKey[]
}

/** The learner behind the rounds. Its samples stay with it: only weights, differences and counts pass this interface. */
export interface Participant {
  readonly task: TaskDescriptor
  /** The version in use. */
  lineage(): Lineage
  /** Its weights; the caller may keep them. */
  weights(): Float32Array
  /** Samples to train on, and how many of them came since the last training. */
  available(): { readonly samples: number; readonly fresh: number }
  /**
   * Trains from the version in use and resolves with the difference. Undefined when there is nothing to train on.
   * `lineage()` does not change by it.
   */
  contribute(signal: AbortSignal): Promise<{ readonly delta: Float32Array; readonly samples: number } | undefined>
  /** Replaces the version in use: all or nothing, and durable when it resolves. May refuse by rejecting. */
  adopt(weights: Float32Array, lineage: Lineage): Promise<void>
  /** Loss of `weights` on data that is never trained on; undefined when there is none. */
  evaluate(weights: Float32Array): number | undefined
}

/** How one round ended on this peer. Losses are this peer's own. */
export interface RoundRecord {
  /** The round that was tried for: one more than that of its parent. */
  readonly round: number
  readonly outcome: 'committed' | 'aborted'
  /** Members whose updates are in the result; 0 when aborted. */
  readonly contributors: number
  /** Loss of the parent, of the parent after this peer's own training alone, of the joint result. */
  readonly lossBefore?: number
  readonly lossLocal?: number
  readonly lossAfter?: number
  /** Why it was aborted: a code and a sentence. */
  readonly code?: string
  readonly reason?: string
  /** Wall clock, milliseconds. */
  readonly at: number
}

export interface FederatedStatus {
  readonly round: number
  readonly version: string
  readonly contributors: readonly PeerKey[]
  /** Step of the round that is under way. */
  readonly running?: string
  readonly last?: RoundRecord
  /** Oldest first, at most `MAX_HISTORY`. */
  readonly history: readonly RoundRecord[]
}

export interface RoundDeadlines {
  readonly gatherMs: number
  readonly exchangeMs: number
  readonly agreeMs: number
  readonly adoptMs: number
}

export interface FederatedInit {
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  /** Other members believed alive; more than `MAX_INVITED` are fine. */
  readonly members: () => readonly PeerKey[]
  readonly participant: Participant
  readonly log: Logger
  /** Pause between looks at whether a round is due; 0 opens none by itself. @default 60000 */
  readonly intervalMs?: number
  /** New samples that make a round due. @default 5 */
  readonly minFresh?: number
  /** @default DEADLINES */
  readonly deadlines?: RoundDeadlines
}
