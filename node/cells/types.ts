// What the cell managers need from the rest of the peer.
import type { PeerKey } from '../../protocols/kit/types.ts'
import type { Ask, Candidate, CellManifest } from '../../protocols/placement/index.ts'
import type { DecisionRecord } from '../decide/index.ts'

/** Small records by key. `put` and `remove` are on the disk when they resolve; a later one always wins. */
export interface RecordStore {
  put(key: string, record: Uint8Array): Promise<void>
  get(key: string): Promise<Uint8Array | undefined>
  list(): Promise<readonly (readonly [key: string, record: Uint8Array])[]>
  remove(key: string): Promise<void>
}

/** A placement decision, and what the negotiation needs of it. */
export interface Choice {
  readonly candidates: readonly Candidate[]
  readonly decision: DecisionRecord
  /** Nobody passed the filters, but what stops at least one peer passes. */
  readonly later: boolean
}

export interface ChoiceInit {
  /** Peers left out: the host that a running cell is to leave. */
  readonly exclude?: readonly { readonly peer: PeerKey; readonly reason: string }[]
}

export interface Chooser {
  choose(ask: Ask, manifest: CellManifest, init?: ChoiceInit): Choice
  /** A cell was placed there: counts until that peer says so itself. */
  placed(peer: PeerKey, predictedMs: number): void
}

/** Who is who, for people. */
export interface Names {
  nameOf(peer: PeerKey): string
  /** Peers whose id, end of id, or name is `text`. */
  find(text: string): readonly PeerKey[]
}

/** A finished run, as the host's own training sees it. It never leaves the peer. */
export interface FinishedRun {
  readonly manifest: CellManifest
  readonly opcodeFeatures: readonly number[]
  readonly inputBytes: number
  readonly busyMs: number
  readonly wallMs: number
  /** Cells that ran here at the same time, this one included, over the slots. */
  readonly occupancy: number
  /** Moved runs saw more than one machine. */
  readonly moved: boolean
}
