// A world of participants on one seed: their network, their clocks, and what happens to them. Everything is a callback on one
// synchronous loop; the same seed gives the same world, to the bit.
import { type Random, seededRandom } from '../../core/random.ts'
import { Clocks, type Time } from './clocks.ts'
import { END } from './links.ts'
import { type Host, KIND, Network } from './network.ts'
import { Openings } from './openings.ts'
import { BYTES, FROM, Schedule, KIND as SORT, TAG, TO, WORDS } from './schedule.ts'
import { type Opening, Seat, SeatPort, type Services } from './seat.ts'
import type { CrashKind, Participant, Port, Reach, WorldInit } from './types.ts'

export type { WorldInit } from './types.ts'

/** A starved process runs for so long, and then has to wait so long. */
const SLICE_MS = [20, 60] as const
const STARVED_MS = [500, 3_000] as const

/** 32-bit FNV-1a, a word at a time. */
const FNV_OFFSET = 0x811c9dc5
const FNV_PRIME = 0x01000193

export class World<M> {
  /** The network's, and of whoever plays with the world from outside. */
  readonly random: Random
  readonly count: number
  /** By participant, with what frames and packets take. */
  readonly bytesSent: Float64Array
  readonly messagesSent: Float64Array
  readonly #time: Time = { now: 0 }
  #events = 0
  #trace = FNV_OFFSET
  readonly #schedule = new Schedule<unknown>()
  readonly #seats: readonly Seat[]
  readonly #participants: (Participant<M> | undefined)[]
  readonly #clocks: Clocks
  readonly #network: Network<M>
  readonly #openings: Openings<M>
  readonly #services: Services<M>

