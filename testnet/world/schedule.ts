// What is to happen, soonest first, and in the order in which it was said among what falls due at once. A mesh of ten thousand has
// hundreds of thousands of events on their way, so that they are records in one buffer, not objects, and wait in a wheel of slots
// that are sorted when their turn comes. What lies beyond the wheel's round waits in coarser slots, a round each.

/** Of 32 bytes each: the time, then what the world makes of it. */
const DOUBLES = 4
export const WORDS = 8
const NEXT = 2
export const KIND = 3
export const FROM = 4
export const TO = 5
export const BYTES = 6
export const TAG = 7

/** Eight per millisecond: a few dozen events each, in a busy mesh of ten thousand. */
const SLOTS_PER_MS = 8
const ROUND_MS = 4_096
const SLOTS = SLOTS_PER_MS * ROUND_MS
/** Rounds that have a slot of their own: an hour; what is later is looked at again after that. */
const ROUNDS = 1_024
const FIRST_CAPACITY = 1 << 14

/** Lists of records, each in the order in which they were added. */
class Slots {
  readonly #first: Int32Array
  readonly #last: Int32Array

  constructor(count: number) {
    this.#first = new Int32Array(count).fill(-1)
    this.#last = new Int32Array(count).fill(-1)
  }

  append(slot: number, event: number, words: Int32Array): void {
    words[event * WORDS + NEXT] = -1
    const last = this.#last[slot] as number
    if (last < 0) this.#first[slot] = event
    else words[last * WORDS + NEXT] = event
    this.#last[slot] = event
  }

  /** Empties it; the records hang together by `NEXT`. */
  take(slot: number): number {
    const first = this.#first[slot] as number
    this.#first[slot] = -1
    this.#last[slot] = -1
    return first
  }
}

export class Schedule<P> {
  /** The records' fields; replaced when the buffer grows. */
  words: Int32Array = new Int32Array(0)
  #times: Float64Array = new Float64Array(0)
  readonly #payloads: (P | undefined)[] = []
  #free = -1
  #size = 0
  readonly #wheel = new Slots(SLOTS)
  readonly #rounds = new Slots(ROUNDS)
  #round = 0
  /** The slot whose turn it is, counted from the beginning of time. */
  #slot = 0
  /** Its events in order, from `#at` on. */
  #turn = new Int32Array(1_024)
  #spare = new Int32Array(1_024)
  #at = 0
  #end = 0

  constructor() {
    this.#grow()
  }

  get size(): number {
    return this.#size
  }

  /** Not before the time of the last one taken. */
  add(atMs: number, kind: number, from: number, to: number, bytes: number, tag: number, payload: P | undefined): void {
    if (this.#free < 0) this.#grow()
    const event = this.#free
    const { words } = this
    const base = event * WORDS
    this.#free = words[base + NEXT] as number
    this.#times[event * DOUBLES] = atMs
    words[base + KIND] = kind
    words[base + FROM] = from
    words[base + TO] = to
    words[base + BYTES] = bytes
    words[base + TAG] = tag
    this.#payloads[event] = payload
    this.#size++
    this.#place(event, atMs)
  }

  /** The next event at or before `untilMs`, to be given back by `release` once it is read; -1 when there is none. */
  take(untilMs: number): number {
    while (this.#at === this.#end) {
      if (this.#size === 0 || (this.#slot + 1) / SLOTS_PER_MS > untilMs) return -1
      this.#advance()
    }
    const event = this.#turn[this.#at] as number
    if (this.timeOf(event) > untilMs) return -1
    this.#at++
    this.#size--
    return event
  }

  timeOf(event: number): number {
    return this.#times[event * DOUBLES] as number
  }

  /** The event's own; its record may be used for the next one from now on. */
  release(event: number): P | undefined {
    const payload = this.#payloads[event]
    this.#payloads[event] = undefined
    this.words[event * WORDS + NEXT] = this.#free
    this.#free = event
    return payload
  }

  #place(event: number, atMs: number): void {
    const slot = Math.floor(atMs * SLOTS_PER_MS)
    if (slot <= this.#slot) this.#insert(event, atMs)
    else if (slot < (this.#round + 1) * SLOTS) this.#wheel.append(slot & (SLOTS - 1), event, this.words)
    else {
      const round = Math.min(Math.floor(slot / SLOTS), this.#round + ROUNDS - 1)
      this.#rounds.append(round & (ROUNDS - 1), event, this.words)
    }
  }

  /** Among those whose turn it is, behind all that are not later. */
  #insert(event: number, atMs: number): void {
    if (this.#end === this.#turn.length) this.#widen()
    const turn = this.#turn
    let at = this.#end++
    while (at > this.#at && this.timeOf(turn[at - 1] as number) > atMs) {
      turn[at] = turn[at - 1] as number
      at--
    }
    turn[at] = event
  }

  #advance(): void {
    this.#slot++
    if (this.#slot === (this.#round + 1) * SLOTS) {
      this.#round++
      let event = this.#rounds.take(this.#round & (ROUNDS - 1))
      // In their order, and before anything is added to these slots: those of one time stay in order.
      while (event >= 0) {
        const next = this.words[event * WORDS + NEXT] as number
        const slot = Math.floor(this.timeOf(event) * SLOTS_PER_MS)
        if (slot < (this.#round + 1) * SLOTS) this.#wheel.append(slot & (SLOTS - 1), event, this.words)
        else this.#place(event, this.timeOf(event))
        event = next
      }
    }
    this.#at = 0
    this.#end = 0
    for (let event = this.#wheel.take(this.#slot & (SLOTS - 1)); event >= 0; ) {
      if (this.#end === this.#turn.length) this.#widen()
      this.#turn[this.#end++] = event
      event = this.words[event * WORDS + NEXT] as number
    }
    this.#sort()
  }

  /** Merges runs, which leaves those of one time in order. */
  #sort(): void {
    let [from, to] = [this.#turn, this.#spare]
    const end = this.#end
    for (let run = 1; run < end; run *= 2) {
      for (let low = 0; low < end; low += 2 * run) {
        const [middle, high] = [Math.min(low + run, end), Math.min(low + 2 * run, end)]
        let [left, right] = [low, middle]
        for (let at = low; at < high; at++) {
          const isLeft =
            left < middle && (right >= high || this.timeOf(from[left] as number) <= this.timeOf(from[right] as number))
          to[at] = from[isLeft ? left++ : right++] as number
        }
      }
      const last = from
      from = to
      to = last
    }
    this.#turn = from
    this.#spare = to
  }

  #widen(): void {
    const wider = new Int32Array(2 * this.#turn.length)
    wider.set(this.#turn)
    this.#turn = wider
    this.#spare = new Int32Array(wider.length)
  }

  #grow(): void {
    const before = this.#payloads.length
    const count = before === 0 ? FIRST_CAPACITY : 2 * before
    const buffer = new ArrayBuffer(count * DOUBLES * 8)
    const words = new Int32Array(buffer)
    words.set(this.words)
    this.words = words
    this.#times = new Float64Array(buffer)
    for (let event = before; event < count; event++) {
      this.#payloads.push(undefined)
      words[event * WORDS + NEXT] = event + 1 < count ? event + 1 : -1
    }
    this.#free = before
  }
}
