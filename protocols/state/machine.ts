// The state of the mesh at one peer as a machine without I/O: links, clocks and keys are its host's, a real peer or a simulator.
// It keeps what it hears, tells its links what is new, watches its neighbours, and chooses who they are.
import type { Random } from '../../core/random.ts'
import type { PeerKey } from '../kit/types.ts'
import type { Claim } from './claim.ts'
import {
  type Coordinate,
  estimateBetween,
  forgotten,
  measured,
  type RttEstimate,
  UNPLACED,
  unpacked,
} from './coordinates.ts'
import { Detector } from './detector.ts'
import { Gossip } from './gossip.ts'
import { Link } from './links.ts'
import type { Stamp } from './merge.ts'
import { become, type Effects, type MeshState } from './mesh-state.ts'
import type { Message } from './messages.ts'
import { Neighbours } from './neighbours.ts'
import { mostLinks } from './overlay.ts'
import {
  DEBOUNCE_MS,
  FAILED_KEPT_MS,
  LEFT_KEPT_MS,
  REFRESH_MS,
  STALE_MS,
  STALL_MS,
  TICK_MS,
  URGENT_SPACING_MS,
} from './protocol.ts'
import type { SignedRecord } from './record.ts'
import { type Entry, Table } from './table.ts'
import type { StateStatus, ZoneSummary } from './types.ts'
import { isTold, Zones } from './zones.ts'

export interface MachineInit {
  readonly self: PeerKey
  readonly effects: Effects
  readonly random: Random
  /** Monotonic milliseconds. */
  readonly nowMs: number
}

/** A link that broke before it had lived for so long was none. */
const SHORT_LIVED_MS = 2_000
/** Members are looked over for those that are silent or long gone this often: no news of them is no event. */
const REVIEW_MS = 5_000

/** Every method but the getters takes the monotonic time of its event, and calls the effects before it returns. */
export class StateMachine {
  readonly #mesh: MeshState
  readonly #detector: Detector
  readonly #gossip: Gossip
  readonly #neighbours: Neighbours
  readonly #zones: Zones
  #coordinates = UNPLACED
  #wakeMs = Number.NEGATIVE_INFINITY
  #tickMs: number
  #reviewMs: number
  #refreshMs: number
  /** When the own record is sealed next for a change. */
  #sealMs = Number.POSITIVE_INFINITY
  #sealedMs = Number.NEGATIVE_INFINITY
  #isSealing = false

