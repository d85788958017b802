// One place in a world: the participant that sits there now, its links, and what waits while it does not run. What is
// looked at with every event is not here but in flat arrays of the world.
import { type Random, seededRandom } from '../../core/random.ts'
import type { Clocks } from './clocks.ts'
import type { Parcel } from './links.ts'
import type { CrashKind, Port } from './types.ts'

/** A link that is being opened. */
export interface Opening {
  readonly from: number
  readonly to: number
  /** The opener's end, once the other has accepted; -1 before. */
  end: number
  isRefused: boolean
  isOver: boolean
}

/** Something that waits for a participant. */
export interface Waiting extends Parcel {
  readonly from: number
  readonly tag: number
}

export class Seat {
  readonly index: number
  readonly random: Random
  crash: CrashKind = 'closed'
  /** Its own ends of its links. Which is the one with a certain peer, the links know. */
  readonly ends = new Set<number>()
  readonly openings = new Map<number, Opening>()
  backlog: Waiting[] = []
  /** When its way out is free. */
  freeMs = 0

  constructor(seed: number, index: number) {
    this.index = index
    this.random = seededRandom(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca77))
  }

  /** Nobody sits here any more. */
  clear(kind: CrashKind): void {
    this.crash = kind
    this.backlog = []
    this.ends.clear()
    this.openings.clear()
  }
}

/** What the world does for a participant. */
export interface Services<M> {
  readonly clocks: Clocks
  open(seat: Seat, peer: number): void
  close(seat: Seat, peer: number): void
  send(from: number, peer: number, message: M, bytes: number): void
  datagram(from: number, peer: number, message: M, bytes: number): void
  wakeAt(index: number, monoMs: number): void
}

/** For one life. */
export class SeatPort<M> implements Port<M> {
  readonly index: number
  readonly random: Random
  readonly #seat: Seat
  readonly #services: Services<M>
  readonly #life: number

  constructor(seat: Seat, services: Services<M>) {
    this.index = seat.index
    this.random = seat.random
    this.#seat = seat
    this.#services = services
    this.#life = services.clocks.life(seat.index)
  }

  mono(): number {
    return this.#services.clocks.mono(this.index)
  }

  wall(): number {
    return this.#services.clocks.wall(this.index)
  }

  open(peer: number): void {
    if (this.#isAlive) this.#services.open(this.#seat, peer)
  }

  close(peer: number): void {
    if (this.#isAlive) this.#services.close(this.#seat, peer)
  }

  send(peer: number, message: M, bytes: number): void {
    if (this.#isAlive) this.#services.send(this.index, peer, message, bytes)
  }

  datagram(peer: number, message: M, bytes: number): void {
    if (this.#isAlive) this.#services.datagram(this.index, peer, message, bytes)
  }

  wakeAt(monoMs: number): void {
    if (this.#isAlive) this.#services.wakeAt(this.index, monoMs)
  }

  get #isAlive(): boolean {
    return this.#services.clocks.life(this.index) === this.#life
  }
}
