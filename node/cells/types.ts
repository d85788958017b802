// What the cell managers need from the rest of the peer.
import type { PeerKey } from '../../protocols/kit/types.ts'
import type { Ask, Candidate, CellManifest } from '../../protocols/placement/index.ts'

/** Small records by key. `put` and `remove` are on the disk when they resolve; a later one always wins. */
export interface RecordStore {
  put(key: string, record: Uint8Array): Promise<void>
  get(key: string): Promise<Uint8Array | undefined>
  list(): Promise<readonly (readonly [key: string, record: Uint8Array])[]>
  remove(key: string): Promise<void>
}

/** A placement decision: whom to ask, who was left out, and the whole of it as data for `why`. */
export interface Choice {
  readonly candidates: readonly Candidate[]
  /** A sentence for each group of excluded peers. */
  readonly exclusions: readonly string[]
  /** Somebody could take the cell later: what excludes them passes. */
  readonly later: boolean
  /** JSON-able. */
  readonly decision: unknown
}

export interface Chooser {
  choose(ask: Ask, manifest: CellManifest, init: { readonly exclude: readonly PeerKey[] }): Choice
  /** Notes how the negotiation about a decision ended, and later how long the run took. */
  conclude(decision: unknown, outcome: unknown): unknown
  explain(decisions: readonly unknown[]): readonly string[]
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
