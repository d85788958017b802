// Links between participants: what TCP does to messages, as far as they can tell. A link has two ends, numbered so that `end ^ 1` is
// the other; whatever is told of an end is told of what comes towards it. Knows neither participants nor the schedule.
import type { Random } from '../../core/random.ts'

/** Linux's shortest retransmission timeout; it doubles with every further loss (RFC 6298, 5.5). */
const RTO_MS = 200
/** A link on which nothing comes through is given up after 15 to 30 seconds: by keep-alives of the muxer, or of the system. */
const BREAKS_AFTER_MS = 15_000
const BREAKS_WITHIN_MS = 15_000
/** So much arrives although no acknowledgement gets back: the initial congestion window (RFC 6928). */
const WINDOW_MESSAGES = 10

/** How far an end is: nothing is up; the other end has accepted and says so; usable. */
export const END = { gone: 0, asked: 1, up: 2 } as const

export function breakMs(random: Random): number {
  return BREAKS_AFTER_MS + BREAKS_WITHIN_MS * random.next()
}

/** How much longer a packet takes because it is lost so many times. */
export function retransmissionMs(lossRate: number, random: Random): number {
  let [lateMs, rtoMs] = [0, RTO_MS]
  for (; lossRate > 0 && lateMs < BREAKS_AFTER_MS && random.next() < lossRate; rtoMs *= 2) lateMs += rtoMs
  return lateMs
}

/** Something that arrives at an end, of whatever kind the world has. */
export interface Parcel {
  readonly kind: number
  readonly bytes: number
  readonly payload: unknown
}

interface Held extends Parcel {
  /** When it comes after having been lost; 0 when it is here. */
  againMs: number
}

/** From the first packet that does not come through until it does. */
interface Gap {
  sinceMs: number
  readonly breakMs: number
  rtoMs: number
  /** Only the last retransmission that was planned counts; of all gaps no two have the same. */
  turn: number
  retryMs: number
  /** The first is what all wait for; none while only acknowledgements are missing. */
  readonly waiting: Held[]
  /** Of those waiting, the sender knows of so many whether they have come: by what came behind them. */
  told: number
  passed: number
}

/** What links need of the world around them. */
export interface Surroundings {
  readonly random: Random
  readonly now: number
  /** Whether a packet would be lost by chance; another answer each time. */
  isLost(): boolean
  reaches(from: number, to: number): boolean
  delayMs(from: number, to: number): number
  /** `links.retry(end, turn)` is to be called then. */
  retryAt(ms: number, end: number, turn: number): void
  deliver(end: number, parcel: Parcel): void
  /** The link is given up by both ends. */
  broken(end: number): void
}

export class Links {
  /** By end: whose it is. */
  owners = new Int32Array(1_024)
  states = new Uint8Array(1_024)
  /** By end: when the last that was sent towards it arrives; nothing overtakes it. */
  lastMs = new Float64Array(1_024)
  readonly #around: Surroundings
  readonly #gaps = new Map<number, Gap>()
  #ends = 0
  #turns = 0

  constructor(around: Surroundings) {
    this.#around = around
  }

