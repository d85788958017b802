// The control API as the CLI and the dashboard see it: JSON over HTTP/1.1 on the peer's Unix socket. Shapes are stable:
// fields are only ever added.

export const API_PREFIX = '/v1'

/** The longest a ticket lives, a certificate's life; and the most devices that may join with one. */
export const MAX_TICKET_TTL_MS = 30 * 24 * 3_600_000
export const MAX_TICKET_USES = 1000

export type PeerStatus = 'alive' | 'suspect' | 'failed' | 'left'

export interface StatusReply {
  readonly peer: string
  readonly name: string
  readonly preset: string
  readonly zone: string
  readonly version: string
  readonly pid: number
  readonly home: string
  readonly socket: string
  readonly addresses: readonly string[]
  readonly mesh: { readonly id: string; readonly open: boolean; readonly owner: boolean }
  /** Links to others, local health (0: well, to 7), and what came that should not have; absent while it starts. */
  readonly state?: {
    readonly links: number
    readonly health: number
    readonly zoned: boolean
    readonly counters: {
      readonly verified: number
      readonly duplicates: number
      readonly ignoredClaims: number
      readonly refutations: number
      readonly refused: number
    }
  }
  readonly roles: readonly string[]
  readonly uptimeMs: number
  readonly memory: { readonly rssBytes: number }
  /** What stands around cells on this machine, and what does not. */
  readonly walls: readonly { readonly wall: string; readonly active: boolean; readonly detail: string }[]
}

/** By network coordinates; `error` is the share of it by which it may be wrong. */
export interface RttEstimate {
  readonly ms: number
  readonly error: number
}

/** Of `GET /rtt?from=PEER&to=PEER`: the round trip between any two members. */
export interface RttReply {
  readonly from: string
  readonly to: string
  /** As measured, when one of them is the asked peer. */
  readonly rttMs?: number
  /** Absent as long as one of them is not placed. */
  readonly estimate?: RttEstimate
}

/** Of `GET /zones`. */
export interface ZoneRow {
  readonly zone: string
  readonly peers: number
  readonly slots: number
  readonly freeSlots: number
  readonly cpuCores: number
  /** Idle cores. */
  readonly freeCores: number
  readonly freeMemoryBytes: number
}

export interface PeerRow {
  readonly peer: string
  readonly name: string
  readonly self: boolean
  readonly status: PeerStatus
  readonly zone: string
  readonly preset: string
  readonly labels: Readonly<Record<string, string>>
  readonly cores: number
  readonly freeCpu: number
  readonly freeMemoryBytes: number
  readonly slots: number
  readonly freeSlots: number
  readonly fuelShare: number
  /** As measured. */
  readonly rttMs?: number
  readonly rttEstimate?: RttEstimate
  readonly cells: number
  readonly model: { readonly version: string; readonly round: number }
  readonly ageMs: number
  readonly addresses: readonly string[]
}

/**
 * Different words for different things: `accepted` is durable at this peer, `placed` is promised by a host,
 * `running` has executed its first instruction, `finished` has ended by itself with an exit code.
 */
export type CellPhase =
  | 'accepted'
  | 'placed'
  | 'fetching'
  | 'running'
  | 'moving'
  | 'in-doubt'
  | 'finished'
  | 'failed'
  | 'stopped'
  | 'lost'

export interface CellUsageReply {
  readonly busyMs: number
  readonly wallMs: number
  readonly fuel: number
  readonly memoryBytes: number
  readonly outputBytes: number
  readonly diskBytes: number
}

/** What a cell has of its standard input, bytes, and whether that is all it takes. */
export interface StdinReply {
  readonly bytes: number
  readonly closed: boolean
}

export interface MoveReply {
  readonly from: string
  readonly to: string
  readonly epoch: number
  /** `refused` moved nothing: the cell went on where it was. */
  readonly outcome: 'moved' | 'resumed' | 'in-doubt' | 'refused'
  readonly reason?: string
  /** The destination said no or was not heard of any more, before the cell was its own: another one may take it. */
  readonly byDestination?: boolean
  /** From the last guest instruction at the source to the answer that it runs at the destination, hand-over included, milliseconds. */
  readonly stopMs?: number
  /** From the request at the source on, milliseconds. */
  readonly totalMs?: number
  /** Of copying while it ran. */
  readonly rounds?: number
  /** All that travelled, and of that what travelled while it stood still. */
  readonly movedBytes?: number
  readonly lastBytes?: number
  /**
   * Last guest instruction at the source and first at the destination, milliseconds on the monotonic clocks of their machines:
   * where both are one machine, the difference is the time for which the cell stood still, exactly.
   */
  readonly hostStoppedAt?: number
  readonly hostStartedAt?: number
  readonly at: number
}

