// The links of this peer: which to make, which to give up, and whom to try that seemed lost. What to want is the overlay's affair.
import { shuffled } from '../../core/random.ts'
import type { PeerKey } from '../kit/types.ts'
import type { Link } from './links.ts'
import type { MeshState } from './mesh-state.ts'
import { planOverlay, wantedLinks } from './overlay.ts'
import {
  EXCHANGE_MS,
  FOREIGN_LINKS,
  IMPROVE_MS,
  OVERLAY_MS,
  RETRY_MAX_MS,
  RETRY_MS,
  REVIVE_MAX_MS,
  REVIVE_MIN_MS,
  REVIVE_PER_PEER_MS,
} from './protocol.ts'
import type { Entry } from './table.ts'
import { isForeign, type Zones } from './zones.ts'

/** An opening that is neither up nor failed by then has been forgotten by somebody. */
const OPENING_MS = 30_000

/** Members that one hears of who is refused. */
const HINTS = 8

export class Neighbours {
  readonly #mesh: MeshState
  readonly #estimateTo: (entry: Entry) => number | undefined
  readonly #opening = new Map<PeerKey, number>()
  readonly #retry = new Map<PeerKey, { readonly untilMs: number; readonly tries: number }>()
  #planMs: number
  #improveMs: number
  #exchangeMs: number
  #reviveMs: number

  readonly #zones: Zones

  constructor(mesh: MeshState, zones: Zones, estimateTo: (entry: Entry) => number | undefined) {
    this.#mesh = mesh
    this.#zones = zones
    this.#estimateTo = estimateTo
    const { nowMs, random } = mesh
    this.#planMs = nowMs + OVERLAY_MS * random.next()
    this.#improveMs = nowMs + IMPROVE_MS * (0.5 + random.next())
    this.#exchangeMs = nowMs + EXCHANGE_MS * (0.5 + random.next())
    this.#reviveMs = nowMs + REVIVE_MIN_MS
  }

  /** The host is connected to `peer`. */
  met(peer: PeerKey): void {
    const { links, table } = this.#mesh
    this.#retry.delete(peer)
    if (links.has(peer) || links.size >= wantedLinks(Math.max(2, table.present))) return
    if (table.get(peer)?.status !== 'left') this.#open(peer)
  }

  linked(peer: PeerKey): void {
    this.#opening.delete(peer)
    this.#retry.delete(peer)
  }

  failed(peer: PeerKey): void {
    const { nowMs, random } = this.#mesh
    this.#opening.delete(peer)
    const tries = (this.#retry.get(peer)?.tries ?? 0) + 1
    const waitMs = Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** (tries - 1)) * (0.75 + random.next() / 2)
    this.#retry.set(peer, { untilMs: nowMs + waitMs, tries })
  }

  /** There is no room for one more link: its other end hears of some who may have. */
  refuse(link: Link): void {
    const { table, random } = this.#mesh
    const present = [...table.all()].filter(({ isPresent, peer }) => isPresent && peer !== link.peer)
    for (const entry of shuffled(present, random).slice(0, HINTS)) link.bodies.set(entry, true)
    this.drop(link)
  }

  /** Ends a link on purpose. */
  drop(link: Link): void {
    const { links, effects, table } = this.#mesh
    link.bye = true
    effects.send(
      link.peer,
      link.take(table, () => false),
    )
    links.delete(link.peer)
    effects.close(link.peer)
    this.tell()
  }

  /** Neighbours hear who our neighbours are: they help to find out about those. */
  tell(): void {
    const { links, nowMs } = this.#mesh
    const peers = [...links.keys()]
    for (const link of links.values()) {
      link.links = peers.filter((peer) => peer !== link.peer)
      link.hurry(nowMs + OVERLAY_MS / 4)
    }
  }

