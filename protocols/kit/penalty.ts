// What a remote peer has done wrong, as points that fade. Pure.
import type { KitErrorCode } from './errors.ts'
import type { PeerKey } from './types.ts'

/** Points per offence: a broken bound cannot be an accident, a garbled message could be a bug, a busy peer is only eager. */
const POINTS: Partial<Record<KitErrorCode, number>> = {
  MESSAGE_TOO_LARGE: 20,
  MESSAGE_MALFORMED: 10,
  STREAM_ENDED: 2,
  REMOTE_BUSY: 0.1,
}
/** From here on a peer is not heard: five broken bounds or ten garbled messages, less what fades between them. */
const BANNED_AT = 95
/** One point fades every this many milliseconds: a banned peer is heard again when all have, after about ten minutes. */
const FADE_MS = 6_000
/** Scores that have faded say nothing; they are swept when there are more than this. */
const MAX_SCORES = 10_000

interface Score {
  readonly points: number
  readonly at: number
  readonly banned: boolean
}

export class Penalties {
  readonly #scores = new Map<PeerKey, Score>()

  /** True when this offence makes the peer one that is not heard any more. */
  add(peer: PeerKey, code: KitErrorCode, now: number): boolean {
    const before = this.#score(peer, now)
    const points = (before?.points ?? 0) + (POINTS[code] ?? 0)
    const banned = before?.banned === true || points >= BANNED_AT
    this.#scores.set(peer, { points, at: now, banned })
    if (this.#scores.size > MAX_SCORES) this.#sweep(now)
    return banned && before?.banned !== true
  }

  isBanned(peer: PeerKey, now: number): boolean {
    return this.#score(peer, now)?.banned === true
  }

  /** Drops what has faded; if an army of new names keeps it full, the oldest are forgiven. */
  #sweep(now: number): void {
    for (const peer of this.#scores.keys()) this.#score(peer, now)
    const excess = this.#scores.size - MAX_SCORES
    for (const peer of [...this.#scores.keys()].slice(0, Math.max(0, excess))) this.#scores.delete(peer)
  }

  /** The score as it is now; one that has faded is forgotten. */
  #score(peer: PeerKey, now: number): Score | undefined {
    const score = this.#scores.get(peer)
    if (score === undefined) return undefined
    const points = score.points - Math.max(0, now - score.at) / FADE_MS
    if (points > 0) return { ...score, points }
    this.#scores.delete(peer)
    return undefined
  }
}
