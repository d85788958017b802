// Ids, limits and deadlines of migration. Data only.
import type { ProtocolSpec } from '../kit/types.ts'

/**
 * One piece of an image: framing costs < 0.1 %, and what is left at the stop is one or two. Not more: the private network's cipher
 * (xsalsa20 1.2) fails once single writes have passed 640 KB a few times, and takes the connection along.
 */
export const CHUNK_BYTES = 256 * 1024
/** Each piece counts so much more than its bytes: what hashing, framing and applying it costs. A source that sends crumbs gains nothing. */
export const PIECE_OVERHEAD_BYTES = 1024
/** One part of a snapshot is in the memory of both ends as a whole: the frames of the deepest stack, files and a large last delta. */
export const MAX_PART_BYTES = 512 * 1024 * 1024
/** What a destination holds of the parts that are not applied and written yet; above it the source waits. */
export const MAX_UNAPPLIED_BYTES = 8 * 1024 * 1024
/** As much as a cell is accepted with: what runs can move. It carries no files, only their names and hashes. */
export const MAX_MANIFEST_BYTES = 256 * 1024
/** Output offsets, and what the source had not passed on yet: that queue is bounded by the host, well below this. */
export const MAX_CONTEXT_BYTES = 16 * 1024 * 1024
/** Both ends have the image on their disks, all rounds of it: that of a 1 GiB heap whose rounds save nothing. */
export const MAX_IMAGE_BYTES = 2 * 1024 * 1024 * 1024
/** Reasons are for people: one or two sentences. */
export const MAX_REASON_CHARS = 512

export const MIGRATE: ProtocolSpec = {
  id: '/cloudskin/migrate/1.0.0',
  // A piece and its frame, and more than a manifest with its frame.
  maxMessageBytes: CHUNK_BYTES + 4096,
  // A move saturates a link; two overlap the hashing of one with the disk of the other.
  maxInboundStreams: 2,
  maxOutboundStreams: 2,
  // Above all deadlines of a move, which know what is being waited for: a source hears nothing as long as a round takes.
  messageTimeoutMs: 1_260_000,
  // `MAX_IMAGE_BYTES` at 1 MB/s take thirty-six minutes. It is also as long as a source may hold what waits for its rounds.
  streamTimeoutMs: 3_600_000,
  // A cell moves at most once per quiet period; this leaves room for emptying a whole peer.
  streamsPerMinute: 60,
  bulk: true,
  access: 'member',
}

export const RESOLVE: ProtocolSpec = {
  id: '/cloudskin/migrate-resolve/1.0.0',
  // A question is three short texts.
  maxMessageBytes: 4096,
  maxInboundStreams: 16,
  maxOutboundStreams: 16,
  // The answer `never` waits for one synchronous disk write.
  messageTimeoutMs: 10_000,
  streamTimeoutMs: 20_000,
  // After a restart a peer asks for all its cells in doubt at once.
  streamsPerMinute: 240,
  access: 'member',
}

/** 1 MB/s: a link below it is too slow for moves. */
export const SLOWEST_BYTES_PER_MS = 1000
/** A stream of which the first message is late is of no move: an offer is ready when its stream is opened. */
export const OFFER_MS = 15_000

/** Deadlines of one move, milliseconds. */
export const DEADLINES = {
  /** The destination fetches and compiles a 30 MB module at 1 MB/s. */
  prepareMs: 120_000,
  /** A program passes a poll every few milliseconds; blocked host calls are polls too. For the copy to begin, and for the stop. */
  pollMs: 15_000,
  /** One round: a GiB at 1 MB/s. */
  roundMs: 1_200_000,
  /** From the stop to `received`, beside what the last parts take at `SLOWEST_BYTES_PER_MS`: the cell stands still. */
  lastMs: 10_000,
  /** One disk write and the start of a loaded cell; past it the move is in doubt, which costs questions, not the cell. */
  handOverMs: 15_000,
  /** The destination waits this long for the hand-over after `received`: longer than the source needs for one disk write. */
  awaitHandOverMs: 60_000,
  /** Pause before the first repeated question; doubles up to the maximum. */
  askMs: 500,
  askMaxMs: 60_000,
  /** Pause before a failed resume or activation is tried again; doubles up to the maximum. */
  retryMs: 250,
  retryMaxMs: 30_000,
} as const

/** Questions without a decision before `migrate` answers `in-doubt`: an end that just restarts is back by then. */
export const QUESTIONS_BEFORE_DOUBT = 3
/** Failed resumes before `migrate` says so; the tries go on. */
export const TRIES_BEFORE_STUCK = 3
/** When no further round is worth its while; see `stop-rule.ts`. */
export const STOP_RULE = {
  /** Copied in about a millisecond on a LAN: less than a round costs in any other way. */
  smallBytes: 512 * 1024,
  /** A program that writes as fast as it is copied stops getting better after two or three. */
  maxRounds: 8,
  /** A round that leaves more than this share of what the one before it left is not worth repeating. */
  progress: 0.75,
  /** A cell that is to leave leaves; its tracking costs it some of its speed meanwhile. */
  budgetMs: 60_000,
} as const

/** Rounds that a destination takes part in: a source with another rule may want more than ours, but not for ever. */
export const MAX_ROUNDS = 2 * STOP_RULE.maxRounds

/** Moves taken in at once over all peers: bounds the memory that waiting cells and parts on their way take. */
export const MAX_INCOMING = 4
/** A destination keeps `refused` and `left` for a source that is away this long; later it answers `unknown`. */
export const RECORD_KEEP_MS = 30 * 24 * 3600 * 1000
