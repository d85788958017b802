// News: what is held is announced to every link once, asked for by whoever lacks it, and sent. Anti-entropy as in Scuttlebutt
// (van Renesse et al. 2008), but with one long conversation per link instead of a digest of everything each time; what is urgent
// is pushed to a few links at once and announced to the others (Leitao et al., Plumtree, 2007).
import { shuffled } from '../../core/random.ts'
import type { PeerKey } from '../kit/types.ts'
import type { Detector } from './detector.ts'
import { isNews, type Link } from './links.ts'
import { compareStamps, type Stamp } from './merge.ts'
import { become, type MeshState } from './mesh-state.ts'
import type { Message, Named } from './messages.ts'
import { BATCH_MS, BEAT_MS, EAGER_LINKS, GRACE_MS, PATIENCE_MS, URGENT_SPACING_MS } from './protocol.ts'
import type { SignedRecord } from './record.ts'
import { type Entry, NO_TIME } from './table.ts'
import { isHeld, isTold, rankOf, type Zones } from './zones.ts'

export class Gossip {
  readonly #mesh: MeshState
  readonly #detector: Detector
  /** Entries to be asked for, the first one due first: those just heard of, and those asked for in vain. */
  readonly #heardOf: Entry[] = []
  readonly #asked: Entry[] = []

  readonly #zones: Zones
  readonly #told: (entry: Entry, link: Link) => boolean

  #beatMs: number

  constructor(mesh: MeshState, detector: Detector, zones: Zones) {
    this.#mesh = mesh
    this.#zones = zones
    this.#beatMs = mesh.nowMs + BEAT_MS * mesh.random.next()
    this.#told = (entry, link) => isTold(mesh, entry, link)
    this.#detector = detector
  }

