// The messages of both protocols: bytes <-> checked values. Counts and lengths are bounded while decoding.
import * as s from '../../core/shape.ts'
import type { PeerKey } from '../kit/types.ts'
import type { Tracked } from './detector-types.ts'
import type { Stamp } from './merge.ts'
import { MAX_CONFIRMERS, MAX_PEERS, MAX_RECORD_BYTES } from './protocol.ts'
import { counterShape, peerShape, type SignedRecord } from './record.ts'

/** Append-only. That a peer left is said by its own record alone. */
const STATUS_CODES = { alive: 0, suspect: 1, failed: 2 } as const

const entryShape = s.object({
  /** peer, incarnation, version, status; short names, because there is one entry per peer of the mesh. */
  p: peerShape,
  i: counterShape,
  v: counterShape,
  s: s.integer(0, 255),
  /** Who found it silent, when status is suspect or failed. */
  f: s.optional(s.list(peerShape, MAX_CONFIRMERS)),
})

const exchangeShape = s.object({
  digest: s.list(entryShape, MAX_PEERS),
  /** True when every record held is in the digest: what is not there is missing. */
  full: s.boolean,
  records: s.list(s.object({ b: s.bytes(MAX_RECORD_BYTES), g: s.bytes(64, 64) }), MAX_PEERS),
})

export interface Entry extends Stamp {
  readonly peer: PeerKey
  /** What the sender doubts; undefined also for statuses of later versions. */
  readonly doubt?: 'suspect' | 'failed'
  readonly confirmers: readonly PeerKey[]
}

/** Any of the three messages of an exchange. */
export interface Exchange {
  readonly digest: readonly Entry[]
  readonly full: boolean
  readonly records: readonly { readonly bytes: Uint8Array; readonly signature: Uint8Array }[]
}

/** What this peer holds and believes of `peers`, itself among the confirmers of what it saw itself. */
export function digestOf(
  peers: Iterable<PeerKey>,
  stampOf: (peer: PeerKey) => Stamp,
  members: ReadonlyMap<PeerKey, Tracked>,
  self: PeerKey,
): Entry[] {
  const out: Entry[] = []
  for (const peer of peers) {
    const member = members.get(peer)
    const { incarnation, version } = stampOf(peer)
    const doubt = member?.status === 'suspect' || member?.status === 'failed' ? member.status : undefined
    const confirmers = doubt === undefined ? [] : [...(member?.suspicion?.confirmers ?? [])]
    if (member?.suspicion?.own === true) confirmers.unshift(self)
    out.push({
      peer,
      incarnation,
      version,
      ...(doubt === undefined ? {} : { doubt }),
      confirmers: confirmers.slice(0, MAX_CONFIRMERS),
    })
  }
  return out
}

export function encodeExchange(digest: readonly Entry[], full: boolean, records: readonly SignedRecord[]): Uint8Array {
  return s.toCbor({
    digest: digest.map((entry) => ({
      p: entry.peer,
      i: entry.incarnation,
      v: entry.version,
      s: STATUS_CODES[entry.doubt ?? 'alive'],
      f: entry.confirmers.length === 0 ? undefined : entry.confirmers,
    })),
    full,
    records: records.map(({ bytes, signature }) => ({ b: bytes, g: signature })),
  })
}

export function decodeExchange(bytes: Uint8Array): Exchange {
  const { digest, full, records } = s.fromCbor(bytes, exchangeShape, 'MESSAGE_MALFORMED')
  return {
    digest: digest.map((entry) => ({
      peer: entry.p,
      incarnation: entry.i,
      version: entry.v,
      ...(entry.s === STATUS_CODES.suspect ? { doubt: 'suspect' as const } : {}),
      ...(entry.s === STATUS_CODES.failed ? { doubt: 'failed' as const } : {}),
      confirmers: entry.f ?? [],
    })),
    full,
    records: records.map(({ b, g }) => ({ bytes: b, signature: g })),
  }
}

/** As many of `records` as `maxBytes` holds; the others travel in later rounds. */
export function fitting(records: readonly SignedRecord[], maxBytes: number): SignedRecord[] {
  const out: SignedRecord[] = []
  let left = maxBytes
  for (const signed of records) {
    // Signature, keys and CBOR heads stay under 100 bytes.
    left -= signed.bytes.length + 100
    if (left < 0) break
    out.push(signed)
  }
  return out
}

const stampShape = s.object({ incarnation: counterShape, version: counterShape })

export const probeShape = s.union({
  /** `suspected`: the sender doubts the receiver at this stamp. */
  ping: s.object({ suspected: s.optional(stampShape) }),
  'ping-req': s.object({ target: peerShape, timeoutMs: s.integer(1, 10_000) }),
})

/** `alive` answers a ping-req; a ping is answered by answering. */
export const probeReplyShape = s.object({ alive: s.boolean })
