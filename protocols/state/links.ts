// One overlay link as its end sees it: what the other end knows, what it is still to be told, and when.
import type { PeerKey } from '../kit/types.ts'
import type { Claim } from './claim.ts'
import { compareStamps, type Stamp } from './merge.ts'
import { type Ask, type Found, type Message, type Named, outgoing } from './messages.ts'
import { BEAT_MS, MAX_BODY_BYTES, MAX_WANTS, TELL_EVERY } from './protocol.ts'
import type { Body } from './record.ts'
import type { Entry, Table } from './table.ts'

const LONGEST_BEAT_MS = 1.25 * BEAT_MS
/** A pause longer than this is no matter of the line. */
const MAX_LATE_MS = 3_000
/** With every message: of a pause half is left after fifty. */
const LATE_FADES = 0.986

const NO_HAVES: { haves: Named[]; gone: PeerKey[] } = { haves: [], gone: [] }

/** Not all links are told on the same beat. */
const slotOf = (peer: PeerKey): number => peer.charCodeAt(peer.length - 1)

export class Link {
  readonly peer: PeerKey
  readonly outbound: boolean
  readonly upMs: number
  beats: number
  heardMs: number
  /** By how much the worst of the last pauses was longer than a beat: on a bad line silence means less. */
  lateMs = 0
  /** When the next message is due, and when at the latest. */
  dueMs: number
  /** Where in the table's journal this link is; -1: it is to be told of everything. */
  cursor = -1
  /** The links of the other end, by its own account. */
  neighbours: ReadonlySet<PeerKey> = new Set()
  /** The transport has not taken the last messages yet. */
  isBusy = false
  /** Probes of the other end in a row that only others answered. */
  vouched = 0
  measuredMs: number
  /** Our own choice of somebody near, or of anybody. */
  isNear = false

  readonly bodies = new Map<Entry, boolean>()
  readonly wants = new Set<Entry>()
  claims: Claim[] = []
  links: readonly PeerKey[] | undefined
  pings: number[] = []
  acks: number[] = []
  asks: Ask[] = []
  founds: Found[] = []
  bye = false
  /** What is told next should not wait at the other end. */
  isUrgent = true
  /** By slot: the version (of the incarnation held here) that the other end holds, or was told of. */
  #knows = new Int32Array(0)

  constructor(peer: PeerKey, outbound: boolean, nowMs: number) {
    this.peer = peer
    this.outbound = outbound
    this.upMs = nowMs
    this.beats = slotOf(peer)
    this.heardMs = nowMs
    this.dueMs = nowMs
    this.measuredMs = Number.NEGATIVE_INFINITY
  }

  /** The other end spoke. */
  heard(nowMs: number): void {
    const lateMs = Math.min(MAX_LATE_MS, nowMs - this.heardMs - LONGEST_BEAT_MS)
    this.lateMs = Math.max(lateMs, this.lateMs * LATE_FADES)
    this.heardMs = nowMs
    this.vouched = 0
  }

  knows(entry: Entry): number {
    return this.#knows[entry.slot] ?? 0
  }

  /** The other end has, or was told of, this version; of another incarnation than the one held, it counts for nothing. */
  learn(entry: Entry, version: number): void {
    if (entry.slot >= this.#knows.length) {
      const grown = new Int32Array(Math.max(64, 2 * (entry.slot + 1)))
      grown.set(this.#knows)
      this.#knows = grown
    }
    if (version > (this.#knows[entry.slot] ?? 0)) this.#knows[entry.slot] = version
  }

  /** The entry begins a new life: what was known of the old one is void. */
  unlearn(entry: Entry): void {
    if (entry.slot < this.#knows.length) this.#knows[entry.slot] = 0
  }

  /** Due at `atMs`, unless it is sooner anyway. */
  hurry(atMs: number): void {
    if (atMs < this.dueMs) this.dueMs = atMs
  }

  /** All that there is to say now; it counts as said. */
  take(table: Table, isTold: (entry: Entry, link: Link) => boolean): Message {
    const bodies = this.#takeBodies()
    const { haves, gone } = this.#takeHaves(table, isTold)
    const { claims, links, pings, acks, asks, founds, isUrgent: urgent, bye } = this
    const wants = this.#takeWants()
    const message = { haves, gone, wants, bodies, claims, links, pings, acks, asks, founds, urgent, bye }
    this.claims = []
    this.links = undefined
    this.pings = []
    this.acks = []
    this.asks = []
    this.founds = []
    this.isUrgent = false
    return message
  }

  #takeBodies(): Body[] {
    const out: Body[] = []
    let room = MAX_BODY_BYTES
    for (const [entry, withCold] of this.bodies) {
      if (room < 0) break
      this.bodies.delete(entry)
      const { signed } = entry
      if (signed === undefined) continue
      const body = outgoing(signed, withCold || signed.coldVersion > this.knows(entry))
      this.learn(entry, signed.version)
      room -= signed.hot.length + (body.withCold ? signed.cold.length : 0)
      out.push(body)
    }
    return out
  }

  #takeHaves(table: Table, isTold: (entry: Entry, link: Link) => boolean): { haves: Named[]; gone: PeerKey[] } {
    // By the time that it is told of news that can wait, the other end has often told us.
    if (!this.isUrgent && this.beats % TELL_EVERY !== 0) return NO_HAVES
    const haves: Named[] = []
    const gone: PeerKey[] = []
    for (const entry of table.since(this.cursor)) {
      const { signed, status } = entry
      // A forgotten one is mentioned to itself alone: somebody who has forgotten an older one would list it as alive.
      if (signed === undefined || (status === 'forgotten' && entry.peer !== this.peer)) continue
      if (this.knows(entry) >= signed.version || !isTold(entry, this)) continue
      this.learn(entry, signed.version)
      haves.push(signed)
      if (status === 'failed') gone.push(entry.peer)
    }
    this.cursor = table.end
    return { haves, gone }
  }

  #takeWants(): Named[] {
    const out: Named[] = []
    for (const entry of this.wants) {
      if (out.length >= MAX_WANTS) break
      this.wants.delete(entry)
      const { wanted, signed, peer } = entry
      if (wanted === undefined) continue
      // The version held is of use only within one life.
      const held = signed?.incarnation === wanted.incarnation ? signed.version : 0
      out.push({ peer, incarnation: wanted.incarnation, version: held })
    }
    return out
  }
}

/** Whether `stamp` is newer than what the entry holds. */
export function isNews(entry: Entry, stamp: Stamp): boolean {
  return entry.signed === undefined || compareStamps(stamp, entry.signed) > 0
}
