// What each participant has of time: a monotonic clock that may drift, a wall clock that may be wrong besides, its timer, and until
// when it is paused. Eight numbers a participant, side by side: with every event a world of thousands misses the cache for this once.

/** True milliseconds since the world began. */
export interface Time {
  now: number
}

const FIELDS = 8
const PAUSED_UNTIL = 0
const TIMER = 1
const QUEUED = 2
const TURN = 3
const OFFSET = 4
/** Own milliseconds per true one. */
const RATE = 5
const SKEW = 6
const LIFE = 7

const NANOSECOND_MS = 1e-6
const EPOCH_MS = 1_700_000_000_000

export class Clocks {
  readonly #all: Float64Array
  readonly #time: Time

  constructor(count: number, time: Time) {
    this.#all = new Float64Array(count * FIELDS)
    this.#time = time
    for (let index = 0; index < count; index++) {
      this.#all[index * FIELDS + RATE] = 1
      this.#stop(index)
    }
  }

  mono(index: number): number {
    return this.#monoAt(index, this.#time.now)
  }

  wall(index: number): number {
    return EPOCH_MS + (this.#all[index * FIELDS + SKEW] as number) + this.mono(index)
  }

  /** The monotonic clock goes on from where it is. */
  set(index: number, skewMs: number, driftPpm: number): void {
    const base = index * FIELDS
    const mono = this.mono(index)
    const rate = 1 + driftPpm / 1e6
    this.#all[base + RATE] = rate
    this.#all[base + OFFSET] = mono - this.#time.now * rate
    this.#all[base + SKEW] = skewMs
  }

  /** Counts those that there were of this number. */
  life(index: number): number {
    return this.#all[index * FIELDS + LIFE] as number
  }

  /** Another life begins, or one ends: what belongs to the one before is void. */
  renew(index: number): void {
    this.#all[index * FIELDS + LIFE] = this.life(index) + 1
    this.#all[index * FIELDS + PAUSED_UNTIL] = 0
    this.#stop(index)
  }

  isPaused(index: number): boolean {
    return (this.#all[index * FIELDS + PAUSED_UNTIL] as number) > this.#time.now
  }

  /** Returns when it is over, with the pauses that there are already. */
  pause(index: number, ms: number): number {
    const untilMs = Math.max(this.#all[index * FIELDS + PAUSED_UNTIL] as number, this.#time.now + ms)
    this.#all[index * FIELDS + PAUSED_UNTIL] = untilMs
    return untilMs
  }

  /** Sets the timer; whether the schedule has nothing for it that is as early. */
  wantsAt(index: number, monoMs: number): boolean {
    const base = index * FIELDS
    let atMs = (monoMs - (this.#all[base + OFFSET] as number)) / (this.#all[base + RATE] as number)
    // Not a rounding error before the clock shows it.
    while (atMs < Number.POSITIVE_INFINITY && this.#monoAt(index, atMs) < monoMs) atMs += NANOSECOND_MS
    this.#all[base + TIMER] = Math.max(this.#time.now, atMs)
    return this.isUnqueued(index)
  }

  isUnqueued(index: number): boolean {
    return (this.#all[index * FIELDS + QUEUED] as number) > (this.#all[index * FIELDS + TIMER] as number)
  }

  /** The timer is put into the schedule, for this time and with `turn`. */
  queued(index: number): number {
    const base = index * FIELDS
    const atMs = this.#all[base + TIMER] as number
    this.#all[base + QUEUED] = atMs
    this.#all[base + TURN] = (this.#all[base + TURN] as number) + 1
    return atMs
  }

  turn(index: number): number {
    return this.#all[index * FIELDS + TURN] as number
  }

  /** What the schedule had for the timer is here; whether the time has come, or it was put off since. */
  isDue(index: number): boolean {
    const base = index * FIELDS
    this.#all[base + QUEUED] = Number.POSITIVE_INFINITY
    if ((this.#all[base + TIMER] as number) > this.#time.now) return false
    this.#all[base + TIMER] = Number.POSITIVE_INFINITY
    return true
  }

  #stop(index: number): void {
    const base = index * FIELDS
    this.#all[base + TIMER] = Number.POSITIVE_INFINITY
    this.#all[base + QUEUED] = Number.POSITIVE_INFINITY
    this.#all[base + TURN] = (this.#all[base + TURN] as number) + 1
  }

  #monoAt(index: number, ms: number): number {
    return (this.#all[index * FIELDS + OFFSET] as number) + ms * (this.#all[index * FIELDS + RATE] as number)
  }
}
