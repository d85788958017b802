// The state protocols as data, and the times that failure detection trades with.
import type { ProtocolSpec } from '../kit/types.ts'

/** Digest, then delta, with one connected peer. */
export const STATE_PROTOCOL: ProtocolSpec = {
  id: '/cloudskin/state/1.0.0',
  // A digest of 2,048 peers (about 90 bytes each) and sixteen of the largest records.
  maxMessageBytes: 768 * 1024,
  // One periodic exchange, one push, and one of each that a slow reader has not finished.
  maxInboundStreams: 4,
  maxOutboundStreams: 4,
  // A record is small: a peer that needs longer for one message is in trouble.
  messageTimeoutMs: 5_000,
  // Three messages.
  streamTimeoutMs: 15_000,
  // One exchange a second each way, and pushes at most every PUSH_SPACING_MS: about 260; twice that for bursts.
  streamsPerMinute: 600,
  access: 'member',
}

/** Direct ping, and ping on behalf of another peer. */
export const PROBE_PROTOCOL: ProtocolSpec = {
  id: '/cloudskin/probe/1.0.0',
  // A peer id, two counters and a number.
  maxMessageBytes: 2_048,
  // Several suspects may be asked about at once.
  maxInboundStreams: 16,
  maxOutboundStreams: 16,
  // Above the longest probe of a peer whose local health is at its worst (8 x PROBE_TIMEOUT_MS).
  messageTimeoutMs: 10_000,
  streamTimeoutMs: 20_000,
  // One probe a second, and three helpers' requests for every doubtful peer of a mesh in trouble.
  streamsPerMinute: 600,
  access: 'member',
}

/** Domain of record signatures. */
export const STATE_DOMAIN = 'cloudskin-state-v1'

/** A record with 256 cells, 64 modules and a page of labels fits. */
export const MAX_RECORD_BYTES = 32 * 1024
export const MAX_CELLS = 256
export const MAX_MODULES = 64
/** A host with many interfaces has more addresses than others need. */
export const MAX_ADDRESSES = 16
export const MAX_ADDRESS_CHARS = 256
/** Bounds memory at 2,048 x 32 KiB, and as much for those no longer listed, whatever members claim to exist. */
export const MAX_PEERS = 2_048
/** Confirmers carried per doubtful peer: suspicion needs no more to reach its shortest timeout. */
export const MAX_CONFIRMERS = 4

/** Mean time between anti-entropy rounds; jittered by a quarter so that peers do not fall into step. */
export const EXCHANGE_INTERVAL_MS = 1_000
/** One exchange; a peer that needs longer is probed instead of waited for. */
export const EXCHANGE_TIMEOUT_MS = 5_000
/** A goodbye is worth this much of a shutdown. */
export const LEAVE_TIMEOUT_MS = 2_000
/** A change waits this long for others to travel with it. */
export const PUSH_DEBOUNCE_MS = 100
/** Shortest time between two pushes: a peer whose cells start by the hundred stays cheap. */
export const PUSH_SPACING_MS = 300
/** An unchanged record gets a new version this often: proof of life for those who cannot probe its peer. */
export const REFRESH_INTERVAL_MS = 10_000

/** The detector looks at its timers this often. */
export const TICK_MS = 250
/** One probe per interval, in shuffled rotation (memberlist's LAN setting). */
export const PROBE_INTERVAL_MS = 1_000
/** For the direct ping and again for the indirect ones; 1 s lets a new connection's handshake pass on a slow board. */
export const PROBE_TIMEOUT_MS = 1_000
/** Peers asked to ping on our behalf (memberlist's IndirectChecks). */
export const INDIRECT_PROBES = 3
/** A tick, or a probe's end, later than this means that our own event loop was stalled, and proves nothing about others. */
export const STALL_MS = 500

/** Times PROBE_INTERVAL_MS and log10 of the peers: 3 s at up to ten peers. memberlist's LAN setting is 4. */
export const SUSPICION_MULTIPLIER = 3
/** Without confirmation by others suspicion lasts this many times longer (memberlist: 6). */
export const SUSPICION_MAX_MULTIPLIER = 4
/** Independent confirmations that bring suspicion down to its shortest. */
export const SUSPICION_CONFIRMATIONS = 2

/** A member that is no neighbour is probed when nothing new came from it for three refreshes and a half. */
export const STALE_MS = 35_000
/** One random failed member is tried this often, so that a healed partition finds together. */
export const REVIVE_INTERVAL_MS = 30_000
/** How long the gone stay listed: an operator's working day and night; a goodbye is of interest for an hour. */
export const FAILED_KEPT_MS = 24 * 3_600_000
export const LEFT_KEPT_MS = 3_600_000
