// Ids and limits of admission. These protocols are heard before anything is known of the other side: they are the tightest.
import type { ProtocolSpec } from '../kit/types.ts'

const common = {
  /** A certificate with its chain is below 2 kB. */
  maxMessageBytes: 32 * 1024,
  maxInboundStreams: 4,
  maxOutboundStreams: 4,
  /** A handshake is two small messages; a loaded small board needs its time for signatures. */
  messageTimeoutMs: 5_000,
  streamTimeoutMs: 10_000,
  /** Once per connection, and some reconnects. */
  streamsPerMinute: 60,
  access: 'anyone',
} as const

/** Both sides show mesh and certificate. */
export const HELLO: ProtocolSpec = { id: '/cloudskin/hello/1.0.0', ...common }

/** A ticket's secret against a certificate. Guessing 16 random bytes at this rate takes for ever. */
export const JOIN: ProtocolSpec = { id: '/cloudskin/join/1.0.0', ...common, streamsPerMinute: 20 }

/** An old certificate against a new one. */
export const RENEW: ProtocolSpec = { id: '/cloudskin/renew/1.0.0', ...common, access: 'member', streamsPerMinute: 10 }
