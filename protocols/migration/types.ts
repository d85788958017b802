// The public face of migration, and what it needs from the peer: a journal, a place for images, and the cells at both ends.
import type { Clock } from '../../core/clock.ts'
import type { Startable } from '../../core/lifecycle.ts'
import type { Random } from '../../core/random.ts'
import type { Network, PeerKey } from '../kit/types.ts'

/** A suspended cell as bytes. Both parts are opaque here. */
export interface CellImage {
  readonly snapshot: Uint8Array
  /** Whatever the hosts pass on besides: output offsets, reports that nobody acknowledged yet. May be empty. */
  readonly context: Uint8Array
}

/** What a destination must know before it says yes. */
export interface CellDescription {
  /** Hex SHA-256 of the untouched module. */
  readonly module: string
  readonly moduleBytes: number
  /** Opaque here; the destination's port checks it. */
  readonly manifest: Uint8Array
  /** The owner's signature of the manifest; opaque here. */
  readonly signature: Uint8Array
  /** Expected snapshot size; a hint for a refusal, never trusted. */
  readonly snapshotBytes: number
}

/** One attempt to move one cell, as the destination hears of it. */
export interface MoveOffer extends CellDescription {
  readonly cell: string
  /** 32 hex digits, fresh for every attempt. */
  readonly attempt: string
  /** The epoch under which the destination would run the cell: one above the source's. */
  readonly epoch: number
  /** What the destination promised at placement; empty when it promised nothing. */
  readonly reservation: string
}

export interface SuspendedCell extends CellImage {
  /** `clock.mono()` of the last guest instruction; when absent, the moment `suspend` resolved counts. */
  readonly stoppedAt?: number
}

/**
 * The cells of this peer, seen as a source. Calls for one cell never overlap, except that `suspend` is aborted by its signal.
 * `resume` and `discard` are repeated after a restart and must be idempotent.
 */
export interface SourcePort {
  /** Throws when the cell is not here or cannot move; nothing has happened then. */
  describe(cell: string): Promise<CellDescription>
  /**
   * Stops the cell and packs it; everything it showed before is in `context` or delivered. The cell stays, suspended.
   * Must settle soon after `signal` aborts. Rejected means: it runs on (or had ended).
   */
  suspend(cell: string, init: { readonly signal: AbortSignal }): Promise<SuspendedCell>
  /**
   * Lets the cell run under `epoch`: in place when it is still here suspended, else from `image()`, which reads the kept copy.
   * A cell that already runs under `epoch` is left alone.
   */
  resume(cell: string, epoch: number, image: () => Promise<CellImage>): Promise<void>
  /** The cell is not this peer's any more: forget it, and durably remember `fate`. A cell that is not here is fine. */
  discard(cell: string, fate: CellFate): Promise<void>
}

/** Where a discarded cell is: at `to` under `epoch`, or given up by its owner. */
export interface CellFate {
  readonly kind: 'moved' | 'dropped'
  readonly to: PeerKey
  readonly epoch: number
}

/** The cells of this peer, seen as a destination. `activate` is repeated after a failure or restart and must be idempotent. */
export interface DestinationPort {
  /** Checks manifest, signature, reservation and room; refuses a cell it already holds; has the module fetched and compiled when it resolves. Throws to refuse. */
  prepare(offer: MoveOffer, from: PeerKey, init: { readonly signal: AbortSignal }): Promise<void>
  /** Comes after `prepare`. Loads the image into a suspended cell; it must not run yet. Throws when the image is not one of this module. */
  load(offer: MoveOffer, from: PeerKey, image: CellImage): Promise<void>
  /**
   * This peer owns the cell now: run it, from the loaded cell or, when that is gone, from `image()`; fetch the module again if need be.
   * Resolves once the guest runs. A cell that already runs under the offer's epoch is left alone.
   */
  activate(offer: MoveOffer, from: PeerKey, image: () => Promise<CellImage>): Promise<void>
  /** The move came to nothing: forget what `prepare` and `load` made, of which neither is at work any more. Also called when nothing was made. */
  unload(offer: MoveOffer): Promise<void>
}

/** Small records. `put` and `remove` are durable (synced to the disk) when they resolve, and a later one always wins. */
export interface MigrationJournal {
  put(key: string, record: Uint8Array): Promise<void>
  get(key: string): Promise<Uint8Array | undefined>
  list(): Promise<readonly (readonly [key: string, record: Uint8Array])[]>
  remove(key: string): Promise<void>
}

