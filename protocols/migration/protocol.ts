// Ids, limits and deadlines of migration. Data only.
import type { ProtocolSpec } from '../kit/types.ts'

/** One piece of an image: large enough that framing costs < 0.1 %, small enough that a piece is checked and stored in < 1 ms. */
export const CHUNK_BYTES = 256 * 1024
/** As much as a cell is accepted with: what runs can move. It carries no files, only their names and hashes. */
export const MAX_MANIFEST_BYTES = 256 * 1024
/** Output offsets, and what the source had not passed on yet: that queue is bounded by the host, well below this. */
export const MAX_CONTEXT_BYTES = 16 * 1024 * 1024
/** Both ends hold the image in memory; half a GiB is a 512 MiB heap with no zero page. */
export const MAX_SNAPSHOT_BYTES = 512 * 1024 * 1024
/** Reasons are for people: one or two sentences. */
export const MAX_REASON_CHARS = 512

export const MIGRATE: ProtocolSpec = {
  id: '/cloudskin/migrate/1.0.0',
  // A chunk and its frame, and more than a manifest with its frame.
  maxMessageBytes: CHUNK_BYTES + 4096,
  // A move saturates a link; two overlap the hashing of one with the disk of the other.
  maxInboundStreams: 2,
  maxOutboundStreams: 2,
  // The longest silence is the destination fetching and compiling a large module.
  messageTimeoutMs: 120_000,
  // Half a GiB at 1 MB/s takes nine minutes.
  streamTimeoutMs: 900_000,
  // A cell moves at most once per quiet period; this leaves room for emptying a whole peer.
  streamsPerMinute: 60,
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

/** Deadlines of one move, milliseconds. */
export const DEADLINES = {
  /** The destination fetches and compiles a 30 MB module at 1 MB/s. */
  prepareMs: 120_000,
  /** A program passes a poll every few milliseconds; blocked host calls are polls too. */
  suspendMs: 15_000,
  /** All chunks, and `received`. */
  transferMs: 600_000,
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
/** Moves taken in at once over all peers: bounds the memory at this many images. */
export const MAX_INCOMING = 4
/** A destination keeps `refused` and `left` for a source that is away this long; later it answers `unknown`. */
export const RECORD_KEEP_MS = 30 * 24 * 3600 * 1000
