// What carries things between the participants of a world: datagrams and links, over a network that loses, delays and parts.
// Puts everything into the schedule and is called back when it is due; hands to participants through the world.
import type { Random } from '../../core/random.ts'
import type { Time } from './clocks.ts'
import { LinkTable } from './link-table.ts'
import { breakMs, END, Links, type Parcel, type Surroundings } from './links.ts'
import type { Schedule } from './schedule.ts'
import type { Seat } from './seat.ts'
import type { CrashKind, Participant, Reach, WorldInit } from './types.ts'

/** Frame headers of yamux (its specification: 12 bytes). */
const YAMUX_BYTES = 12
/** Length (2) and tag (16) of a noise transport message. */
const NOISE_BYTES = 18
/** The varint that says how long the message is; below 2 MiB. */
const LENGTH_BYTES = 3
/** IPv4 (20), TCP (20), and its timestamps, padded (12: RFC 7323). */
const TCP_BYTES = 52
/** What a message on a link takes beside its own bytes, if it goes alone. */
export const LINK_OVERHEAD_BYTES = YAMUX_BYTES + NOISE_BYTES + LENGTH_BYTES + TCP_BYTES
/** IPv4 (20) and UDP (8). */
export const DATAGRAM_OVERHEAD_BYTES = 28

/** What is in the schedule. The first kinds arrive at an end of a link, in order; `tag` is that end. */
export const KIND = {
  message: 0,
  fin: 1,
  accepted: 2,
  datagram: 3,
  down: 4,
  asked: 5,
  failed: 6,
  timer: 7,
  retry: 8,
  resume: 9,
  action: 10,
}

/** What the network asks of the world. */
export interface Host<M> {
  readonly time: Time
  readonly random: Random
  readonly schedule: Schedule<unknown>
  readonly seats: readonly Seat[]
  readonly participants: readonly (Participant<M> | undefined)[]
  hand(to: number, kind: number, from: number, bytes: number, tag: number, payload: unknown): void
  count(index: number, bytes: number): void
}

export class Network<M> implements Surroundings {
  readonly links = new Links(this)
  reach: Reach | undefined
  lossRate: number
  readonly #table = new LinkTable()
  readonly #init: WorldInit
  readonly #host: Host<M>

  constructor(init: WorldInit, host: Host<M>) {
    this.#init = init
    this.#host = host
    this.lossRate = init.lossRate ?? 0
  }

  get now(): number {
    return this.#host.time.now
  }

  get random(): Random {
    return this.#host.random
  }

  isLost(): boolean {
    return this.lossRate > 0 && this.#host.random.next() < this.lossRate
  }

  reaches(from: number, to: number): boolean {
    return this.reach === undefined || this.reach(from, to)
  }

  delayMs(from: number, to: number): number {
    return this.#init.model.delayMs(from, to, this.#host.random)
  }

  datagram(from: number, peer: number, message: M, bytes: number): void {
    const { random, schedule } = this.#host
    const { now } = this
    const { duplicateRate = 0, reorderMs = 0 } = this.#init
    const outMs = this.#outMs(from, bytes + DATAGRAM_OVERHEAD_BYTES)
    for (let copies = duplicateRate > 0 && random.next() < duplicateRate ? 2 : 1; copies > 0; copies--) {
      if (this.isLost()) continue
      const lateMs = reorderMs > 0 ? reorderMs * random.next() : 0
      const atMs = now + outMs + lateMs + this.delayMs(from, peer)
      schedule.add(atMs, KIND.datagram, from, peer, bytes, 0, message)
    }
  }

  send(from: number, peer: number, message: M, bytes: number): void {
    const end = this.#table.find(from, peer)
    if (end < 0) return
    this.#put(end ^ 1, KIND.message, from, peer, this.#outMs(from, bytes + LINK_OVERHEAD_BYTES), bytes, message)
  }

  /** As `own` sees it. */
  isLinked(own: number, peer: number): boolean {
    return this.#table.find(own, peer) >= 0
  }

  /** The end of the link with `peer`; -1 where there is none. */
  endOf(own: number, peer: number): number {
    return this.#table.find(own, peer)
  }