  tick(): void {
    const { nowMs, links, table, left } = this.#mesh
    if (left) return
    for (const link of links.values()) {
      const status = table.get(link.peer)?.status
      if (status === 'failed' || status === 'left') this.drop(link)
    }
    if (nowMs >= this.#planMs) this.#plan()
    if (nowMs >= this.#reviveMs) this.#revive()
  }

  #plan(): void {
    const { nowMs, links, table, random } = this.#mesh
    this.#planMs = nowMs + OVERLAY_MS * (0.75 + random.next() / 2)
    for (const [peer, sinceMs] of this.#opening) if (nowMs - sinceMs > OPENING_MS) this.#opening.delete(peer)
    const improve = nowMs >= this.#improveMs
    const exchange = nowMs >= this.#exchangeMs
    if (improve) this.#improveMs = nowMs + IMPROVE_MS * (0.5 + random.next())
    if (exchange) this.#exchangeMs = nowMs + EXCHANGE_MS * (0.5 + random.next())
    const rttOf = (peer: PeerKey): number | undefined => {
      const entry = table.get(peer)
      return entry === undefined ? undefined : this.#estimateTo(entry)
    }
    const inZone = [...links.values()].filter((link) => !isForeign(this.#mesh, link))
    const view = {
      links: inZone.map(({ peer, outbound, neighbours }) => ({
        peer,
        outbound,
        rttMs: rttOf(peer),
        degree: neighbours.size + 1,
      })),
      candidates: () => this.#candidates(),
      rttOf,
      peers: table.present - (links.size - inZone.length),
      opening: this.#opening.size,
      improve,
      exchange,
    }
    const { open, close } = planOverlay(view, random)
    for (const peer of open) this.#open(peer)
    this.#reachOut(links.size - inZone.length)
    for (const peer of close) {
      const link = links.get(peer)
      if (link !== undefined) this.drop(link)
    }
  }

  /** Border peers keep links with other zones; others have those that they came with, until they know their own zone. */
  #reachOut(foreign: number): void {
    const { links, random, isZoned } = this.#mesh
    if (!isZoned) return
    const isAlone = links.size === foreign
    const wanted = this.#zones.isBorder || isAlone ? FOREIGN_LINKS : 0
    if (foreign < wanted && this.#opening.size === 0) {
      const contacts = this.#zones.contacts().filter((peer) => this.#mayTry(peer))
      const contact = contacts[random.int(contacts.length)]
      if (contact !== undefined) this.#open(contact)
    } else if (foreign > 2 * wanted) {
      const spare = [...links.values()].find((link) => isForeign(this.#mesh, link))
      if (spare !== undefined) this.drop(spare)
    }
  }

  #candidates(): PeerKey[] {
    const { links, table, self, zone, isZoned } = this.#mesh
    const out: PeerKey[] = []
    for (const { peer, status, zone: where } of table.all()) {
      if (status !== 'alive' || peer === self || links.has(peer) || (isZoned && where !== zone)) continue
      if (this.#mayTry(peer)) out.push(peer)
    }
    return out
  }

  #mayTry(peer: PeerKey): boolean {
    return !this.#opening.has(peer) && (this.#retry.get(peer)?.untilMs ?? 0) <= this.#mesh.nowMs
  }

  /** One that was lost may be back, or may have been cut off: somebody has to look. */
  #revive(): void {
    const { table, random, nowMs, links } = this.#mesh
    const waitMs = Math.min(REVIVE_MAX_MS, Math.max(REVIVE_MIN_MS, REVIVE_PER_PEER_MS * table.present))
    this.#reviveMs = nowMs + waitMs * (0.75 + random.next() / 2)
    const lost: PeerKey[] = []
    for (const { peer, status } of table.all()) if (status === 'failed' && !links.has(peer)) lost.push(peer)
    const peer = lost[random.int(lost.length)]
    if (peer !== undefined && !this.#opening.has(peer)) this.#open(peer)
    for (const [other, { untilMs }] of this.#retry) if (nowMs - untilMs > RETRY_MAX_MS) this.#retry.delete(other)
  }

  #open(peer: PeerKey): void {
    this.#opening.set(peer, this.#mesh.nowMs)
    this.#mesh.effects.open(peer)
  }
}
