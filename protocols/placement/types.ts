// What placement offers, and what it needs from the peer at both ends: the host that runs cells, the authority that owns them.
import type { Logger } from '@libp2p/interface'
import type { Clock } from '../../core/clock.ts'
import type { Startable } from '../../core/lifecycle.ts'
import type { Random } from '../../core/random.ts'
import type { Network, PeerKey } from '../kit/types.ts'
import type { CellEvent, ReportAck, ReportBatch } from './events.ts'
import type { CellManifest, SignedManifest } from './manifest.ts'
import type { Ask, Command, CommandResult, Room } from './messages.ts'
import type { Candidate, NegotiationOutcome } from './negotiation-types.ts'
import type { Outbox } from './outbox.ts'

/** What a host thinks of an ask, beside the room that the service reserves for it. */
export interface BidTerms {
  readonly backlogMs: number
  readonly hasModule: boolean
}

/** A start as the host hears of it: the signature is checked, and `from` is the owner. */
export interface HostStart {
  readonly cell: string
  readonly epoch: number
  readonly manifest: CellManifest
  readonly signed: SignedManifest
  readonly holders: readonly PeerKey[]
  readonly from: PeerKey
}

/** The peer as a host. */
export interface HostPort {
  /**
   * What is free beside the cells that run or are starting, in memory and disk as they may grow to. Reservations are
   * kept by the service and are not to be taken off. Asked before every reservation, so it must be cheap.
   */
  room(): Room
  /**
   * Would this peer run it? Resolves fast, without fetching anything, or throws a `CodedError` that says why not:
   * `NOT_HOST`, `STARTING`, `DRAINING`, `CONSTRAINT` or another code of the host's own. Room is not its business.
   */
  consider(ask: Ask, from: PeerKey): Promise<BidTerms>
  /**
   * Records the cell durably, counts it in {@link room}, then resolves; fetching and running follow on their own.
   * Throws a `CodedError` to refuse. Called once at a time per cell, and not for an epoch that {@link epochOf} names.
   */
  start(order: HostStart): Promise<void>
  /** The epoch under which this peer holds the cell, ended or not; undefined when it does not. Throws `STARTING` while it cannot know. */
  epochOf(cell: string): number | undefined
  /** The owner in the signed manifest of a cell that this peer holds. Nobody else is obeyed. Throws `STARTING` while it cannot know. */
  ownerOf(cell: string): PeerKey | undefined
  /** Does it, for the owner, and answers when it is done. `signal` aborts with the stream: a move goes on regardless. */
  command(cell: string, command: Command, init: { readonly signal: AbortSignal }): Promise<CommandResult>
}

/** The peer as an authority. */
export interface AuthorityPort {
  /**
   * Applies the batch with `take` of `inbox.ts`, makes events and inbox durable, and only then resolves with the
   * acknowledgement. Called once at a time per cell. Throws `CELL_UNKNOWN` when it never submitted the cell: the host then forgets it.
   */
  report(from: PeerKey, batch: ReportBatch): Promise<ReportAck>
}

/** One start, before it is sent. */
export interface Attempt {
  readonly host: PeerKey
  readonly epoch: number
}

export interface PlacePlan {
  readonly cell: string
  readonly ask: Ask
  /** The last epoch in use for the cell, 0 before the first. */
  readonly epoch: number
  /** The best first. */
  readonly candidates: readonly Candidate[]
}

export interface StartPlan extends PlacePlan {
  readonly signed: SignedManifest
  readonly holders: readonly PeerKey[]
  /**
   * Makes `host` and `epoch` durable in the cell's record: awaited before the start leaves, so that the first report
   * finds the record expecting it and a restart never uses an epoch twice. A rejection ends the placement.
   */
  onAttempt(attempt: Attempt): Promise<void>
}

export interface ReporterInit {
  readonly cell: string
  readonly authority: PeerKey
  /** Saved from an earlier life, brought along by a move, or empty. */
  readonly outbox: Outbox
  /**
   * The authority took everything up to `outbox.acked`, or does not want more (`outbox.closed`): a superseded copy of
   * the cell is to be stopped and its record dropped.
   */
  readonly onProgress?: (outbox: Outbox) => void
  /** The authority knows no such cell; nothing more is sent. */
  readonly onRefused?: (code: string, reason: string) => void
}

/** Sends the events of one cell in one epoch to its authority, again and again until they are acknowledged. */
export interface Reporter {
  readonly outbox: Outbox
  /** Queues an event; in memory only, so a result has to be saved (`encodeOutbox`) by the caller. */
  append(event: CellEvent): void
  /** Resolves when the authority has everything that was appended, or wants nothing more. */
  drained(init: { readonly signal: AbortSignal }): Promise<void>
  /** Sends no more; what was not acknowledged stays in {@link outbox}. */
  stop(): Promise<void>
}

/** Room that was promised and is being used: freed by `settle`, once, when the cell counts in `room()` or never will. */
export interface Claim {
  settle(): void
}

export interface Placement extends Startable {
  /** Offers, then starts. Resolves with how it ended; rejects when aborted or when `onAttempt` did: everything is given back then. */
  place(plan: StartPlan, init: { readonly signal?: AbortSignal }): Promise<NegotiationOutcome>
  /** Offers only: the winner keeps room for a move, under `reservation`. */
  reserve(plan: PlacePlan, init: { readonly signal?: AbortSignal }): Promise<NegotiationOutcome>
  /** Gives back what {@link reserve} got. Never rejects: the reservation expires anyway. */
  release(host: PeerKey, reservation: string): Promise<void>
  /** Rejects with the kit's codes; `REMOTE_REFUSED` carries the host's code in `facts.remoteCode`. */
  sendCommand(
    host: PeerKey,
    order: { readonly cell: string; readonly epoch: number; readonly command: Command },
    init: { readonly signal?: AbortSignal },
  ): Promise<CommandResult>
  /** Starts sending what is in the outbox, once the service is started; ends with the service or its own `stop`. */
  reporter(init: ReporterInit): Reporter
  /** Host side, for a cell that arrives by a move: takes a reservation up, or room as it is. Throws `RESERVATION_GONE`, `NO_SLOT`, ... */
  claim(cell: string, need: Room, reservation?: string): Claim
  /** Promised and not in {@link HostPort.room} yet: to be taken off what this peer says it has free. */
  reserved(): Room
}

export interface PlacementInit {
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly host: HostPort
  readonly authority: AuthorityPort
  readonly log: Logger
}
