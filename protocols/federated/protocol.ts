// Ids, limits and deadlines of federated rounds. Data only.
import type { ProtocolSpec } from '../kit/types.ts'

/** One piece of a tensor: framing costs < 0.1 %, and a slow link stalls other streams for a fraction of a second. */
export const CHUNK_BYTES = 256 * 1024
/** Most parameters of a task: a group's updates (16 x 4 MiB) stay within 64 MiB. The placement model has about 1,300. */
export const MAX_PARAMETERS = 1024 * 1024
/** No weight of a sane model, and no step between two, is larger; keeps every sum far from float32's limit. */
export const MAX_MAGNITUDE = 1e6
/** All-to-all costs (M-1)|w| a member; beyond sixteen a butterfly is cheaper. */
export const MAX_GROUP = 16
/** Members asked to a round: twice a group, since about half of them have nothing new. */
export const MAX_INVITED = 32
/** Peers told of a new version by each that commits; periodic comparison reaches the rest. */
export const MAX_TOLD = 8
/** Versions remembered that turned out not to be what they were called. */
export const MAX_FALSE = 64
/** Rounds that `status` remembers. */
export const MAX_HISTORY = 50
/** Attempts at one round from one version are counted by each peer; no honest one comes near. */
export const MAX_VIEW = 1_000_000

export const FL_READY: ProtocolSpec = {
  id: '/cloudskin/fl-ready/1.0.0',
  // Hashes, counters and a head with sixteen contributors: under 2 KiB.
  maxMessageBytes: 4 * 1024,
  // Every member asks every other at once when a round opens.
  maxInboundStreams: 8,
  maxOutboundStreams: 8,
  // Answered from memory.
  messageTimeoutMs: 3_000,
  streamTimeoutMs: 5_000,
  // A round from everyone's side, its repeated views, and a comparison of heads.
  streamsPerMinute: 120,
  access: 'member',
}

export const FL_UPDATE: ProtocolSpec = {
  id: '/cloudskin/fl-update/1.0.0',
  maxMessageBytes: CHUNK_BYTES + 1024,
  // One update per member and round; a second while the first is given up.
  maxInboundStreams: 2,
  maxOutboundStreams: 2,
  messageTimeoutMs: 10_000,
  // 4 MiB at 1 Mbit/s.
  streamTimeoutMs: 40_000,
  // One per round, and rounds take seconds.
  streamsPerMinute: 60,
  access: 'member',
}

export const FL_COMMIT: ProtocolSpec = {
  id: '/cloudskin/fl-commit/1.0.0',
  // Sixteen peer ids with a hash each: under 4 KiB.
  maxMessageBytes: 8 * 1024,
  // Two steps, and one repeated.
  maxInboundStreams: 4,
  maxOutboundStreams: 4,
  messageTimeoutMs: 3_000,
  streamTimeoutMs: 5_000,
  // Two per round.
  streamsPerMinute: 120,
  access: 'member',
}

export const FL_MODEL: ProtocolSpec = {
  id: '/cloudskin/fl-model/1.0.0',
  maxMessageBytes: CHUNK_BYTES + 1024,
  // A newcomer asks one holder at a time; several may choose the same one.
  maxInboundStreams: 2,
  maxOutboundStreams: 2,
  messageTimeoutMs: 10_000,
  // 4 MiB at 1 Mbit/s.
  streamTimeoutMs: 40_000,
  // A version per round, tried again after failures.
  streamsPerMinute: 30,
  access: 'member',
}

/** How long each step may take, milliseconds: each ends earlier when nobody is waited for any more. */
export const DEADLINES = {
  /** All members answer a question from memory; a sleeping radio takes a second or two. */
  gatherMs: 4_000,
  /** Loading the tensor library on a slow board (5 s), 80 steps of training (10 s), and the transfer. */
  exchangeMs: 45_000,
  /** One small message to each member, twice. */
  agreeMs: 4_000,
  /** One synchronous disk write of the weights. */
  adoptMs: 15_000,
} as const

/** Comparison of heads with one random member: heals forks and brings newcomers up to date. */
export const HEAD_INTERVAL_MS = 20_000
/** Fetching a version, several holders included. */
export const FETCH_TIMEOUT_MS = 60_000
