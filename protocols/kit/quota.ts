// How many streams of one protocol a peer may open per minute: a token bucket per peer and protocol. Pure.
import type { PeerKey, ProtocolSpec } from './types.ts'

interface Bucket {
  readonly tokens: number
  readonly at: number
}

/** The least used are forgotten beyond this, so that an army of new names takes no more memory, nor time. */
const MAX_BUCKETS = 10_000

export class Quotas {
  /** The least recently used first. */
  readonly #buckets = new Map<string, Bucket>()

  /** Takes one; false when the peer has used up its minute. `now` is monotonic, milliseconds. */
  take(peer: PeerKey, spec: ProtocolSpec, now: number): boolean {
    const key = `${peer} ${spec.id}`
    const bucket = this.#buckets.get(key) ?? { tokens: spec.streamsPerMinute, at: now }
    const tokens = refilled(bucket, spec.streamsPerMinute, now)
    const taken = tokens >= 1
    this.#buckets.delete(key)
    this.#buckets.set(key, { tokens: taken ? tokens - 1 : tokens, at: now })
    if (this.#buckets.size > MAX_BUCKETS) this.#buckets.delete(this.#buckets.keys().next().value ?? '')
    return taken
  }
}

function refilled(bucket: Bucket, perMinute: number, now: number): number {
  return Math.min(perMinute, bucket.tokens + ((now - bucket.at) * perMinute) / 60_000)
}
