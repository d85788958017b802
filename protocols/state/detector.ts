// Failure detection: SWIM's indirect probes and suspicion (Das et al. 2002) with Lifeguard's local health, between neighbours.
//
// A neighbour speaks every beat; one that is silent is pinged, then pinged through others that are linked to it, then suspected. A
// suspicion is signed and told to all; every neighbour of the suspect looks for itself, and confirms or lets be. Whoever hears
// suspicions of one version for long enough, the shorter the more accusers there are, lists the peer as failed; the suspect, if it
// lives, hears of it like everybody else and answers with a newer version. A closed link is a hint, and no more.
import { shuffled } from '../../core/random.ts'
import type { PeerKey } from '../kit/types.ts'
import { Accusers } from './accusers.ts'
import type { Claim } from './claim.ts'
import type { Link } from './links.ts'
import { compareStamps, type Stamp } from './merge.ts'
import { become, type MeshState } from './mesh-state.ts'
import {
  BATCH_MS,
  FRESH_MS,
  INDIRECT_PROBES,
  MAX_ACCUSERS,
  MAX_VOUCHED,
  MEASURE_MS,
  PROBE_TIMEOUT_MS,
  SILENCE_MS,
} from './protocol.ts'
import { adjustHealth, stretched, suspicionTimeoutMs } from './suspicion.ts'
import type { Entry } from './table.ts'
import { isTold } from './zones.ts'

interface Probe {
  readonly entry: Entry
  isIndirect: boolean
  untilMs: number
  /** Helpers asked, and answers of theirs that it is silent. */
  helpers: number
  silent: number
}

/** A ping on its way: our own, or on behalf of `relay`. */
interface Ping {
  readonly peer: PeerKey
  readonly sentMs: number
  readonly relay?: { readonly peer: PeerKey; readonly seq: number; readonly untilMs: number }
}

export interface DetectorListener {
  /** A round trip on a link, milliseconds. */
  rtt(peer: PeerKey, ms: number): void
  /** We are called dead: say at once that we are not. */
  refute(): void
}

/** So many accusers are believed without a look of our own, in a mesh of more than these and the accused. */
const WITNESSES = 2
/** A refutation this soon shows that the accused was well when it was accused: a starved peer answers later. */
const WELL_MS = 1_500
/** Of a probe's wait, for what a helper sees: it looks every tick, and its "silent" has to be back before we stop listening. */
const HELPER_SHARE = 0.4
/** A dial is given up by libp2p later; one that takes longer finds nobody at home. */
const OPEN_PATIENCE_MS = 2_000
const PINGS_KEPT_MS = 10_000

export class Detector {
  readonly #mesh: MeshState
  readonly #accusers = new Accusers()
  readonly #probes = new Map<Entry, Probe>()
  readonly #suspects = new Set<Entry>()
  readonly #pings = new Map<number, Ping>()
  readonly #on: DetectorListener
  #seq = 0
  /** Local health score, 0 (healthy) to 7. */
  #health = 0
  /** The newest version of ours of which we have answered that it is dead. */
  #answered: Stamp | undefined

  constructor(mesh: MeshState, on: DetectorListener) {
    this.#mesh = mesh
    this.#on = on
  }

  get health(): number {
    return this.#health
  }

