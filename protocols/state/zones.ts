// Large meshes: full records stay inside a zone, and the zones tell each other summaries.
//
// Everybody hears of everybody until that are more than ZONE_PEERS. From then on each zone has a reporter, whose record carries a
// summary of its zone and is told to the whole mesh, and a few border peers, which keep links with those of other zones. Who they
// are follows from the peers that are alive and from their ids: nobody is elected, and two who think that they are do no harm.
import type { PeerKey } from '../kit/types.ts'
import type { Link } from './links.ts'
import type { MeshState } from './mesh-state.ts'
import { BORDER_PEERS, STALE_MS, SUMMARY_SHARE, SUMMARY_SPACING_MS, UNZONED_PEERS, ZONE_PEERS } from './protocol.ts'
import type { Entry } from './table.ts'
import type { ZoneSummary } from './types.ts'

/** Whether `entry` is to be told on `link` at all. */
export function isTold(mesh: MeshState, entry: Entry, link: Link): boolean {
  if (!mesh.isZoned || entry.isGlobal || entry.peer === mesh.self) return true
  return entry.zone === mesh.zone && !isForeign(mesh, link)
}

/** A link into another zone. */
export function isForeign(mesh: MeshState, link: Link): boolean {
  const zone = mesh.table.get(link.peer)?.zone
  return mesh.isZoned && zone !== undefined && zone !== mesh.zone
}

/** Whether a record of `entry` is held: everybody's in a small mesh, else those of the own zone, of reporters and of neighbours. */
export function isHeld(mesh: MeshState, entry: Entry): boolean {
  return !mesh.isZoned || entry.isGlobal || entry.zone === mesh.zone || mesh.links.has(entry.peer)
}

export class Zones {
  readonly #mesh: MeshState
  #isDirty = true
  #summary: ZoneSummary | undefined
  #summaryMs = Number.NEGATIVE_INFINITY
  #isReporter = false
  #isBorder = false

  constructor(mesh: MeshState) {
    this.#mesh = mesh
  }

  /** This peer keeps links with other zones. */
  get isBorder(): boolean {
    return this.#isBorder
  }

