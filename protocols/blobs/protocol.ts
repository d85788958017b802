// The blob protocol as data.
import type { ProtocolSpec } from '../kit/types.ts'

/** Large enough that framing costs nothing, small enough that other streams of the connection get their turn. */
export const CHUNK_BYTES = 256 * 1024
/** Chunks in flight: 2 MiB unread at most, half of what libp2p's reader takes before it fails. */
export const WINDOW_CHUNKS = 8
/** Chunks per credit: the sender never waits while half a window is on its way. */
export const CREDIT_CHUNKS = WINDOW_CHUNKS / 2
/** @default of `FetchInit.maxBytes` */
export const DEFAULT_MAX_BYTES = 1024 ** 3

/** `{cid, offset}`, then `{size}`, then the bytes from `offset` on in chunks, against credit. */
export const BLOB_PROTOCOL: ProtocolSpec = {
  id: '/cloudskin/blob/1.0.0',
  maxMessageBytes: CHUNK_BYTES,
  // A cell's module and some input files at once.
  maxInboundStreams: 16,
  maxOutboundStreams: 16,
  // A slow disk or link may take this long for one chunk; less would cut off honest devices.
  messageTimeoutMs: 30_000,
  // 1 GiB at 300 kB/s.
  streamTimeoutMs: 3_600_000,
  // A batch of cells fetches many small inputs.
  streamsPerMinute: 1_200,
  access: 'member',
}