  constructor(init: WorldInit) {
    const { seed, count } = init
    this.count = count
    this.random = seededRandom(seed)
    this.bytesSent = new Float64Array(count)
    this.messagesSent = new Float64Array(count)
    this.#seats = Array.from({ length: count }, (_, index) => new Seat(seed, index))
    this.#participants = Array.from({ length: count }, () => undefined)
    this.#clocks = new Clocks(count, this.#time)
    const host = this.#host()
    const network = new Network<M>(init, host)
    const openings = new Openings<M>(network, host)
    this.#network = network
    this.#openings = openings
    this.#services = {
      clocks: this.#clocks,
      open: (seat, peer) => openings.open(seat, peer),
      close: (seat, peer) => {
        openings.cancel(seat, peer)
        network.close(seat, peer)
      },
      send: (from, peer, message, bytes) => network.send(from, peer, message, bytes),
      datagram: (from, peer, message, bytes) => network.datagram(from, peer, message, bytes),
      wakeAt: (index, monoMs) => this.#wakeAt(index, monoMs),
    }
  }

  /** True milliseconds since the world began. */
  get now(): number {
    return this.#time.now
  }

  /** So many things have happened so far. */
  get events(): number {
    return this.#events
  }

  /** A hash of all that has happened so far. */
  get trace(): number {
    return this.#trace >>> 0
  }

  isUp(index: number): boolean {
    return this.#participants[index] !== undefined
  }

  /** As `a` sees it. */
  isLinked(a: number, b: number): boolean {
    return this.#network.isLinked(a, b)
  }

  isPaused(index: number): boolean {
    return this.#clocks.isPaused(index)
  }

  /** For the first time, or again after a crash. */
  boot(index: number, make: (port: Port<M>) => Participant<M>): void {
    if (this.#participants[index] !== undefined) throw new Error(`participant ${index} is up`)
    this.#clocks.renew(index)
    this.#participants[index] = make(new SeatPort(this.#seat(index), this.#services))
  }

  crash(index: number, kind: CrashKind): void {
    if (this.#participants[index] === undefined) return
    const seat = this.#seat(index)
    this.#openings.crashed(seat)
    this.#network.crashed(seat, kind)
    seat.clear(kind)
    this.#participants[index] = undefined
    this.#clocks.renew(index)
  }

  /** Nothing is handled for so long: arrivals and timers wait, and are handled in order when it is over. */
  pause(index: number, ms: number): void {
    this.#schedule.add(this.#clocks.pause(index, ms), KIND.resume, index, index, 0, 0, undefined)
  }

  /** For so long it runs only now and then, for a moment each time. */
  starve(index: number, ms: number): void {
    const endMs = this.#time.now + ms
    const life = this.#clocks.life(index)
    const between = ([low, high]: readonly [number, number]): number => low + (high - low) * this.random.next()
    const next = (): void => {
      if (this.#time.now >= endMs || this.#clocks.life(index) !== life) return
      const pauseMs = Math.min(between(STARVED_MS), endMs - this.#time.now)
      this.pause(index, pauseMs)
      this.at(this.#time.now + pauseMs + between(SLICE_MS), next)
    }
    next()
  }

  /** `driftPpm`: microseconds that its clocks gain per second; `skewMs`: how wrong its wall clock is. */
  setClock(index: number, { skewMs = 0, driftPpm = 0 }): void {
    this.#clocks.set(index, skewMs, driftPpm)
  }

  setLoss(rate: number): void {
    this.#network.lossRate = rate
  }

  /** Who reaches whom; undefined: all reach all. */
  setReach(reach: Reach | undefined): void {
    this.#network.reach = reach
  }

  /** Something done to the world from outside, at a time of it. */
  at(ms: number, fn: () => void): void {
    this.#schedule.add(Math.max(ms, this.#time.now), KIND.action, 0, 0, 0, 0, fn)
  }

  run(untilMs: number): void {
    const schedule = this.#schedule
    for (let event = schedule.take(untilMs); event >= 0; event = schedule.take(untilMs)) {
      this.#time.now = Math.max(this.#time.now, schedule.timeOf(event))
      this.#happen(event)
    }
    this.#time.now = Math.max(this.#time.now, untilMs)
  }

  /** Runs until `isDone`, which is asked every so often, or to the end; true when it was. */
  runUntil(untilMs: number, isDone: () => boolean, everyMs = 10): boolean {
    while (!isDone()) {
      if (this.#time.now >= untilMs) return false
      this.run(Math.min(untilMs, this.#time.now + everyMs))
    }
    return true
  }

  resetCounters(): void {
    this.bytesSent.fill(0)
    this.messagesSent.fill(0)
  }

  #happen(event: number): void {
    const { words } = this.#schedule
    const base = event * WORDS
    const kind = words[base + SORT] as number
    const from = words[base + FROM] as number
    const to = words[base + TO] as number
    const bytes = words[base + BYTES] as number
    const tag = words[base + TAG] as number
    const payload = this.#schedule.release(event)
    if (kind <= KIND.accepted) this.#network.arrive(tag, kind, from, to, bytes, payload)
    else if (kind === KIND.retry) this.#network.links.retry(tag, bytes)
    else if (kind === KIND.resume) this.#resume(to)
    else if (kind === KIND.action) {
      this.#events++
      ;(payload as () => void)()
    } else if (kind === KIND.datagram && !this.#network.reaches(from, to)) return
    // Nearly all openings have come to something by then.
    else if (kind === KIND.failed && (payload as Opening).isOver) return
    else this.#hand(to, kind, from, bytes, tag, payload)
  }

  /** To the participant, now or when it runs again. */
  #hand(to: number, kind: number, from: number, bytes: number, tag: number, payload: unknown): void {
    if (this.#clocks.isPaused(to)) {
      this.#seat(to).backlog.push({ kind, from, bytes, tag, payload })
      return
    }
    if (kind === KIND.timer) {
      if (tag === this.#clocks.turn(to)) this.#wake(to)
      return
    }
    const network = this.#network
    if (kind === KIND.message && network.links.states[tag] === END.gone) return
    this.#note(kind, from, to, bytes)
    if (kind === KIND.message) this.#participants[to]?.receive(from, payload as M, 'link')
    else if (kind === KIND.datagram) this.#participants[to]?.receive(from, payload as M, 'datagram')
    else if (kind === KIND.asked) this.#openings.asked(this.#seat(to), payload as Opening)
    else if (kind === KIND.accepted) this.#openings.accepted(this.#seat(to), tag, payload as Opening)
    else if (kind === KIND.failed) this.#openings.failed(this.#seat(to), payload as Opening)
    else network.down(this.#seat(to), tag)
  }

  #note(kind: number, from: number, to: number, bytes: number): void {
    this.#events++
    let hash = Math.imul(this.#trace ^ (this.#time.now * 1_000), FNV_PRIME)
    hash = Math.imul(hash ^ kind, FNV_PRIME)
    hash = Math.imul(hash ^ from, FNV_PRIME)
    hash = Math.imul(hash ^ to, FNV_PRIME)
    this.#trace = Math.imul(hash ^ bytes, FNV_PRIME)
  }

  #resume(index: number): void {
    if (this.isPaused(index)) return
    const seat = this.#seat(index)
    const waiting = seat.backlog
    seat.backlog = []
    for (const { kind, from, bytes, tag, payload } of waiting) this.#hand(index, kind, from, bytes, tag, payload)
  }

  #wakeAt(index: number, monoMs: number): void {
    if (this.#clocks.wantsAt(index, monoMs)) this.#queueTimer(index)
  }

  #queueTimer(index: number): void {
    const atMs = this.#clocks.queued(index)
    this.#schedule.add(atMs, KIND.timer, index, index, 0, this.#clocks.turn(index), undefined)
  }

  /** It may have been put off since. */
  #wake(index: number): void {
    if (this.#clocks.isDue(index)) {
      this.#note(KIND.timer, index, index, 0)
      this.#participants[index]?.wake()
    }
    if (this.#clocks.isUnqueued(index)) this.#queueTimer(index)
  }

  #host(): Host<M> {
    const { random, bytesSent, messagesSent } = this
    return {
      time: this.#time,
      random,
      schedule: this.#schedule,
      seats: this.#seats,
      participants: this.#participants,
      hand: (to, kind, from, bytes, tag, payload) => this.#hand(to, kind, from, bytes, tag, payload),
      count: (index, bytes) => {
        bytesSent[index] = (bytesSent[index] as number) + bytes
        messagesSent[index] = (messagesSent[index] as number) + 1
      },
    }
  }

  #seat(index: number): Seat {
    return this.#seats[index] as Seat
  }
}
