// What a remote peer has done wrong, as points that fade. Pure.
import type { KitErrorCode } from './errors.ts'
import type { PeerKey } from './types.ts'

/** Points per offence: a bound that was broken cannot be an accident, a garbled message could be a bug. */
const POINTS: Partial<Record<KitErrorCode, number>> = {
  MESSAGE_TOO_LARGE: 20,
  MESSAGE_MALFORMED: 10,
  STREAM_ENDED: 2,
  REMOTE_BUSY: 1,
}
/** From here on a peer is not heard. Five broken bounds, or ten garbled messages, within the fading time. */
const BANNED_AT = 100
/** One point fades every this many milliseconds: a banned peer is heard again after about ten minutes. */
const FADE_MS = 6_000

interface Score {
  readonly points: number
  readonly at: number
}

export class Penalties {
  readonly #scores = new Map<PeerKey, Score>()

  /** True when this offence makes the peer one that is not heard any more. */
  add(peer: PeerKey, code: KitErrorCode, now: number): boolean {
    const before = this.#points(peer, now)
    const points = before + (POINTS[code] ?? 0)
    this.#scores.set(peer, { points, at: now })
    return before < BANNED_AT && points >= BANNED_AT
  }

  isBanned(peer: PeerKey, now: number): boolean {
    return this.#points(peer, now) >= BANNED_AT
  }

  #points(peer: PeerKey, now: number): number {
    const score = this.#scores.get(peer)
    if (score === undefined) return 0
    const points = Math.max(0, score.points - (now - score.at) / FADE_MS)
    if (points === 0) this.#scores.delete(peer)
    return points
  }
}
