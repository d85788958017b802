// How many streams of one protocol a peer may open per minute: a token bucket per peer and protocol. Pure.
import type { PeerKey, ProtocolSpec } from './types.ts'

interface Bucket {
  readonly tokens: number
  readonly at: number
}

/** Buckets that are full again say nothing; they are swept when there are more than this. */
const MAX_BUCKETS = 10_000

export class Quotas {
  readonly #buckets = new Map<string, Bucket>()

  /** Takes one; false when the peer has used up its minute. */
  take(peer: PeerKey, spec: ProtocolSpec, now: number): boolean {
    const key = `${peer} ${spec.id}`
    const bucket = this.#buckets.get(key) ?? { tokens: spec.streamsPerMinute, at: now }
    const tokens = refilled(bucket, spec.streamsPerMinute, now)
    if (tokens < 1) return false
    this.#buckets.set(key, { tokens: tokens - 1, at: now })
    if (this.#buckets.size > MAX_BUCKETS) this.#sweep(now)
    return true
  }

  /** A bucket is full after a minute without use, whatever its size. */
  #sweep(now: number): void {
    for (const [key, bucket] of this.#buckets) if (now - bucket.at > 60_000) this.#buckets.delete(key)
  }
}

function refilled(bucket: Bucket, perMinute: number, now: number): number {
  return Math.min(perMinute, bucket.tokens + ((now - bucket.at) * perMinute) / 60_000)
}
