// The state protocol as data, and the times that reach, cost and failure detection are traded with.
import type { ProtocolSpec } from '../kit/types.ts'

/** One long-lived stream per overlay link: news, what is asked for, doubts and probes of both ends. */
export const STATE_PROTOCOL: ProtocolSpec = {
  id: '/cloudskin/state/2.0.0',
  // A digest of all keys that a link may name, introduced in one message, or MAX_BODY_BYTES of records and one more.
  maxMessageBytes: 768 * 1024,
  // A link, one opened from the other side at the same moment, and one that its closed predecessor has not given up yet.
  maxInboundStreams: 4,
  maxOutboundStreams: 4,
  // Both ends speak every BEAT_MS: silence of this length is a connection that libp2p should have ended itself.
  messageTimeoutMs: 120_000,
  // A day; a link that has grown old is made anew, and with it the numbers by which its ends call the peers.
  streamTimeoutMs: 24 * 3_600_000,
  // Links are few and long; a peer that restarts again and again needs some more.
  streamsPerMinute: 60,
  access: 'member',
}

/** Messages of a link that are read at once, and how many more per second: a peer at rest sends about two. */
export const MESSAGE_BURST = 400
export const MESSAGES_PER_S = 50

/** Domains of signatures. */
export const STATE_DOMAIN = 'cloudskin-state-v2'
export const CLAIM_DOMAIN = 'cloudskin-suspicion-v1'

/** A record with 256 cells, 64 modules and a page of labels fits. */
export const MAX_RECORD_BYTES = 32 * 1024
/** Counters, loads and a coordinate: about 110 bytes. */
export const MAX_HOT_BYTES = 512
export const MAX_CELLS = 256
export const MAX_MODULES = 64
/** A host with many interfaces has more addresses than others need. */
export const MAX_ADDRESSES = 16
export const MAX_ADDRESS_CHARS = 256
/** Bounds memory at 2,048 x 32 KiB, those no longer listed included, whatever members claim to exist. */
export const MAX_PEERS = 2_048
/** Keys that one end of a link may name to the other: all that it holds, and again as many that came and went. */
export const MAX_NAMES = 2 * MAX_PEERS
/** Records asked for, and sent, in one message: more wait for the next, so that no message blocks a link for long. */
export const MAX_WANTS = 128
export const MAX_BODY_BYTES = 256 * 1024
/** Accusers carried per doubtful peer: suspicion needs no more to reach its shortest timeout. */
export const MAX_ACCUSERS = 4

/** A link at rest says what is new this often, jittered by a quarter; it is also what proves its end alive. */
export const BEAT_MS = 1_000
/** What can wait is told on a link once in so many beats. */
export const TELL_EVERY = 2
/** News that cannot wait are collected for this long: a burst of changes is one message. */
export const BATCH_MS = 30
/** Links that get an urgent record itself at once; the others hear that it exists (as Plumtree's eager and lazy push). */
export const EAGER_LINKS = 3
/** How long a record that was heard of may still come by itself before it is asked for. */
export const GRACE_MS = 150
/** A question waits for a beat, and so does its answer; unanswered for this long, another link that has the record is asked. */
export const PATIENCE_MS = 3_000
/** Shortest time between two urgent versions of one peer: one whose cells start by the hundred stays cheap. */
export const URGENT_SPACING_MS = 300
/** A change waits this long for others to travel with it. */
export const DEBOUNCE_MS = 50
/** The hot part gets a new version this often, changed or not, jittered by a tenth. */
export const REFRESH_MS = 30_000
/** Entries of the journal: a link that is further behind than this is told of everything. */
export const JOURNAL_ENTRIES = 1_024

/** The machine looks at its timers at least this often. */
export const TICK_MS = 250
/** A timer that fires this late means that this peer itself was held up, and proves nothing about others. */
export const STALL_MS = 400
/** A neighbour that said nothing for this long is pinged: a beat, its jitter, and some delay. */
export const SILENCE_MS = 1_600
/** For the direct ping, and again for those through others (memberlist's LAN setting). */
export const PROBE_TIMEOUT_MS = 500
/** Neighbours asked to ping on our behalf (memberlist's IndirectChecks). */
export const INDIRECT_PROBES = 3
/** What was heard from the peer itself within this time outweighs hearsay. */
export const FRESH_MS = 1_000
/** A neighbour that only others reach for so many probes is reached by no link of ours. */
export const MAX_VOUCHED = 3
/** The round trip of every link is measured about this often. */
export const MEASURE_MS = 15_000

/** Shortest suspicion in a mesh of up to a hundred; it grows with log10 of the peers beyond, as news take longer. */
export const SUSPICION_MIN_MS = 2_000
/** Without confirmation by others suspicion lasts this many times longer (memberlist: 6). */
export const SUSPICION_MAX_MULTIPLIER = 4
/** Independent confirmations that bring suspicion down to its shortest. */
export const SUSPICION_CONFIRMATIONS = 2
/** An accuser may say so much at once, and then one thing per interval: an honest one has no more neighbours than that. */
export const CLAIM_BURST = 32
export const CLAIM_INTERVAL_MS = 2_000
/** After so many accusations that were refuted, fading one per interval, an accuser confirms nothing any more. */
export const MAX_REFUTED = 8
export const REFUTED_FADE_MS = 60_000

/** Nothing new from a member for three refreshes and a half: nobody may be left to watch it. */
export const STALE_MS = 105_000
/** One random failed member is tried this often per member alive, from the first to the second bound: the mesh tries one or two a second. */
export const REVIVE_PER_PEER_MS = 500
export const REVIVE_MIN_MS = 1_200
export const REVIVE_MAX_MS = 30_000
/** How long the gone stay listed: an operator's working day and night; a goodbye is of interest for an hour. */
export const FAILED_KEPT_MS = 24 * 3_600_000
export const LEFT_KEPT_MS = 3_600_000

/** A mesh of more peers than this tells full records inside zones only; one of fewer than the second does so no longer. */
export const ZONE_PEERS = 1_000
export const UNZONED_PEERS = 800
/** Peers of a zone that keep links with other zones, and how many each: any zone is a few hops from any other. */
export const BORDER_PEERS = 8
export const FOREIGN_LINKS = 4
/** A summary is told again no sooner than this, and when what it sums up has changed by such a share. */
export const SUMMARY_SPACING_MS = 500
export const SUMMARY_SHARE = 0.05

/** Up to so many peers are linked all with all. */
export const FULL_MESH_PEERS = 10
/** Links per peer in a larger mesh: so many per doubling of the peers, and no fewer than the second. */
export const LINKS_PER_DOUBLING = 0.85
export const MIN_LINKS = 8
/** Links beyond the wanted that are kept, so that two peers do not undo each other's choices. */
export const SLACK_LINKS = 4
/** How often links are looked at, how often nearer ones are looked for, and how often a random one is exchanged. */
export const OVERLAY_MS = 1_000
export const IMPROVE_MS = 60_000
export const EXCHANGE_MS = 600_000
/**
 * A nearer neighbour is taken on when it is nearer by such a share, and by so much: a new link is introduced to all peers, 75 bytes
 * each, which half a millisecond of a local network is not worth.
 */
export const NEARER_BY = 0.7
export const NEARER_BY_MS = 2
/** Peers that could not be reached are not tried again for so long, times two per failure, up to the second bound. */
export const RETRY_MS = 2_000
export const RETRY_MAX_MS = 60_000
/** Shortest wait of the service for goodbyes to be sent. */
export const LEAVE_TIMEOUT_MS = 2_000
