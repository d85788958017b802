// How participants come to have links: a handshake that takes a while, which the other may refuse, and which fails if it is not there.
import { END, retransmissionMs } from './links.ts'
import { type Host, KIND, type Network } from './network.ts'
import type { Opening, Seat } from './seat.ts'

/** A dial that nobody answers. */
const OPEN_TIMEOUT_MS = 3_000
/** There, back, and there again with what both have to say. */
const HANDSHAKE_LEGS = 3

export class Openings<M> {
  readonly #network: Network<M>
  readonly #host: Host<M>

  constructor(network: Network<M>, host: Host<M>) {
    this.#network = network
    this.#host = host
  }

  /** What a participant has begun to open is given up, without a word to it. */
  cancel(seat: Seat, peer: number): void {
    const opening = seat.openings.get(peer)
    if (opening !== undefined) this.#giveUp(opening)
  }

  /** It is no more. */
  crashed(seat: Seat): void {
    for (const opening of seat.openings.values()) {
      opening.isOver = true
      // The other end takes it for a link like all others.
      if (opening.end >= 0) seat.ends.add(opening.end)
    }
  }

  open(seat: Seat, peer: number): void {
    const from = seat.index
    if (peer === from || this.#network.isLinked(from, peer) || seat.openings.has(peer)) return
    const opening: Opening = { from, to: peer, end: -1, isRefused: false, isOver: false }
    seat.openings.set(peer, opening)
    const { random, schedule } = this.#host
    const { now } = this.#host.time
    schedule.add(now + OPEN_TIMEOUT_MS, KIND.failed, peer, from, 0, 0, opening)
    let legsMs = 0
    for (let leg = 0; leg < HANDSHAKE_LEGS; leg++) {
      const isThere = leg % 2 === 0
      legsMs +=
        retransmissionMs(this.#network.lossRate, random) +
        (isThere ? this.#network.delayMs(from, peer) : this.#network.delayMs(peer, from))
    }
    if (!this.#network.reaches(from, peer) || !this.#network.reaches(peer, from)) return
    if (this.#host.participants[peer] !== undefined) schedule.add(now + legsMs, KIND.asked, from, peer, 0, 0, opening)
    // The system of a machine on which the process does not run says so at once.
    else if (this.#host.seats[peer]?.crash === 'closed') this.#failSoon(opening)
  }

  /** Somebody asks for a link, and all that comes before that is done. */
  asked(other: Seat, opening: Opening): void {
    const { links } = this.#network
    const { from, to } = opening
    const participant = this.#host.participants[to]
    if (opening.isOver || opening.end >= 0 || !this.#network.reaches(from, to) || !this.#network.reaches(to, from))
      return
    if (participant === undefined) {
      if (other.crash === 'closed') this.#failSoon(opening)
      return
    }
    // Whoever it was that had the other end has begun anew.
    const stale = this.#network.endOf(to, from)
    if (stale >= 0) this.#network.down(other, stale)
    const end = links.make(from, to)
    opening.end = end
    links.states[end] = END.asked
    this.#network.hold(other, end ^ 1)
    this.#network.transmit(end, KIND.accepted, opening)
    if (participant.linkUp(from, false) === false) {
      opening.isRefused = true
      this.#network.drop(other, end ^ 1)
      return
    }
    // Both asked at once: one link is enough.
    const crossing = other.openings.get(from)
    if (crossing === undefined) return
    crossing.isOver = true
    other.openings.delete(from)
  }

  /** The answer is here. */
  accepted(seat: Seat, end: number, opening: Opening): void {
    if (opening.isOver) return
    opening.isOver = true
    seat.openings.delete(opening.to)
    if (opening.isRefused) {
      this.#network.drop(seat, end)
      this.#host.participants[seat.index]?.openFailed(opening.to)
      return
    }
    this.#network.hold(seat, end)
    this.#host.participants[seat.index]?.linkUp(opening.to, true)
  }

  failed(seat: Seat, opening: Opening): void {
    if (opening.isOver) return
    this.#giveUp(opening)
    this.#host.participants[seat.index]?.openFailed(opening.to)
  }

  #failSoon(opening: Opening): void {
    const { from, to } = opening
    const roundTripMs = this.#network.delayMs(from, to) + this.#network.delayMs(to, from)
    this.#host.schedule.add(this.#host.time.now + roundTripMs, KIND.failed, to, from, 0, 0, opening)
  }

  #giveUp(opening: Opening): void {
    opening.isOver = true
    const seat = this.#host.seats[opening.from] as Seat
    seat.openings.delete(opening.to)
    if (opening.end < 0) return
    this.#network.drop(seat, opening.end)
    this.#network.transmit(opening.end ^ 1, KIND.fin, undefined)
  }
}