  /** Takes the news of a message. The stamp of this peer's own record, where somebody has a newer one than we do. */
  receive(link: Link, { haves, gone, wants, bodies, urgent }: Message): Stamp | undefined {
    const { self, table, nowMs } = this.#mesh
    let newer: Stamp | undefined
    for (const have of haves) if (this.#offered(link, have, urgent) && have.peer === self) newer = have
    if (gone.length > 0) this.#hint(haves, new Set(gone))
    for (const want of wants) {
      const entry = table.get(want.peer)
      if (entry?.signed === undefined || compareStamps(entry.signed, want) <= 0) continue
      link.bodies.set(entry, entry.signed.incarnation !== want.incarnation || entry.signed.coldVersion > want.version)
      if (urgent) link.hurry(nowMs)
    }
    for (const body of bodies) {
      const entry = table.ensure(body.peer)
      if (entry === undefined) {
        this.#mesh.counters.refused++
        continue
      }
      if (!isNews(entry, body)) {
        this.#mesh.counters.duplicates++
        if (body.incarnation === entry.signed?.incarnation) link.learn(entry, body.version)
        continue
      }
      if (body.peer === self) {
        newer = body
        continue
      }
      this.#mesh.counters.verified++
      const signed = body.open(entry.signed)
      if (signed === undefined) this.#ask(entry, body, link)
      else this.accept(entry, signed, link)
    }
    return newer
  }

  /** Keeps a verified record, and passes it on. */
  accept(entry: Entry, signed: SignedRecord, from: Link | undefined): void {
    const mesh = this.#mesh
    const { nowMs, table, links } = mesh
    const before = entry.signed
    const wasDoubted = entry.status === 'failed' || entry.status === 'suspect'
    if (!table.store(entry, signed, nowMs)) return
    if (before !== undefined && before.incarnation !== signed.incarnation)
      for (const link of links.values()) link.unlearn(entry)
    from?.learn(entry, signed.version)
    if (before?.record.zone !== signed.record.zone) entry.rank = rankOf(signed.record.zone, entry.peer)
    if (signed.record.summary !== undefined) entry.isGlobal = true
    if (entry.peer === mesh.self) mesh.zone = signed.record.zone
    if (!isHeld(mesh, entry)) {
      table.drop(entry)
      return
    }
    this.#zones.changed(entry)
    this.#detector.stored(entry)
    const isGone = entry.gone !== undefined && compareStamps(entry.gone, signed) >= 0
    const stays = isGone && (entry.status === 'failed' || entry.status === 'unknown')
    const isDoubted = entry.suspicion !== undefined && compareStamps(entry.suspicion, signed) >= 0
    const status = signed.record.left === true ? 'left' : isDoubted ? entry.status : stays ? 'failed' : 'alive'
    if (entry.status === status) mesh.effects.changed(entry.peer)
    else become(mesh, entry, status)
    const isTooSoon = entry.urgentMs !== NO_TIME && nowMs - entry.urgentMs < URGENT_SPACING_MS / 2 && status !== 'left'
    // An answer to doubts is never too soon: they were signed as well.
    if (signed.urgent && (!isTooSoon || wasDoubted)) {
      entry.urgentMs = Math.floor(nowMs)
      this.#push(entry, signed, from)
    } else if (wasDoubted) {
      for (const link of links.values()) {
        link.isUrgent = true
        link.hurry(nowMs + BATCH_MS)
      }
    }
  }

  /** Asks for what is due. */
  tick(): void {
    const { nowMs } = this.#mesh
    for (const queue of [this.#heardOf, this.#asked]) {
      let due = 0
      for (; due < queue.length && (queue[due] as Entry).askMs <= nowMs; due++) this.#askSomebody(queue[due] as Entry)
      if (due > 0) queue.splice(0, due)
      // Those that came meanwhile wait for nothing.
      while (queue.length > 0 && queue[0]?.wanted === undefined) queue.shift()
    }
  }

  /** Sends every link what is due on it; when the next message or question is. */
  flush(): number {
    const { links, nowMs, effects, random, table } = this.#mesh
    const first = this.#heardOf[0]
    if (first !== undefined && first.askMs <= nowMs) this.tick()
    if (nowMs >= this.#beatMs) {
      this.#beatMs = nowMs + BEAT_MS * (0.75 + random.next() / 2)
      for (const link of links.values()) {
        link.dueMs = nowMs
        link.beats++
      }
    }
    let nextMs = Math.min(this.#beatMs, this.#heardOf[0]?.askMs ?? Number.POSITIVE_INFINITY)
    for (const link of links.values()) {
      if (link.dueMs > nowMs) {
        if (link.dueMs < nextMs) nextMs = link.dueMs
        continue
      }
      if (link.isBusy) continue
      link.dueMs = Number.POSITIVE_INFINITY
      effects.send(link.peer, link.take(table, this.#told))
      if (link.bodies.size === 0 && link.wants.size === 0) continue
      link.dueMs = nowMs + 1
      nextMs = Math.min(nextMs, link.dueMs)
    }
    return nextMs
  }

  /** True when what is offered is newer than what is held. */
  #offered(link: Link, have: Named, urgent: boolean): boolean {
    const entry = this.#mesh.table.ensure(have.peer)
    if (entry === undefined) {
      this.#mesh.counters.refused++
      return false
    }
    const held = entry.signed
    if (held !== undefined && have.incarnation < held.incarnation) {
      // It is behind by a whole life.
      if (entry.status !== 'forgotten' || entry.peer === link.peer) link.bodies.set(entry, true)
      return false
    }
    if (held === undefined || have.incarnation === held.incarnation) link.learn(entry, have.version)
    // Told of without a word of its death: whoever said so is behind.
    if (entry.gone !== undefined && compareStamps(have, entry.gone) >= 0) entry.gone = undefined
    if (held !== undefined && compareStamps(have, held) <= 0) return false
    if (entry.peer !== this.#mesh.self) this.#want(entry, have, link, urgent)
    return true
  }

  /** Of members that we know nothing newer of, somebody says that they have failed since. */
  #hint(haves: readonly Named[], gone: ReadonlySet<PeerKey>): void {
    for (const have of haves) {
      const entry = this.#mesh.table.get(have.peer)
      if (entry === undefined || !gone.has(have.peer) || !isNews(entry, have)) continue
      if (entry.gone === undefined || compareStamps(have, entry.gone) > 0) entry.gone = have
    }
  }

  #want(entry: Entry, stamp: Stamp, link: Link, urgent: boolean): void {
    if (entry.wanted !== undefined && compareStamps(stamp, entry.wanted) <= 0) return
    const { nowMs } = this.#mesh
    entry.wanted = stamp
    entry.wantedFrom = link.peer
    if (urgent) {
      if (entry.askMs !== NO_TIME) return
      // It may be on its way by itself.
      entry.askMs = Math.ceil(nowMs) + GRACE_MS
      this.#heardOf.push(entry)
      return
    }
    link.wants.add(entry)
    if (entry.askMs !== NO_TIME) return
    entry.askMs = Math.ceil(nowMs) + PATIENCE_MS
    this.#asked.push(entry)
  }

  #ask(entry: Entry, stamp: Stamp, link: Link): void {
    if (entry.wanted === undefined || compareStamps(stamp, entry.wanted) > 0) entry.wanted = stamp
    link.wants.add(entry)
    link.isUrgent = true
    link.hurry(this.#mesh.nowMs)
  }

  #askSomebody(entry: Entry): void {
    const { links, nowMs, random } = this.#mesh
    const { wanted } = entry
    entry.askMs = NO_TIME
    if (wanted === undefined) return
    const first = links.get(entry.wantedFrom)
    const others = [...links.values()].filter((link) => link.knows(entry) >= wanted.version)
    const link = first ?? others[random.int(others.length)]
    if (link === undefined) {
      // Whoever has it will say so when a link is made.
      entry.wanted = undefined
      return
    }
    entry.wantedFrom = ''
    link.wants.add(entry)
    link.isUrgent = true
    link.hurry(nowMs)
    entry.askMs = Math.ceil(nowMs) + PATIENCE_MS
    this.#asked.push(entry)
  }

  #push(entry: Entry, signed: SignedRecord, from: Link | undefined): void {
    const { links, nowMs, random } = this.#mesh
    const lacking = [...links.values()].filter(
      (link) => link !== from && link.knows(entry) < signed.version && this.#told(entry, link),
    )
    const isLast = signed.record.left === true
    const eager = isLast ? lacking : shuffled(lacking, random).slice(0, EAGER_LINKS)
    for (const link of eager) link.bodies.set(entry, false)
    for (const link of lacking) {
      link.isUrgent = true
      link.hurry(nowMs + (isLast ? 0 : BATCH_MS))
    }
  }
}