  constructor({ self, effects, random, nowMs }: MachineInit) {
    const counters = { verified: 0, duplicates: 0, ignoredClaims: 0, refutations: 0, refused: 0 }
    const mesh = {
      self,
      table: new Table(),
      links: new Map(),
      effects,
      random,
      counters,
      nowMs,
      zone: '',
      isZoned: false,
      left: false,
    }
    this.#mesh = mesh
    this.#zones = new Zones(mesh)
    this.#detector = new Detector(mesh, {
      rtt: (peer, ms) => this.#measured(peer, ms),
      refute: () => {
        if (!mesh.left) this.#seal(true)
      },
    })
    this.#gossip = new Gossip(mesh, this.#detector, this.#zones)
    this.#neighbours = new Neighbours(mesh, this.#zones, (entry) => this.#estimateTo(entry))
    this.#tickMs = nowMs + TICK_MS * random.next()
    this.#reviewMs = nowMs + REVIEW_MS * random.next()
    this.#refreshMs = nowMs + REFRESH_MS * (0.9 + random.next() / 5)
  }

  get table(): Table {
    return this.#mesh.table
  }

  get links(): ReadonlyMap<PeerKey, Link> {
    return this.#mesh.links
  }

  get counters(): StateStatus['counters'] {
    return this.#mesh.counters
  }

  /** Local health score, 0 (healthy) to 7. */
  get health(): number {
    return this.#detector.health
  }

  /** Where this peer is by its own measurements. */
  get coordinate(): Coordinate {
    return this.#coordinates.coordinate
  }

  /** The mesh is too large for everybody to hear of everybody. */
  get isZoned(): boolean {
    return this.#mesh.isZoned
  }

  /** What the reporters of other zones say. */
  summaries(): ReadonlyMap<string, ZoneSummary> {
    return this.#zones.summaries()
  }

  estimateRtt(a: PeerKey, b: PeerKey): RttEstimate | undefined {
    return a === b ? undefined : estimateBetween(this.#coordinateOf(a), this.#coordinateOf(b))
  }

  /** Begins: nothing is said before. */
  start(nowMs: number): void {
    this.#mesh.nowMs = nowMs
    this.#seal(false)
    // Those that start together, after a power cut, do not go on together.
    this.#refreshMs = nowMs + REFRESH_MS * this.#mesh.random.next()
    this.#settle()
  }

  /** Something that this peer says of itself has changed, and others should know. */
  publish(nowMs: number): void {
    this.#mesh.nowMs = nowMs
    this.#sealMs = Math.min(this.#sealMs, Math.max(nowMs + DEBOUNCE_MS, this.#sealedMs + URGENT_SPACING_MS))
    this.#settle()
  }

  /** Says goodbye: the next record is the last one, and goes to every neighbour. */
  leave(nowMs: number): void {
    this.#mesh.nowMs = nowMs
    this.#mesh.left = true
    this.#seal(true)
    this.#settle()
  }

  /** The own record is signed. */
  sealed(signed: SignedRecord, nowMs: number): void {
    this.#mesh.nowMs = nowMs
    this.#isSealing = false
    const entry = this.#mesh.table.ensure(this.#mesh.self)
    if (entry !== undefined) this.#gossip.accept(entry, signed, undefined)
    this.#settle()
  }

  accused(claim: Claim, nowMs: number): void {
    this.#mesh.nowMs = nowMs
    this.#detector.accused(claim)
    this.#settle()
  }

  /** What is known before any link is up, verified by whoever kept it. */
  restore(records: Iterable<SignedRecord>, nowMs: number): void {
    this.#mesh.nowMs = nowMs
    for (const signed of records) {
      const entry = this.#mesh.table.ensure(signed.peer)
      if (entry !== undefined) this.#gossip.accept(entry, signed, undefined)
    }
  }

  /** A peer that could be linked has come up: the host has a connection to it anyway. */
  met(peer: PeerKey, nowMs: number): void {
    this.#mesh.nowMs = nowMs
    this.#neighbours.met(peer)
    this.#settle()
  }

  linkUp(peer: PeerKey, outbound: boolean, nowMs: number): void {
    const mesh = this.#mesh
    mesh.nowMs = nowMs
    const link = new Link(peer, outbound, nowMs)
    mesh.links.set(peer, link)
    this.#neighbours.linked(peer)
    if (!outbound && mesh.links.size > mostLinks(mesh.table.present)) {
      this.#neighbours.refuse(link)
    } else {
      const own = mesh.table.get(mesh.self)
      if (own !== undefined) link.bodies.set(own, true)
      for (const entry of mesh.table.all())
        if (isTold(mesh, entry, link)) link.claims.push(...(entry.suspicion?.claims ?? []))
      this.#neighbours.tell()
    }
    this.#settle()
  }

  /** The link broke, or its other end closed it. */
  linkDown(peer: PeerKey, nowMs: number): void {
    this.#mesh.nowMs = nowMs
    const link = this.#mesh.links.get(peer)
    if (link === undefined) return
    this.#mesh.links.delete(peer)
    this.#neighbours.tell()
    // Whose links break as soon as they are made is tried again with patience, like one that cannot be reached.
    if (nowMs - link.upMs < SHORT_LIVED_MS) this.#neighbours.failed(peer)
    else this.#detector.lost(link)
    this.#settle()
  }

  openFailed(peer: PeerKey, nowMs: number): void {
    this.#mesh.nowMs = nowMs
    this.#neighbours.failed(peer)
    this.#detector.openFailed(peer)
    this.#settle()
  }

  /** The transport of a link has no room, or has room again. */
  busy(peer: PeerKey, isBusy: boolean, nowMs: number): void {
    this.#mesh.nowMs = nowMs
    const link = this.#mesh.links.get(peer)
    if (link === undefined) return
    link.isBusy = isBusy
    this.#settle()
  }

  /** Throws `STATE_RECORD_*` and `STATE_CLAIM_FORGED` at the first thing that its sender should not have passed on. */
  receive(peer: PeerKey, message: Message, nowMs: number): void {
    const mesh = this.#mesh
    mesh.nowMs = nowMs
    const link = mesh.links.get(peer)
    if (link === undefined) return
    this.#detector.heard(link)
    if (message.links !== undefined) link.neighbours = new Set(message.links)
    for (const seq of message.pings) this.#detector.pinged(link, seq)
    for (const seq of message.acks) this.#detector.acked(link, seq)
    for (const { seq, about } of message.asks) this.#detector.asked(link, seq, about)
    for (const { seq, alive } of message.founds) this.#detector.found(link, seq, alive)
    try {
      const newer = this.#gossip.receive(link, message)
      if (newer !== undefined && !mesh.left) this.#supersede(newer)
      for (const claim of message.claims) this.#detector.claim(claim, link)
    } finally {
      if (message.bye) {
        mesh.links.delete(peer)
        mesh.effects.close(peer)
        this.#neighbours.failed(peer)
        this.#neighbours.tell()
      }
      this.#settle()
    }
  }

  /** The time asked for by `wakeAt` has come. */
  wake(nowMs: number): void {
    const mesh = this.#mesh
    mesh.nowMs = nowMs
    this.#wakeMs = Number.NEGATIVE_INFINITY
    if (nowMs >= this.#tickMs) {
      const lateMs = nowMs - this.#tickMs
      this.#tickMs = nowMs + TICK_MS
      this.#detector.tick(lateMs > STALL_MS ? lateMs : 0)
      for (const link of this.#detector.unreachable()) this.#neighbours.drop(link)
      this.#gossip.tick()
      this.#neighbours.tick()
      if (this.#zones.tick()) this.#sealMs = nowMs
      if (nowMs >= this.#reviewMs) this.#review()
      if (nowMs >= this.#refreshMs) this.#seal(false)
    }
    if (nowMs >= this.#sealMs) this.#seal(true)
    this.#settle()
  }

  /** Sends what is due, and says when to come back. */
  #settle(): void {
    const nextMs = Math.min(this.#gossip.flush(), this.#tickMs, this.#sealMs)
    if (nextMs === this.#wakeMs) return
    this.#wakeMs = nextMs
    this.#mesh.effects.wakeAt(nextMs)
  }

  #seal(urgent: boolean): void {
    this.#sealMs = Number.POSITIVE_INFINITY
    this.#sealedMs = this.#mesh.nowMs
    this.#refreshMs = this.#mesh.nowMs + REFRESH_MS * (0.9 + this.#mesh.random.next() / 5)
    this.#isSealing = true
    this.#mesh.effects.seal(urgent)
  }

  #supersede(stamp: Stamp): void {
    if (this.#isSealing) return
    this.#mesh.effects.supersede(stamp)
    this.#seal(true)
  }

  #measured(peer: PeerKey, rttMs: number): void {
    const { table, random } = this.#mesh
    const entry = table.get(peer)
    if (entry === undefined) return
    // Smoothed as TCP does it (RFC 6298: alpha = 1/8).
    entry.rttMs = entry.rttMs === undefined ? rttMs : entry.rttMs + (rttMs - entry.rttMs) / 8
    const other = this.#coordinateOf(peer)
    if (other !== undefined) this.#coordinates = measured(this.#coordinates, peer, other, rttMs, random)
  }

  #coordinateOf(peer: PeerKey): Coordinate | undefined {
    if (peer === this.#mesh.self) return this.#coordinates.coordinate
    const signed = this.#mesh.table.get(peer)?.signed
    return signed === undefined ? undefined : placeOf(signed)
  }

  #estimateTo(entry: Entry): number | undefined {
    return entry.rttMs ?? this.estimateRtt(this.#mesh.self, entry.peer)?.ms
  }

  #review(): void {
    const mesh = this.#mesh
    const { nowMs, table, links } = mesh
    this.#reviewMs = nowMs + REVIEW_MS
    this.#zones.review()
    let doubted: Entry | undefined
    const isElsewhere = (entry: Entry): boolean => mesh.isZoned && entry.zone !== mesh.zone
    for (const entry of table.all()) {
      const { status, peer } = entry
      const goneMs = nowMs - entry.sinceMs
      if ((status === 'failed' && goneMs >= FAILED_KEPT_MS) || (status === 'left' && goneMs >= LEFT_KEPT_MS)) {
        this.#detector.forget(entry)
        this.#coordinates = forgotten(this.#coordinates, peer)
        become(mesh, entry, 'forgotten')
      } else if (
        status === 'alive' &&
        nowMs - entry.learntMs > STALE_MS &&
        peer !== mesh.self &&
        !links.has(peer) &&
        !isElsewhere(entry)
      )
        doubted ??= entry
    }
    if (doubted !== undefined) this.#detector.doubt(doubted)
  }
}

/** Where a record says its peer is; shared by all who hold the record. */
const places = new WeakMap<SignedRecord, Coordinate | 'nowhere'>()

function placeOf(signed: SignedRecord): Coordinate | undefined {
  let place = places.get(signed)
  if (place === undefined) {
    place = unpacked(signed.record.coordinate) ?? 'nowhere'
    places.set(signed, place)
  }
  return place === 'nowhere' ? undefined : place
}