  /** A new link; returns the end of `a`. No number is ever given twice. */
  make(a: number, b: number): number {
    const end = this.#ends
    this.#ends += 2
    if (this.#ends > this.owners.length) this.#grow()
    this.owners[end] = a
    this.owners[end + 1] = b
    return end
  }

  /** Nothing waits anywhere. */
  get isFree(): boolean {
    return this.#gaps.size === 0
  }

  /** Whether something that arrives has to wait, or has come alone: then it is the caller's to deliver. */
  holdsUp(end: number): boolean {
    if (this.#gaps.size > 0 && this.#gaps.has(end)) return true
    const around = this.#around
    if (around.isLost()) return true
    const to = this.owners[end] as number
    const from = this.owners[end ^ 1] as number
    return !around.reaches(from, to) || !around.reaches(to, from)
  }

  /** For what is held up. */
  hold(end: number, parcel: Parcel): void {
    const around = this.#around
    const to = this.owners[end] as number
    const from = this.owners[end ^ 1] as number
    const isBack = around.reaches(to, from)
    let isLost = !around.reaches(from, to) || around.isLost()
    let gap = this.#gaps.get(end)
    if (gap === undefined) {
      gap = this.#open(end)
      // Something held it up: if neither the way here nor the way back is cut, a loss.
      if (isBack) isLost = true
    }
    if (!isLost && gap.waiting.length === 0 && gap.passed++ < WINDOW_MESSAGES) {
      around.deliver(end, parcel)
      return
    }
    gap.waiting.push({ ...parcel, againMs: isLost ? around.now + RTO_MS : 0 })
    if (!isLost && isBack) this.#tell(end, gap)
  }

  /** What is missing before this one is sent again at once, also for the second time (RFC 8985). */
  #tell(end: number, gap: Gap): void {
    const around = this.#around
    const to = this.owners[end] as number
    const from = this.owners[end ^ 1] as number
    const againMs = around.now + around.delayMs(to, from) + around.delayMs(from, to)
    for (; gap.told < gap.waiting.length; gap.told++) {
      const held = gap.waiting[gap.told] as Held
      held.againMs = Math.min(held.againMs, againMs)
    }
    if (againMs < gap.retryMs) this.#plan(end, gap, againMs)
  }

  /** The missing packet arrives once more, or does not. */
  retry(end: number, turn: number): void {
    const gap = this.#gaps.get(end)
    if (gap?.turn !== turn) return
    const around = this.#around
    const to = this.owners[end] as number
    const from = this.owners[end ^ 1] as number
    if (around.reaches(from, to) && around.reaches(to, from) && !around.isLost()) {
      this.#pass(end, gap)
      return
    }
    const breaksMs = gap.sinceMs + gap.breakMs
    if (around.now >= breaksMs) {
      this.#gaps.delete(end)
      around.broken(end)
      return
    }
    gap.rtoMs *= 2
    this.#plan(end, gap, Math.min(around.now + gap.rtoMs, breaksMs))
  }

  /** All that is over at an end. */
  forget(end: number): void {
    this.#gaps.delete(end)
  }

  #open(end: number): Gap {
    const { now, random } = this.#around
    const gap = {
      sinceMs: now,
      breakMs: breakMs(random),
      rtoMs: RTO_MS,
      turn: 0,
      retryMs: 0,
      waiting: [],
      told: 0,
      passed: 0,
    }
    this.#gaps.set(end, gap)
    this.#plan(end, gap, now + RTO_MS)
    return gap
  }

  #plan(end: number, gap: Gap, ms: number): void {
    gap.retryMs = ms
    gap.turn = ++this.#turns
    this.#around.retryAt(ms, end, gap.turn)
  }

  /** What was missing is here, and with it all behind it, up to the next that is missing. */
  #pass(end: number, gap: Gap): void {
    const around = this.#around
    const { waiting } = gap
    let passed = Math.min(1, waiting.length)
    for (; passed < waiting.length; passed++) {
      const held = waiting[passed] as Held
      if (held.againMs > around.now) break
      if (held.againMs > 0 && around.isLost()) {
        held.againMs = around.now + RTO_MS
        break
      }
    }
    for (const held of waiting.splice(0, passed)) around.deliver(end, held)
    // Whoever it was delivered to may have closed the link.
    if (this.#gaps.get(end) !== gap) return
    const next = waiting[0]
    if (next === undefined) this.#gaps.delete(end)
    else {
      gap.told = 0
      gap.sinceMs = around.now
      gap.rtoMs = RTO_MS
      this.#plan(end, gap, next.againMs)
    }
  }

  #grow(): void {
    const [owners, states, lastMs] = [this.owners, this.states, this.lastMs]
    this.owners = new Int32Array(2 * owners.length)
    this.states = new Uint8Array(2 * owners.length)
    this.lastMs = new Float64Array(2 * owners.length)
    this.owners.set(owners)
    this.states.set(states)
    this.lastMs.set(lastMs)
  }
}