export interface CellReply {
  readonly cell: string
  readonly name: string
  readonly phase: CellPhase
  /** The role of the asked peer: it submitted the cell, or hosts it for another. */
  readonly role: 'authority' | 'host'
  readonly owner: string
  readonly host?: string
  readonly hostName?: string
  readonly epoch: number
  readonly submittedAt: number
  readonly engine: 'wasi' | 'wasix'
  /** False: it stays where it runs. */
  readonly migratable: boolean
  readonly nan: 'native' | 'canonical'
  readonly startedAt?: number
  readonly endedAt?: number
  readonly exitCode?: number
  readonly error?: { readonly code: string; readonly message: string }
  readonly usage?: CellUsageReply
  readonly files: readonly { readonly path: string; readonly bytes: number }[]
  readonly moves: readonly MoveReply[]
  readonly rerunOf?: string
}

export interface SubmitRequest {
  readonly name: string
  /** Names of blobs that were uploaded before: hex SHA-256. */
  readonly module: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly inputs: readonly { readonly path: string; readonly cid: string }[]
  readonly stdin?: string
  readonly outputs: readonly string[]
  readonly limits: Partial<CellLimitsRequest>
  /** @default 'wasi' */
  readonly engine?: 'wasi' | 'wasix'
  /** @default true on `wasi`; never on `wasix` */
  readonly migratable?: boolean
  /** `canonical`: all bits of floats are the same on every processor. Not on `wasix`. */
  readonly nan?: 'native' | 'canonical'
  /** More standard input comes by `POST /cells/:cell/stdin`. Not on `wasix`. */
  readonly stdinOpen?: boolean
  /** Decides the program's random bytes. Not on `wasix`. */
  readonly seed?: string
  readonly constraints: {
    readonly labels: Readonly<Record<string, string>>
    readonly zone?: string
    readonly peer?: string
  }
}

export interface CellLimitsRequest {
  readonly memoryBytes: number
  readonly wallMs: number
  readonly fuel: number
  readonly outputBytes: number
  readonly diskBytes: number
}

/** One line of `/cells/ID/events`: the story of a cell, in order. */
export type CellEventReply =
  | {
      readonly kind: 'phase'
      readonly at: number
      readonly phase: CellPhase
      readonly detail: string
      readonly host?: string
    }
  | { readonly kind: 'output'; readonly stream: 'stdout' | 'stderr'; readonly offset: number; readonly base64: string }
  | { readonly kind: 'move'; readonly move: MoveReply }
  | { readonly kind: 'end'; readonly cell: CellReply }

export interface WhyReply {
  readonly cell: string
  readonly lines: readonly string[]
  /** Every placement decision of this cell, first one first: candidates, failed filters, predicted cost by part. */
  readonly decisions: readonly unknown[]
}

export interface ModelReply {
  readonly version: string
  readonly round: number
  readonly contributors: readonly string[]
  readonly samples: number
  /** Mean absolute error of ln(milliseconds) on this peer's held-out runs; absent until there are some. */
  readonly loss?: { readonly model: number; readonly heuristic: number; readonly runs: number }
  readonly decides: 'model' | 'heuristic'
  readonly reason: string
  readonly backend?: string
  readonly history: readonly RoundReply[]
}

export interface RoundReply {
  readonly round: number
  readonly outcome: 'committed' | 'aborted'
  readonly contributors: number
  readonly lossBefore?: number
  readonly lossLocal?: number
  readonly lossAfter?: number
  readonly reason?: string
  readonly at: number
}

export interface InviteReply {
  readonly id: string
  /** Only in the answer to `create`: whoever holds it can join once. */
  readonly ticket?: string
  readonly roles: readonly string[]
  readonly createdAt: number
  readonly expiresAt: number
  readonly state: 'open' | 'used' | 'expired' | 'revoked'
  /** Devices that may use it, and that have. */
  readonly uses: number
  readonly used: number
  /** The first of them. */
  readonly usedBy?: string
}

export interface ConfigReply {
  readonly file: string
  readonly options: readonly {
    readonly name: string
    readonly value: unknown
    readonly origin: string
    readonly help: string
  }[]
}

export interface ErrorReply {
  readonly error: { readonly code: string; readonly message: string; readonly facts: Readonly<Record<string, unknown>> }
}
