// Ids, limits and deadlines: data only.
import type { ProtocolSpec } from '../kit/types.ts'
import { MAX_MANIFEST_BYTES } from './manifest.ts'

/** Peers asked at once: the second choice is at hand when the first refuses, and the cost stays O(1) in the size of the mesh. */
export const OFFERS_PER_ROUND = 3
/** A round is judged when all have answered or after this: several wide-area round trips, less than a person's patience. */
export const BID_DEADLINE_MS = 1_500
/** How long an offer that missed the round may still come in when nobody else is left to ask. */
export const LATE_BID_MS = 5_000
/** A start is answered after one durable write at the host; fetching comes later. */
export const START_DEADLINE_MS = 10_000
/** Covers a round of bids and two starts that time out; a host holds its room no longer for someone who went away. */
export const RESERVATION_TTL_MS = 25_000
/** Reservations that one peer may hold on one host: more than a burst needs, few enough that nobody locks a host up. */
export const RESERVATIONS_PER_PEER = 64

/** One output event: small enough that a lost batch costs little, large enough for bulk output. */
export const OUTPUT_EVENT_BYTES = 64 * 1024
/** Files of one finished cell: they are told in one event. */
export const MAX_RESULT_FILES = 1024
/** Events go out together up to this many bytes; at 20 ms round trip that is 12 MB/s of output. */
export const REPORT_BATCH_BYTES = 256 * 1024
export const REPORT_BATCH_EVENTS = 512
/** Lines that a program prints within this time travel in one batch. */
export const REPORT_INTERVAL_MS = 20
/** A report stream with nothing to say is closed after this, and opened again when there is. */
export const REPORT_IDLE_MS = 20_000
/** Repeats after a failure: soon at first, then seldom, as an authority may be away for a day. */
export const REPORT_RETRY_MS = 250
export const REPORT_RETRY_MAX_MS = 15_000

export const OFFER: ProtocolSpec = {
  id: '/cloudskin/offer/1.0.0',
  // needs, labels and at most 64 features
  maxMessageBytes: 64 * 1024,
  maxInboundStreams: 32,
  maxOutboundStreams: 32,
  messageTimeoutMs: LATE_BID_MS,
  streamTimeoutMs: 2 * LATE_BID_MS,
  // a batch of a hundred cells tries each host about once a cell
  streamsPerMinute: 1_200,
  access: 'member',
}

export const RELEASE: ProtocolSpec = {
  ...OFFER,
  id: '/cloudskin/release/1.0.0',
  maxMessageBytes: 1024,
}

export const START: ProtocolSpec = {
  id: '/cloudskin/start/1.0.0',
  // the manifest and a few peer ids
  maxMessageBytes: MAX_MANIFEST_BYTES + 16 * 1024,
  maxInboundStreams: 32,
  maxOutboundStreams: 32,
  messageTimeoutMs: START_DEADLINE_MS,
  streamTimeoutMs: 2 * START_DEADLINE_MS,
  streamsPerMinute: 1_200,
  access: 'member',
}

export const REPORT: ProtocolSpec = {
  id: '/cloudskin/report/1.0.0',
  // a batch, or one result that names a thousand files
  maxMessageBytes: 2 * 1024 * 1024,
  // one stream per cell that this host runs for this authority
  maxInboundStreams: 256,
  maxOutboundStreams: 256,
  // a stream may stay silent for REPORT_IDLE_MS; one durable write answers a batch
  messageTimeoutMs: 60_000,
  streamTimeoutMs: 30 * 60_000,
  streamsPerMinute: 2_400,
  access: 'member',
}

/** Of standard input that goes to a running cell: what a person pastes, or a second of what a program prints. */
export const MAX_STDIN_PIECE_BYTES = 128 * 1024

export const COMMAND: ProtocolSpec = {
  id: '/cloudskin/command/1.0.0',
  // a piece of standard input, or a path; files come back as names of blobs
  maxMessageBytes: MAX_STDIN_PIECE_BYTES + 16 * 1024,
  maxInboundStreams: 32,
  maxOutboundStreams: 32,
  // a move of a large cell is answered when it is over: an hour on the slowest link, and what is asked and tried after it
  messageTimeoutMs: 62 * 60_000,
  streamTimeoutMs: 63 * 60_000,
  // eight pieces of standard input a second, for a dozen cells that somebody is attached to
  streamsPerMinute: 6_000,
  access: 'member',
}