/** Images by name. `keep` is durable when it resolves and never leaves half an image under the name. */
export interface ImageStore {
  keep(name: string, image: CellImage): Promise<void>
  read(name: string): Promise<CellImage | undefined>
  /** Fine when there is none. */
  drop(name: string): Promise<void>
  list(): Promise<readonly string[]>
}

export interface MigrateInit {
  /** The epoch under which the cell runs here. */
  readonly epoch: number
  readonly reservation?: string
  /** Gives the move up as long as the hand-over is not sent; afterwards it has no effect. */
  readonly signal?: AbortSignal
}

export interface MigrationTimings {
  /** From the request to `ready`. */
  readonly prepareMs: number
  /** From the last guest instruction here until the answer that it runs there (or, resumed, until it runs here again). */
  readonly stopMs: number
  /** From the first chunk to `received`. */
  readonly transferMs: number
  readonly snapshotBytes: number
}

export interface MigrationResult {
  /** `resumed` also when it never stopped: the cell runs here. `in-doubt`: wait for {@link Migration.onResolved}, or decide. */
  readonly outcome: 'moved' | 'resumed' | 'in-doubt' | 'dropped'
  /** The epoch under which the cell runs now, as far as is known. */
  readonly epoch: number
  readonly reason?: string
  readonly timings: MigrationTimings
}

/** The end of a move that was in doubt, or found undecided in the journal at start. */
export interface ResolvedMove {
  readonly cell: string
  readonly to: PeerKey
  readonly outcome: 'moved' | 'resumed' | 'dropped'
  readonly epoch: number
  readonly reason?: string
}

/** What migration knows of a cell. `arrived` cells are this peer's; all others are in the hands of a move. */
export interface MoveStatus {
  readonly cell: string
  readonly role: 'source' | 'destination'
  /** The phase of the state machine, e.g. `sending`, `in-doubt`, `activating`, `active`. */
  readonly phase: string
  readonly peer: PeerKey
  readonly epoch: number
  readonly reason?: string
}

export interface Migration extends Startable {
  /**
   * Scans the journal and takes up what was undecided: cells in doubt are asked for, cells owned but not running are activated,
   * cells kept before the hand-over are resumed. Then serves. A cell that {@link status} does not know afterwards was in no move.
   */
  start(): Promise<void>
  /** Moves a cell. Rejects only when nothing was begun (`MIGRATION_BUSY`, `MIGRATION_IN_DOUBT`, what `describe` threw) or a resume failed. */
  migrate(cell: string, to: PeerKey, init: MigrateInit): Promise<MigrationResult>
  /**
   * The owner's word on a cell in doubt. `resume` runs it here under a higher epoch, though the other end may have it too.
   * Rejects with `MIGRATION_NOT_IN_DOUBT`.
   */
  resolve(cell: string, decision: 'resume' | 'drop'): Promise<MigrationResult>
  status(cell: string): MoveStatus | undefined
  /** Every move at work or in doubt, and the cells that arrived here. */
  list(): readonly MoveStatus[]
  /**
   * The cell that arrived here under `epoch` or a lower one has ended: its image is dropped. Moving it on does so too.
   * Rejects with `MIGRATION_JOURNAL_FAILED` when that cannot be written yet; it is tried again. @default any epoch
   */
  forget(cell: string, epoch?: number): Promise<void>
  onResolved(listener: (move: ResolvedMove) => void): () => void
}

export interface MigrationInit {
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly source: SourcePort
  readonly destination: DestinationPort
  readonly journal: MigrationJournal
  readonly images: ImageStore
  /** Called with what went wrong in the background and with nobody waiting. */
  readonly onError: (error: unknown, what: string) => void
  /** Largest snapshot taken in, bytes. @default 536870912 */
  readonly maxSnapshotBytes?: number
  /** Overrides of the deadlines in `protocol.ts`. */
  readonly deadlines?: Partial<Deadlines>
}

/** All milliseconds; see `protocol.ts`. */
export interface Deadlines {
  readonly prepareMs: number
  readonly suspendMs: number
  readonly transferMs: number
  readonly handOverMs: number
  readonly awaitHandOverMs: number
  readonly askMs: number
  readonly askMaxMs: number
  readonly retryMs: number
  readonly retryMaxMs: number
}
