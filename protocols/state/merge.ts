// Which of two records of one peer holds, and what two peers have to tell each other. Commutative, associative, idempotent.
import type { PeerKey } from '../kit/types.ts'
import type { SignedRecord } from './record.ts'

/** What orders the records of one peer. */
export interface Stamp {
  readonly incarnation: number
  readonly version: number
}

/** Negative when `a` is older than `b`, 0 when neither is. */
export function compareStamps(a: Stamp, b: Stamp): number {
  return a.incarnation - b.incarnation || a.version - b.version
}

/** The one that holds: the higher (incarnation, version), of equals the higher hash. */
export function mergeRecords(a: SignedRecord, b: SignedRecord): SignedRecord {
  const order = compareStamps(a.record, b.record)
  if (order !== 0) return order > 0 ? a : b
  return a.hash >= b.hash ? a : b
}

export type Records = ReadonlyMap<PeerKey, SignedRecord>

/** Peer by peer what holds of both. */
export function mergeMaps(a: Records, b: Records): Records {
  const out = new Map(a)
  for (const [peer, record] of b) {
    const mine = out.get(peer)
    out.set(peer, mine === undefined ? record : mergeRecords(mine, record))
  }
  return out
}

/** The records of `mine` that a peer whose digest is `theirs` has not, or has older. */
export function newerThan(mine: Records, theirs: ReadonlyMap<PeerKey, Stamp>): SignedRecord[] {
  const out: SignedRecord[] = []
  for (const [peer, signed] of mine) {
    const stamp = theirs.get(peer)
    if (stamp === undefined || compareStamps(signed.record, stamp) > 0) out.push(signed)
  }
  return out
}
