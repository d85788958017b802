// What the mesh knows of each peer, who may read it, and what the service needs to keep it true.
import type { Logger } from '@libp2p/interface'
import type { Clock } from '../../core/clock.ts'
import type { Random } from '../../core/random.ts'
import type { Network, PeerKey, Signer } from '../kit/types.ts'
import type { RttEstimate } from './coordinates.ts'

export interface Capacity {
  /** Cores that this peer may use, cgroup quota included; may be fractional. */
  readonly cpuCores: number
  readonly memoryBytes: number
  readonly diskBytes: number
  /** Cells that may run at once. */
  readonly slots: number
}

export interface Free {
  /** Idle share of `capacity.cpuCores`, 0..1. */
  readonly cpu: number
  readonly memoryBytes: number
  readonly diskBytes: number
  readonly slots: number
}

export interface Load {
  /** Predicted time until a cell accepted now would start, milliseconds. */
  readonly backlogMs: number
  readonly running: number
  /** One-minute load average of the machine. */
  readonly load1: number
}

/** The fields a peer says about itself; lists beyond their bound are cut by `publish`. */
export interface OwnFields {
  readonly name: string
  readonly zone: string
  readonly preset: string
  readonly labels: Readonly<Record<string, string>>
  /** Multiaddrs at which this peer listens or is reached; at most 16, the most useful first. */
  readonly addresses: readonly string[]
  readonly capacity: Capacity
  readonly free: Free
  readonly load: Load
  /** Kernel name -> milliseconds it took here. */
  readonly calibration: Readonly<Record<string, number>>
  /** Share of a core's fuel that cells get here, (0, 1]. */
  readonly fuelShare: number
  /** At most 256. */
  readonly cells: readonly { readonly id: string; readonly phase: string }[]
  /** Hex SHA-256 of modules held ready; at most 64. */
  readonly modules: readonly string[]
  /** Placement model in use: hex hash, federated round. Absent before the first. */
  readonly model?: { readonly version: string; readonly round: number }
  readonly roles: readonly string[]
  readonly agentVersion: string
}

/** What a zone has, in sums, for those outside. */
export interface ZoneSummary {
  /** Members present. */
  readonly peers: number
  readonly slots: number
  readonly freeSlots: number
  readonly cpuCores: number
  /** Idle cores. */
  readonly freeCores: number
  readonly freeMemoryBytes: number
  /** Peers of the zone that keep links with others, and where they are. */
  readonly contacts: readonly { readonly peer: PeerKey; readonly addresses: readonly string[] }[]
}

/** What one peer said of itself, as signed by it. Ordered by (incarnation, version). */
export interface StateRecord extends OwnFields {
  readonly peer: PeerKey
  /** Wall clock at the peer's start, milliseconds; raised when an earlier life turns out to have used a higher one. */
  readonly incarnation: number
  /** Counts up within one incarnation. */
  readonly version: number
  /** The peer's own wall clock at its last `publish`, milliseconds: compare only with values of the same peer. */
  readonly measuredAt: number
  /** Where it is, for estimates of round trips: see `unpacked` in `coordinates.ts`. */
  readonly coordinate?: readonly number[]
  /** Told by the reporter of a zone, in a mesh too large for everybody to hear of everybody. */
  readonly summary?: ZoneSummary
  /** Set in a peer's last record: it went on purpose. */
  readonly left?: boolean
}

/** `suspect`: probes fail, or others say so, and it may still answer. `failed`: it did not. `left`: it said goodbye. */
export type MemberStatus = 'alive' | 'suspect' | 'failed' | 'left'

export interface MemberView {
  readonly record: StateRecord
  readonly status: MemberStatus
  /** Since the newest version reached this peer, on the local monotonic clock. */
  readonly ageMs: number
  /** Round trip of the connection or of the last probe. */
  readonly rttMs?: number
  /** What it should be, from the network coordinates of both. */
  readonly rttEstimate?: RttEstimate
  readonly self: boolean
}

/** Told after a member's record or status changed; `member` is undefined once it is forgotten. */
export type MeshListener = (peer: PeerKey, member: MemberView | undefined) => void

/** The mesh as this peer believes it to be. Failed members stay listed for 24 h, left ones for 1 h. */
export interface MeshView {
  /** Self first, then in no particular order. */
  peers(): readonly MemberView[]
  get(peer: PeerKey): MemberView | undefined
  /** Between any two members, measured by nobody; undefined as long as either is not placed. */
  estimateRtt(a: PeerKey, b: PeerKey): RttEstimate | undefined
  /** All zones by name: the own one, and those of which nobody's record is held, by their reporters' account. */
  zones(): ReadonlyMap<string, ZoneSummary>
  onChange(listener: MeshListener): () => void
}

export interface StateStatus {
  /** Links to other peers. */
  readonly links: number
  /** How far this peer mistrusts its own sense of time, from 0 (well) to 7: Lifeguard's local health. */
  readonly health: number
  /** The mesh is too large for everybody to hear of everybody. */
  readonly zoned: boolean
  /** Since the start. */
  readonly counters: {
    /** Records and suspicions that were news, and thus verified. */
    readonly verified: number
    /** Records that came although their version, or a newer one, was held. */
    readonly duplicates: number
    /** Suspicions that came too often, about or by nobody known, or that a newer record answers. */
    readonly ignoredClaims: number
    /** Times that this peer was called dead, and answered. */
    readonly refutations: number
    /** Records for which there was no room. */
    readonly refused: number
  }
}

export interface StateInit {
  readonly network: Network
  readonly signer: Signer
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}