  /** The peer itself spoke, on its link. */
  heard(link: Link): void {
    const { nowMs, table } = this.#mesh
    link.heard(nowMs)
    const entry = table.get(link.peer)
    if (entry === undefined) return
    const probe = this.#probes.get(entry)
    if (probe !== undefined) {
      this.#probes.delete(entry)
      this.#adjust(-1)
    }
    if (entry.status !== 'suspect' && entry.status !== 'failed') return
    // It lives; others go on believing what its accusers say until it says so itself.
    link.claims.push(...(entry.suspicion?.claims ?? []))
    this.#suspects.delete(entry)
    become(this.#mesh, entry, 'alive')
  }

  /** The link went without a goodbye. */
  lost(link: Link): void {
    const entry = this.#mesh.table.get(link.peer)
    if (entry?.isPresent === true) this.#probe(entry, link.outbound)
  }

  openFailed(peer: PeerKey): void {
    const entry = this.#mesh.table.get(peer)
    const probe = entry && this.#probes.get(entry)
    if (probe === undefined) return
    if (probe.helpers === probe.silent) probe.untilMs = this.#mesh.nowMs
  }

  /** A member of whom nothing is heard any more, and that is no neighbour. */
  doubt(entry: Entry): void {
    this.#probe(entry, true)
  }

  /** A newer record of it was stored. */
  stored(entry: Entry): void {
    const { suspicion, signed } = entry
    const { nowMs } = this.#mesh
    if (suspicion === undefined || signed === undefined || compareStamps(signed, suspicion) <= 0) return
    this.#suspects.delete(entry)
    if (nowMs - suspicion.sinceMs > WELL_MS) return
    for (const { accuser } of suspicion.claims) this.#accusers.refuted(accuser, nowMs)
  }

  forget(entry: Entry): void {
    this.#probes.delete(entry)
    this.#suspects.delete(entry)
    this.#accusers.forget(entry.peer)
  }

  /** Someone says, through `from`, that it cannot reach a peer. Throws `STATE_CLAIM_FORGED`. */
  claim(claim: Claim, from: Link): void {
    const { self, table, nowMs, counters, links } = this.#mesh
    if (claim.about === self) {
      this.#accusedHere(claim)
      return
    }
    const entry = table.get(claim.about)
    const held = entry?.signed
    const accuser = table.get(claim.accuser)
    const isOver = held === undefined || claim.incarnation !== held.incarnation || claim.version < held.version
    const isKnown = entry?.suspicion?.claims.some((one) => one.accuser === claim.accuser) === true
    if (entry === undefined || isOver || accuser?.signed === undefined || claim.accuser === self || isKnown) {
      if (!isKnown) counters.ignoredClaims++
      return
    }
    if (!entry.isPresent) return
    if ((entry.suspicion?.claims.length ?? 0) >= MAX_ACCUSERS) return
    counters.verified++
    claim.verify()
    if (!this.#accusers.take(claim.accuser, nowMs)) {
      counters.ignoredClaims++
      return
    }
    const link = links.get(claim.about)
    if (link !== undefined && nowMs - link.heardMs < FRESH_MS) {
      // What we hear ourselves outweighs hearsay: it is for the accused to answer.
      link.claims.push(claim)
      link.hurry(nowMs)
      return
    }
    this.#suspect(entry, claim, from)
    if (link !== undefined) this.#probe(entry, false)
  }

  /** Our own suspicion is signed. */
  accused(claim: Claim): void {
    const entry = this.#mesh.table.get(claim.about)
    const held = entry?.signed
    if (entry === undefined || held === undefined || !entry.isPresent || compareStamps(claim, held) !== 0) return
    this.#suspect(entry, claim, undefined)
  }

  pinged(link: Link, seq: number): void {
    link.acks.push(seq)
    link.hurry(this.#mesh.nowMs)
  }

  acked(link: Link, seq: number): void {
    const ping = this.#pings.get(seq)
    if (ping?.peer !== link.peer) return
    this.#pings.delete(seq)
    if (ping.relay !== undefined) this.#answer(ping.relay.peer, ping.relay.seq, true)
    else this.#on.rtt(link.peer, this.#mesh.nowMs - ping.sentMs)
  }

  /** `link` asks us to ping `about`: only a neighbour, so that nobody can make us speak with strangers. */
  asked(link: Link, seq: number, about: PeerKey): void {
    const target = this.#mesh.links.get(about)
    if (target === undefined) {
      this.#answer(link.peer, seq, false)
      return
    }
    const rttMs = this.#mesh.table.get(about)?.rttMs ?? 0
    const untilMs = this.#mesh.nowMs + PROBE_TIMEOUT_MS * HELPER_SHARE + 2 * rttMs
    this.#ping(target, { peer: link.peer, seq, untilMs })
  }

  found(link: Link, seq: number, alive: boolean): void {
    const ping = this.#pings.get(seq)
    if (ping === undefined) return
    const entry = this.#mesh.table.get(ping.peer)
    const probe = entry && this.#probes.get(entry)
    if (entry === undefined || probe === undefined) return
    if (!alive) {
      probe.silent++
      return
    }
    this.#probes.delete(entry)
    const direct = this.#mesh.links.get(entry.peer)
    if (direct === undefined || direct === link) return
    direct.heardMs = this.#mesh.nowMs
    direct.vouched++
  }

  tick(lateMs: number): void {
    if (lateMs > 0) this.#stalled(lateMs)
    const { nowMs, links } = this.#mesh
    for (const link of links.values()) {
      const entry = this.#mesh.table.get(link.peer)
      const patienceMs = stretched(SILENCE_MS, this.#health) + 1.5 * link.lateMs
      if (entry !== undefined && nowMs - link.heardMs > patienceMs) this.#probe(entry, false)
      if (nowMs - link.measuredMs > MEASURE_MS) {
        link.measuredMs = nowMs - (MEASURE_MS / 4) * this.#mesh.random.next()
        this.#ping(link)
      }
    }
    for (const probe of [...this.#probes.values()]) if (probe.untilMs <= nowMs) this.#next(probe)
    for (const entry of [...this.#suspects]) this.#expire(entry)
    for (const [seq, ping] of this.#pings) {
      if (ping.relay !== undefined && ping.relay.untilMs <= nowMs) this.#answer(ping.relay.peer, ping.relay.seq, false)
      if (ping.relay !== undefined ? ping.relay.untilMs <= nowMs : nowMs - ping.sentMs > PINGS_KEPT_MS)
        this.#pings.delete(seq)
    }
  }

  /** Links whose other end only others can reach. */
  unreachable(): Link[] {
    return [...this.#mesh.links.values()].filter(({ vouched }) => vouched >= MAX_VOUCHED)
  }

  #probe(entry: Entry, mayOpen: boolean): void {
    const { nowMs, links, self } = this.#mesh
    if (this.#probes.has(entry) || entry.peer === self || !entry.isPresent) return
    const link = links.get(entry.peer)
    const untilMs = nowMs + this.#timeoutMs(entry)
    const probe = { entry, isIndirect: false, untilMs, helpers: 0, silent: 0 }
    this.#probes.set(entry, probe)
    if (link !== undefined) {
      this.#ping(link)
      return
    }
    this.#askHelpers(probe)
    if (!mayOpen && probe.helpers > 0) return
    probe.untilMs = nowMs + stretched(OPEN_PATIENCE_MS, this.#health)
    this.#mesh.effects.open(entry.peer)
  }

  #next(probe: Probe): void {
    if (!probe.isIndirect) {
      this.#askHelpers(probe)
      if (probe.helpers > 0) return
    }
    this.#probes.delete(probe.entry)
    this.#adjust(probe.helpers - probe.silent)
    const { signed, suspicion, peer } = probe.entry
    if (signed === undefined || !probe.entry.isPresent) return
    if (suspicion?.claims.some(({ accuser }) => accuser === this.#mesh.self)) return
    this.#mesh.effects.accuse({ about: peer, incarnation: signed.incarnation, version: signed.version })
  }

  /** Neighbours that are linked to it, as they say themselves; in a small mesh that is everybody. */
  #askHelpers(probe: Probe): void {
    const { links, nowMs, random } = this.#mesh
    const { peer } = probe.entry
    probe.isIndirect = true
    probe.untilMs = nowMs + this.#timeoutMs(probe.entry)
    const linked = [...links.values()].filter((link) => link.peer !== peer && link.neighbours.has(peer))
    for (const helper of shuffled(linked, random).slice(0, INDIRECT_PROBES)) {
      const seq = ++this.#seq
      this.#pings.set(seq, { peer, sentMs: nowMs })
      helper.asks.push({ seq, about: peer })
      helper.hurry(nowMs)
      probe.helpers++
    }
  }

  /** Longer for those far away, and on bad lines. */
  #timeoutMs({ rttMs = 0, peer }: Entry): number {
    const lateMs = this.#mesh.links.get(peer)?.lateMs ?? 0
    return stretched(PROBE_TIMEOUT_MS, this.#health) + 3 * rttMs + lateMs / 2
  }

  #ping(link: Link, relay?: Ping['relay']): void {
    const { nowMs } = this.#mesh
    const seq = ++this.#seq
    this.#pings.set(seq, { peer: link.peer, sentMs: nowMs, ...(relay === undefined ? {} : { relay }) })
    link.pings.push(seq)
    link.hurry(nowMs)
  }

  #answer(peer: PeerKey, seq: number, alive: boolean): void {
    const link = this.#mesh.links.get(peer)
    link?.founds.push({ seq, alive })
    link?.hurry(this.#mesh.nowMs)
  }

  #suspect(entry: Entry, claim: Claim, from: Link | undefined): void {
    const { nowMs, links } = this.#mesh
    const { incarnation, version } = claim
    const before = entry.suspicion
    entry.suspicion = {
      sinceMs: before?.sinceMs ?? nowMs,
      incarnation,
      version: Math.max(version, before?.version ?? 0),
      claims: [...(before?.claims ?? []), claim],
    }
    this.#suspects.add(entry)
    become(this.#mesh, entry, 'suspect')
    for (const link of links.values()) {
      if (link === from || !isTold(this.#mesh, entry, link)) continue
      link.claims.push(claim)
      link.hurry(nowMs + BATCH_MS)
    }
  }

  #expire(entry: Entry): void {
    const { suspicion } = entry
    const { nowMs, table } = this.#mesh
    if (suspicion === undefined) {
      this.#suspects.delete(entry)
      return
    }
    const credible = suspicion.claims.filter(({ accuser }) => this.#accusers.isCredible(accuser, nowMs))
    const timeoutMs = suspicionTimeoutMs(table.present, Math.max(0, credible.length - 1))
    if (nowMs - suspicion.sinceMs < timeoutMs) return
    const isOwn = suspicion.claims.some(({ accuser }) => accuser === this.#mesh.self)
    if (!isOwn && credible.length < WITNESSES && table.present > WITNESSES + 1) {
      // One may be wrong, or lie, and what the accused says to it may not have come here: see for ourselves.
      this.#probe(entry, true)
      return
    }
    this.#suspects.delete(entry)
    // Kept, for those who come back and have not heard of it.
    const kept = entry.suspicion
    become(this.#mesh, entry, 'failed')
    entry.suspicion = kept
  }

  /**
   * We are called dead. A version of ours may be newer than the accusation, and on its way without haste: it is answered all the same,
   * once for all that was said of versions up to now.
   */
  #accusedHere(claim: Claim): void {
    const { self, table, counters } = this.#mesh
    const held = table.get(self)?.signed
    if (held === undefined || claim.incarnation !== held.incarnation || claim.accuser === self) return
    if (this.#answered !== undefined && compareStamps(claim, this.#answered) <= 0) return
    counters.verified++
    claim.verify()
    this.#answered = compareStamps(claim, held) > 0 ? claim : held
    this.#adjust(1)
    counters.refutations++
    this.#on.refute()
  }

  /** Nothing could reach us meanwhile, refutations included: everybody gets the lost time back. */
  #stalled(lateMs: number): void {
    const { nowMs } = this.#mesh
    this.#adjust(1)
    for (const link of this.#mesh.links.values()) link.heardMs = Math.min(nowMs, link.heardMs + lateMs)
    for (const entry of this.#suspects) {
      if (entry.suspicion === undefined) continue
      const sinceMs = Math.min(nowMs, entry.suspicion.sinceMs + lateMs)
      entry.suspicion = { ...entry.suspicion, sinceMs }
    }
    // They prove nothing: answers may lie unread.
    this.#probes.clear()
  }

  #adjust(delta: number): void {
    this.#health = adjustHealth(this.#health, delta)
  }
}