  /** A record of the own zone has changed. */
  changed(entry: Entry): void {
    if (entry.zone === this.#mesh.zone) this.#isDirty = true
  }

  /** What the reporters of other zones say; of two reporters of one zone, the one heard of last. */
  summaries(): Map<string, ZoneSummary> {
    const { table, nowMs, zone } = this.#mesh
    const out = new Map<string, { readonly summary: ZoneSummary; readonly learntMs: number }>()
    for (const { signed, learntMs, status, isGlobal } of table.all()) {
      const summary = isGlobal ? signed?.record.summary : undefined
      if (signed === undefined || summary === undefined || status === 'left' || nowMs - learntMs > STALE_MS) continue
      const before = out.get(signed.record.zone)
      if (before === undefined || before.learntMs < learntMs) out.set(signed.record.zone, { summary, learntMs })
    }
    out.delete(zone)
    return new Map([...out].map(([name, { summary }]) => [name, summary]))
  }

  /** Peers of other zones that would take a link; of the own zone too, where nobody of it is known. */
  contacts(): PeerKey[] {
    const { links, self } = this.#mesh
    const peers = [...this.summaries().values()].flatMap(({ contacts }) => contacts.map(({ peer }) => peer))
    return peers.filter((peer) => peer !== self && !links.has(peer))
  }

  /** Looks at who is who. */
  review(): void {
    const mesh = this.#mesh
    const { table, self, zone } = mesh
    const rank = table.get(self)?.rank ?? 0
    let own = 0
    let lower = 0
    for (const entry of table.all()) {
      if (!entry.isPresent || entry.zone !== zone) continue
      own++
      if (entry.rank < rank) lower++
    }
    let others = 0
    for (const { peers } of this.summaries().values()) others += peers
    // Of a mesh that is not zoned there are no summaries, and of one that is, more than those here.
    const peers = Math.max(table.present, others === 0 ? 0 : others + own)
    if (mesh.isZoned ? peers < UNZONED_PEERS : peers > ZONE_PEERS) this.#switch()
    this.#isBorder = mesh.isZoned && lower < BORDER_PEERS
    if (mesh.isZoned && lower === 0) this.#isReporter = true
    else this.#resign()
    if (mesh.isZoned) this.#dropOthers()
  }

  /** Of other zones are held: their reporters, for as long as they report, and neighbours. */
  #dropOthers(): void {
    const { table, self, zone, nowMs } = this.#mesh
    for (const entry of table.all()) {
      if (entry.signed === undefined || entry.zone === zone || entry.peer === self) continue
      const ageMs = nowMs - entry.learntMs
      const isOver = ageMs > STALE_MS || (entry.signed.record.summary === undefined && ageMs > SUMMARY_SPACING_MS)
      if (isOver) entry.isGlobal = false
      if (!isHeld(this.#mesh, entry)) table.drop(entry)
    }
  }

  /** Tells of the own zone, if that is this peer's task and there is something new. True when it was told. */
  tick(): boolean {
    const { nowMs, effects } = this.#mesh
    if (!this.#isReporter || !this.#isDirty || nowMs - this.#summaryMs < SUMMARY_SPACING_MS) return false
    this.#isDirty = false
    const summary = this.#summarize()
    if (this.#summary !== undefined && !isSignificant(this.#summary, summary)) return false
    this.#summary = summary
    this.#summaryMs = nowMs
    effects.summarize(summary)
    return true
  }

  #resign(): void {
    if (!this.#isReporter) return
    this.#isReporter = false
    this.#summary = undefined
    this.#mesh.effects.summarize(undefined)
  }

  #switch(): void {
    const mesh = this.#mesh
    mesh.isZoned = !mesh.isZoned
    if (mesh.isZoned) return
    // What was not told so far has to be now.
    for (const link of mesh.links.values()) link.cursor = -1
  }

  #own(): Entry[] {
    const { table, zone } = this.#mesh
    return [...table.all()].filter((entry) => entry.isPresent && entry.zone === zone)
  }

  #summarize(): ZoneSummary {
    const own = this.#own().sort((a, b) => a.rank - b.rank)
    const sums = { slots: 0, freeSlots: 0, cpuCores: 0, freeCores: 0, freeMemoryBytes: 0 }
    for (const { signed } of own) {
      if (signed === undefined) continue
      const { capacity, free } = signed.record
      sums.slots += capacity.slots
      sums.freeSlots += free.slots
      sums.cpuCores += capacity.cpuCores
      sums.freeCores += capacity.cpuCores * free.cpu
      sums.freeMemoryBytes += free.memoryBytes
    }
    const contacts = own.slice(0, BORDER_PEERS).map(({ peer, signed }) => ({
      peer,
      addresses: signed?.record.addresses.slice(0, 2) ?? [],
    }))
    return { peers: own.length, ...sums, contacts }
  }
}

/** A slot more or less counts; of what varies all the time, a twentieth of the whole. */
function isSignificant(before: ZoneSummary, after: ZoneSummary): boolean {
  const moved = (a: number, b: number, whole: number): boolean => Math.abs(a - b) > SUMMARY_SHARE * Math.max(1, whole)
  const who = (summary: ZoneSummary): string => summary.contacts.map(({ peer }) => peer).join()
  return (
    before.freeSlots !== after.freeSlots ||
    before.slots !== after.slots ||
    moved(before.peers, after.peers, before.peers) ||
    moved(before.freeCores, after.freeCores, before.cpuCores) ||
    moved(before.freeMemoryBytes, after.freeMemoryBytes, before.freeMemoryBytes) ||
    who(before) !== who(after)
  )
}

/** Where a peer stands in its zone: as good as random, and the same for everybody (FNV-1a, 32 bits). */
export function rankOf(zone: string, peer: PeerKey): number {
  let hash = 0x811c9dc5
  const text = `${zone} ${peer}`
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  // Mixed once more: ids of one mesh differ only here and there.
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return (hash ^ (hash >>> 12)) >>> 0
}