  /** Something has come to an end of a link. */
  arrive(end: number, kind: number, from: number, to: number, bytes: number, payload: unknown): void {
    const { links } = this
    if (links.states[end] === END.gone) this.#reset(end)
    else if (this.lossRate === 0 && this.reach === undefined && links.isFree)
      this.#host.hand(to, kind, from, bytes, end, payload)
    else if (links.holdsUp(end)) links.hold(end, { kind, bytes, payload })
    else this.#host.hand(to, kind, from, bytes, end, payload)
  }

  deliver(end: number, { kind, bytes, payload }: Parcel): void {
    const { owners } = this.links
    this.#host.hand(owners[end] as number, kind, owners[end ^ 1] as number, bytes, end, payload)
  }

  retryAt(ms: number, end: number, turn: number): void {
    this.#host.schedule.add(ms, KIND.retry, 0, 0, turn, end, undefined)
  }

  broken(end: number): void {
    for (const one of [end, end ^ 1]) this.#downAt(this.#host.time.now, one)
  }

  /** The peer knows nothing of this link any more, and says so, if there is somebody to say it. */
  #reset(end: number): void {
    const { links } = this
    const to = links.owners[end] as number
    if (links.states[end ^ 1] === END.gone || this.#host.participants[to] === undefined) return
    this.transmit(end ^ 1, KIND.fin, undefined)
  }

  /** Towards an end, behind all that is on its way there. */
  transmit(end: number, kind: number, payload: unknown): void {
    const { owners } = this.links
    this.#put(end, kind, owners[end ^ 1] as number, owners[end] as number, 0, 0, payload)
  }

  #put(end: number, kind: number, from: number, to: number, outMs: number, bytes: number, payload: unknown): void {
    const { lastMs } = this.links
    const atMs = Math.max(lastMs[end] as number, this.now + outMs + this.delayMs(from, to))
    lastMs[end] = atMs
    this.#host.schedule.add(atMs, kind, from, to, bytes, end, payload)
  }

  /** From now on the participant may send on it. */
  hold(seat: Seat, end: number): void {
    this.links.states[end] = END.up
    this.#table.set(seat.index, this.links.owners[end ^ 1] as number, end)
    seat.ends.add(end)
  }

  /** Whether that was the participant's link. It is not told, and neither is the other end. */
  drop(seat: Seat, end: number): boolean {
    const peer = this.links.owners[end ^ 1] as number
    this.links.states[end] = END.gone
    this.links.forget(end)
    seat.ends.delete(end)
    if (this.#table.find(seat.index, peer) !== end) return false
    this.#table.delete(seat.index, peer)
    return true
  }

  #downAt(ms: number, end: number): void {
    const { owners } = this.links
    this.#host.schedule.add(ms, KIND.down, owners[end ^ 1] as number, owners[end] as number, 0, end, undefined)
  }

  /** Counts what is sent; how long it takes to get out. */
  #outMs(from: number, bytes: number): number {
    this.#host.count(from, bytes)
    const { bytesPerSecond } = this.#init
    if (bytesPerSecond === undefined) return 0
    const seat = this.#host.seats[from] as Seat
    seat.freeMs = Math.max(seat.freeMs, this.#host.time.now) + (bytes * 1_000) / bytesPerSecond
    return seat.freeMs - this.#host.time.now
  }

  close(seat: Seat, peer: number): void {
    const end = this.#table.find(seat.index, peer)
    if (end < 0) return
    this.drop(seat, end)
    this.transmit(end ^ 1, KIND.fin, undefined)
  }

  /** A participant is no more; those at the other ends of its links learn of it, sooner or later. */
  crashed(seat: Seat, kind: CrashKind): void {
    const { random } = this.#host
    const { now } = this
    for (const end of seat.ends) {
      this.drop(seat, end)
      if (kind === 'closed') this.transmit(end ^ 1, KIND.fin, undefined)
      else this.#downAt(now + breakMs(random), end ^ 1)
    }
  }

  /** An end learns that its link is gone. */
  down(seat: Seat, end: number): void {
    if (this.links.states[end] === END.gone) return
    // An opener that has not heard of its link waits until its time is over.
    if (this.drop(seat, end)) this.#host.participants[seat.index]?.linkDown(this.links.owners[end ^ 1] as number)
  }
}
