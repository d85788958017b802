// The public face of migration, and what it needs from the peer: a journal, a place for images, and the cells at both ends.
import type { Clock } from '../../core/clock.ts'
import type { Startable } from '../../core/lifecycle.ts'
import type { Random } from '../../core/random.ts'
import type { Network, PeerKey } from '../kit/types.ts'
import type { StopRule } from './stop-rule.ts'

/** What was kept of a cell that moves: its parts in the order in which they were made, and what goes along. All of it is opaque here. */
export interface KeptImage {
  /** Whatever the hosts pass on besides: output offsets, reports that nobody acknowledged yet. May be empty. */
  readonly context: Uint8Array
  /**
   * Reads the parts from the disk, one at a time. Fails at the end with `MIGRATION_IMAGE_LOST` when they are not those that
   * the journal names: nothing may rest on them before that.
   */
  parts(): AsyncIterable<Uint8Array>
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
  /** Bytes of memory that the cell has now; a hint for a refusal, never trusted. */
  readonly memoryBytes: number
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

/** What is left of a cell that was just stopped. */
export interface StoppedCell {
  /** The last parts: with those of all rounds, the whole cell. */
  readonly parts: readonly Uint8Array[]
  readonly context: Uint8Array
  /** `clock.mono()` of the last guest instruction; when absent, the moment `stop` resolved counts. */
  readonly stoppedAt?: number
  /** The same moment on the clock that all processes of this host share, milliseconds, where that is known. */
  readonly hostStoppedAt?: number
}

/** A cell that runs on while it is copied. Its calls never overlap, but that `cancel` may come at any time. */
export interface CellCopy {
  /** False for a cell that cannot be watched while it runs: there are no rounds then, and `stop` comes at once. */
  readonly isLive: boolean
  /** What has changed since the last round began; in the first round, everything. Taken at the pace at which it is asked for. */
  round(): AsyncIterable<Uint8Array>
  /** Bytes that a round would copy now. */
  dirtyBytes(): Promise<number>
  /**
   * Stops the cell and packs what is left; everything it showed before is in `context` or delivered. The cell stays, suspended.
   * Settles soon after `cancel`. Rejected means: it runs on (or had ended).
   */
  stop(): Promise<StoppedCell>
  /** The cell goes on as if it had never been copied. Idempotent; after a `stop` that was resolved it does nothing. */
  cancel(): Promise<void>
}

/**
 * The cells of this peer, seen as a source. Calls for one cell never overlap, except that `copy` is aborted by its signal.
 * `resume` and `discard` are repeated after a restart and must be idempotent.
 */
export interface SourcePort {
  /** Throws when the cell is not here or cannot move; nothing has happened then. */
  describe(cell: string): Promise<CellDescription>
  /** Begins to copy the cell, which runs on. Must settle soon after `signal` aborts; rejected means that nothing has changed. */
  copy(cell: string, init: { readonly signal: AbortSignal }): Promise<CellCopy>
  /**
   * Lets the stopped cell run under `epoch`: in place when it is still here suspended, else from `image()`, which reads the kept
   * copy. A cell that already runs under `epoch` is left alone.
   */
  resume(cell: string, epoch: number, image: () => Promise<KeptImage>): Promise<void>
  /** The cell is not this peer's any more: forget it, and durably remember `fate`. A cell that is not here is fine. */
  discard(cell: string, fate: CellFate): Promise<void>
}

/** Where a discarded cell is: at `to` under `epoch`, or given up by its owner. */
export interface CellFate {
  readonly kind: 'moved' | 'dropped'
  readonly to: PeerKey
  readonly epoch: number
}

/** What a destination knows of the start of a cell. */
export interface StartedCell {
  /** When the guest executed its first instruction, on the clock that all processes of this host share; where that is known. */
  readonly hostStartedAt?: number
}

/** What a destination knows of a cell before it comes. */
export interface PreparedCell {
  /** More than all rounds of a cell of its size can be, bytes: what is taken in and kept of it. */
  readonly maxImageBytes: number
}

/** The cells of this peer, seen as a destination. `activate` is repeated after a failure or restart and must be idempotent. */
export interface DestinationPort {
  /**
   * Checks manifest, signature, reservation and room; refuses a cell it already holds. When it resolves the module is fetched and
   * compiled, and a cell waits for its parts. Throws to refuse.
   */
  prepare(offer: MoveOffer, from: PeerKey, init: { readonly signal: AbortSignal }): Promise<PreparedCell>
  /** Gives the waiting cell its next part; resolves once that is applied. Throws when it is not one of this module. */
  add(offer: MoveOffer, part: Uint8Array): Promise<void>
  /** After the last part: the cell is whole, and needs nothing more to run but the word. It must not run yet. */
  finish(offer: MoveOffer, context: Uint8Array): Promise<void>
  /**
   * This peer owns the cell now: run it, from the waiting cell or, when that is gone, from `image()`; fetch the module again if need
   * be. Resolves once the guest runs. A cell that already runs under the offer's epoch is left alone.
   */
  activate(offer: MoveOffer, from: PeerKey, image: () => Promise<KeptImage>): Promise<StartedCell>
  /** After `activate`: that the cell is here is durable when this resolves. Until then the image stays, and a restart begins with it. */
  remember(offer: MoveOffer): Promise<void>
  /** The move came to nothing: forget what was made for it, of which nothing is at work any more. Also called when nothing was made. */
  unload(offer: MoveOffer): Promise<void>
}

/** Small records. `put` and `remove` are durable (synced to the disk) when they resolve, and a later one always wins. */
export interface MigrationJournal {
  put(key: string, record: Uint8Array): Promise<void>
  get(key: string): Promise<Uint8Array | undefined>
  list(): Promise<readonly (readonly [key: string, record: Uint8Array])[]>
  remove(key: string): Promise<void>
}

/** A piece of a part of a snapshot. */
export interface ImagePiece {
  readonly bytes: Uint8Array
  /** The part goes on in the next piece. */
  readonly more: boolean
}

/** An image that is being written. Calls do not overlap. After one that failed only `abandon` is of use. */
export interface OpenImage {
  append(pieces: readonly ImagePiece[]): Promise<void>
  /** What was appended so far will not delay `commit`. */
  sync(): Promise<void>
  /** Durable when it resolves, and only then seen under its name; nothing is appended afterwards. */
  commit(context: Uint8Array): Promise<void>
  /** Lets go of it, committed or not: without a commit nothing was kept. Idempotent. */
  abandon(): Promise<void>
}

export interface StoredImage {
  readonly context: Uint8Array
  pieces(): AsyncIterable<ImagePiece>
}

/** Images by name. */
export interface ImageStore {
  /** Takes the place of whatever had the name. */
  create(name: string): Promise<OpenImage>
  /** Undefined unless it was committed. */
  read(name: string): Promise<StoredImage | undefined>
  /** Fine when there is none. */
  drop(name: string): Promise<void>
  /** Of committed ones, and of others. */
  list(): Promise<readonly string[]>
}

export interface MigrateInit {
  /** The epoch under which the cell runs here. */
  readonly epoch: number
  readonly reservation?: string
  /** Gives the move up as long as the hand-over is not sent; afterwards it has no effect. */
  readonly signal?: AbortSignal
}

/** How a move went: milliseconds and bytes. A step that never happened took none. */
export interface MigrationFigures {
  /** From the request to `ready`. */
  readonly prepareMs: number
  /** From the request to the last step. */
  readonly totalMs: number
  /** From the last guest instruction here until the answer that it runs there (or, resumed, until it runs here again). */
  readonly stopMs: number
  readonly rounds: number
  /** All parts of all rounds, and the last ones, as they travelled. */
  readonly movedBytes: number
  /** Those that travelled while the cell stood still. */
  readonly lastBytes: number
  /** Last guest instruction here and first one there, on their hosts' clocks: to be compared only where both are one host. */
  readonly hostStoppedAt?: number
  readonly hostStartedAt?: number
}

export interface MigrationResult {
  /** `resumed` also when it never stopped: the cell runs here. `in-doubt`: wait for {@link Migration.onResolved}, or decide. */
  readonly outcome: 'moved' | 'resumed' | 'in-doubt' | 'dropped'
  /** The epoch under which the cell runs now, as far as is known. */
  readonly epoch: number
  readonly reason?: string
  /** The destination said no or was not heard of any more, before the cell was its own: another one may take it. */
  readonly byDestination?: boolean
  readonly figures: MigrationFigures
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
  /** The phase of the state machine, e.g. `copying`, `in-doubt`, `activating`, `active`. */
  readonly phase: string
  readonly peer: PeerKey
  readonly epoch: number
  readonly reason?: string
}

export interface Migration extends Startable {
  /**
   * Scans the journal and takes up what was undecided: cells in doubt are asked for, cells owned but not running are activated,
   * cells that were taken back are resumed. Then serves. A cell that {@link status} does not know afterwards was in no move.
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
  /** Called at both ends after each round, while the cell runs: for what would lengthen its stop if it came then. @default nothing */
  readonly beforeStop?: () => void
  /** Called with what went wrong in the background and with nobody waiting. */
  readonly onError: (error: unknown, what: string) => void
  /** Largest image taken in, all rounds together, bytes. @default 2147483648 */
  readonly maxImageBytes?: number
  /** Overrides of the deadlines, and of the rule for the last round, in `protocol.ts`. */
  readonly deadlines?: Partial<Deadlines>
  readonly stopRule?: Partial<StopRule>
}

/** All milliseconds; see `protocol.ts`. */
export interface Deadlines {
  readonly prepareMs: number
  readonly pollMs: number
  readonly roundMs: number
  readonly lastMs: number
  readonly handOverMs: number
  readonly awaitHandOverMs: number
  readonly askMs: number
  readonly askMaxMs: number
  readonly retryMs: number
  readonly retryMaxMs: number
}
