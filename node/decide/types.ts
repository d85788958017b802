// What a placement decision is made from and what it says. Plain data: the peer adapts its view of the mesh to it.

/** A cell as far as its place is concerned. */
export interface CellFacts {
  readonly cell: string
  /** Hex SHA-256 of the module. */
  readonly module: string
  readonly moduleBytes: number
  /** All input files and stdin together. */
  readonly inputBytes: number
  /** Most that it may take. */
  readonly memoryBytes: number
  readonly diskBytes: number
  readonly constraints: {
    readonly labels: Readonly<Record<string, string>>
    readonly zone?: string
    readonly peer?: string
    readonly notPeers: readonly string[]
  }
  /** log1p of opcode counts by class; empty when the module was not inspected. */
  readonly opcodeFeatures: readonly number[]
  readonly args: readonly string[]
}

/** One peer as this peer knows it. */
export interface PeerFacts {
  readonly peer: string
  readonly name: string
  readonly status: 'alive' | 'suspect' | 'failed' | 'left'
  readonly draining?: boolean
  readonly self: boolean
  readonly zone: string
  readonly labels: Readonly<Record<string, string>>
  readonly roles: readonly string[]
  /** Absent when never measured. */
  readonly rttMs?: number
  readonly cores: number
  readonly freeMemoryBytes: number
  readonly freeDiskBytes: number
  readonly freeSlots: number
  /** The whole of it, free or not, when known: what a peer will never have is told from what it lacks just now. */
  readonly slots?: number
  readonly memoryBytes?: number
  readonly diskBytes?: number
  readonly running?: number
  /** Predicted time until a cell accepted now would start, milliseconds. */
  readonly backlogMs: number
  /** Kernel name -> milliseconds it took there as a cell, so that the share of fuel is in it. */
  readonly calibration: Readonly<Record<string, number>>
  readonly fuelShare: number
  /** Hex SHA-256 of modules held ready. */
  readonly modules: readonly string[]
}

/** Cells that this peer placed somewhere since that peer last said what it has free. */
export interface RecentPlacements {
  readonly cells: number
  /** Their predicted run times together. */
  readonly ms: number
}

/** The mesh at the moment of a decision. */
export interface MeshFacts {
  /** Wall clock, milliseconds. */
  readonly at: number
  readonly peers: readonly PeerFacts[]
  /** Measured bandwidth to a peer, bytes per second; undefined when unknown. */
  bytesPerSecond?(peer: string): number | undefined
  recent?(peer: string): RecentPlacements | undefined
}

export type PredictedBy = 'model' | 'spec-cost'

export interface Prediction {
  /** From the first instruction to the last on that peer, its share of fuel counted in. */
  readonly ms: number
  readonly by: PredictedBy
  /** For people: what it rests on, e.g. `12 runs like it`. */
  readonly basis?: string
}

export interface Predictor {
  /** Total: some finite, non-negative time for any facts. */
  predict(cell: CellFacts, peer: PeerFacts): Prediction
}

/** Milliseconds; their sum is the cost. */
export interface CostParts {
  readonly rttMs: number
  readonly fetchMs: number
  readonly waitMs: number
  readonly runMs: number
}

export type FilterName =
  | 'alive'
  | 'draining'
  | 'role'
  | 'owner'
  | 'excluded'
  | 'label'
  | 'zone'
  | 'module'
  | 'memory'
  | 'slots'
  | 'disk'

export interface RankedPeer {
  readonly peer: string
  readonly name: string
  readonly cost: CostParts
  readonly totalMs: number
  readonly prediction: Prediction
  /** As far as this peer knows; a bid says it afresh. */
  readonly hasModule: boolean
  /** What fetching the module adds, or would add if the peer turned out not to have it. */
  readonly moduleFetchMs: number
}

export interface ExcludedPeer {
  readonly peer: string
  readonly name: string
  /** The first filter that failed. */
  readonly filter: FilterName
  /** The same text for every peer that failed for the same reason. */
  readonly reason: string
  /** What is particular to this peer. */
  readonly detail?: string
}

export interface Decision {
  readonly cell: string
  readonly at: number
  /** Cheapest first. */
  readonly ranked: readonly RankedPeer[]
  readonly excluded: readonly ExcludedPeer[]
  /** Peers that passed every filter but were not among those looked at. */
  readonly unconsidered: number
  /** Nobody passed, but what stops at least one peer passes: trying again makes sense. */
  readonly later: boolean
  readonly decidedBy: PredictedBy
}
