// A simulated mesh of state peers: begun as one that has run for long, or from nothing, and looked at from outside.
import { type Random, seededRandom, shuffled } from '../../core/random.ts'
import type { Message } from '../../protocols/state/messages.ts'
import { wantedLinks } from '../../protocols/state/overlay.ts'
import { BORDER_PEERS, ZONE_PEERS } from '../../protocols/state/protocol.ts'
import type { SignedRecord } from '../../protocols/state/record.ts'
import type { Entry } from '../../protocols/state/table.ts'
import type { OwnFields } from '../../protocols/state/types.ts'
import { rankOf } from '../../protocols/state/zones.ts'
import { World, type WorldInit } from '../world/world.ts'
import { Roll, StatePeer } from './state-peer.ts'

/** What a middling machine says of itself. */
function fieldsOf(index: number, zone: string): Partial<OwnFields> {
  return {
    name: `peer-${index}`,
    zone,
    preset: 'edge',
    labels: { arch: 'arm64', os: 'linux', site: `site-${index % 50}` },
    addresses: [`/ip4/10.${index >> 16}.${(index >> 8) & 255}.${index & 255}/tcp/4001/p2p/${'x'.repeat(52)}`],
    capacity: { cpuCores: 4, memoryBytes: 8 * 2 ** 30, diskBytes: 64 * 2 ** 30, slots: 8 },
    free: { cpu: 0.9, memoryBytes: 6 * 2 ** 30, diskBytes: 40 * 2 ** 30, slots: 8 },
    load: { backlogMs: 0, running: 0, load1: 0.1 },
    calibration: { fib: 100, matmul: 120, sort: 90 },
    modules: [],
    roles: ['host', 'submit'],
    agentVersion: '0.1.0',
  }
}

/** Below this many peers, a zone more would make zones of a few. */
const ZONES_FROM = ZONE_PEERS

export interface StateMeshInit extends WorldInit {
  /** @default one per 1,000 peers */
  readonly zones?: number
  /** Told of every change of any view, once the mesh has settled in. */
  readonly onChange?: (about: number, by: StatePeer, status: Entry['status']) => void
}

export class StateMesh {
  readonly world: World<Message>
  readonly roll: Roll
  readonly peers: StatePeer[] = []
  readonly zones: number
  readonly #init: StateMeshInit
  #isSettled = false

  constructor(init: StateMeshInit) {
    this.#init = init
    this.world = new World(init)
    this.roll = new Roll(init.count)
    this.zones = init.zones ?? Math.max(1, Math.ceil(init.count / ZONES_FROM))
  }

  zoneOf(index: number): number {
    return index % this.zones
  }

  get up(): StatePeer[] {
    return this.peers.filter(({ index }) => this.world.isUp(index))
  }

  peer(index: number): StatePeer {
    return this.peers[index] as StatePeer
  }

  boot(index: number): void {
    this.world.boot(index, (port) => {
      const peer = new StatePeer({
        port,
        roll: this.roll,
        fields: fieldsOf(index, `zone-${this.zoneOf(index)}`),
        onChange: (key, by) => {
          const status = by.machine.table.get(key)?.status
          if (this.#isSettled && status !== undefined) this.#init.onChange?.(this.roll.index(key), by, status)
        },
      })
      this.peers[index] = peer
      return peer
    })
  }

  /** A mesh that has been up for long: all know all that they should, and have as many links as they want. */
  settle(): void {
    const { count, seed } = this.#init
    const random = seededRandom(seed + 7)
    for (let index = 0; index < count; index++) this.boot(index)
    const members = Array.from({ length: this.zones }, (_, zone) =>
      Array.from({ length: count }, (_, index) => index).filter((index) => this.zoneOf(index) === zone),
    )
    for (const zone of members) this.#link(zone, random)
    this.world.run(this.world.now + 200)
    // Of a mesh too large for all to know all, everybody knows who speaks for the other zones.
    if (count > ZONE_PEERS) for (const zone of members) this.#appoint(zone)
    const reporters = this.peers.map(({ record }) => record).filter(({ record }) => record.summary !== undefined)
    for (const zone of members) {
      const records = [...reporters, ...zone.map((index) => this.peer(index).record)]
      for (const index of zone) this.peer(index).settleIn(records)
    }
    this.#isSettled = true
  }

  #appoint(members: readonly number[]): void {
    const ranked = members
      .map((index) => ({
        peer: this.peer(index),
        rank: rankOf(this.peer(index).record.record.zone, this.roll.key(index)),
      }))
      .sort((a, b) => a.rank - b.rank)
    const slots = 8 * members.length
    const cpuCores = 4 * members.length
    const contacts = ranked.slice(0, BORDER_PEERS).map(({ peer }) => ({
      peer: peer.self,
      addresses: peer.record.record.addresses.slice(0, 2),
    }))
    const sums = {
      slots,
      freeSlots: slots,
      cpuCores,
      freeCores: 0.9 * cpuCores,
      freeMemoryBytes: 6 * 2 ** 30 * members.length,
    }
    ranked[0]?.peer.report({ peers: members.length, ...sums, contacts })
  }

  /** Rings through all of them, each in an order of its own: as many links for everybody, and all within a few hops. */
  #link(members: readonly number[], random: Random): void {
    const wanted = wantedLinks(members.length)
    const degrees = new Map(members.map((index) => [index, 0]))
    const linked = new Set<string>()
    const join = (a: number, b: number): void => {
      const name = a < b ? `${a} ${b}` : `${b} ${a}`
      if (a === b || linked.has(name)) return
      linked.add(name)
      degrees.set(a, (degrees.get(a) ?? 0) + 1)
      degrees.set(b, (degrees.get(b) ?? 0) + 1)
      this.peer(a).connectTo(b)
    }
    for (let ring = 0; ring < wanted / 2; ring++) {
      const order = shuffled(members, random)
      for (const [at, index] of order.entries()) join(index, order[(at + 1) % order.length] as number)
    }
    for (const index of members)
      for (let tries = 0; (degrees.get(index) ?? 0) < wanted && tries < 100; tries++)
        join(index, members[random.int(members.length)] as number)
  }

  entry(by: number, about: number): Entry | undefined {
    return this.peer(by).machine.table.get(this.roll.key(about))
  }

  /** Share of those `among` that hold this version of the peer's record, or a newer one. */
  reached(signed: SignedRecord, among: readonly StatePeer[]): number {
    const have = among.filter(({ machine }) => {
      const held = machine.table.get(signed.peer)?.signed
      return held !== undefined && held.incarnation === signed.incarnation && held.version >= signed.version
    })
    return have.length / among.length
  }
}
