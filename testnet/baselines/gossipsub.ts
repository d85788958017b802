// GossipSub 1.1 as specified (github.com/libp2p/specs, pubsub/gossipsub), without scores and peer exchange, on one topic to which all
// belong: every record is a message. It has no failure detector. Who there is to connect to, everybody knows.
import type { Participant, Port, WorldInit } from '../world/types.ts'
import { World } from '../world/world.ts'
import { Agenda } from './agenda.ts'
import { MessageCache, type Published, Seen } from './gossipsub-cache.ts'
import { type Baseline, joinRings } from './types.ts'

/** The specification's defaults. */
const SUB = {
  d: 6,
  dLow: 4,
  dHigh: 12,
  dOut: 2,
  dLazy: 6,
  gossipFactor: 0.25,
  heartbeatMs: 1_000,
  pruneBackoffMs: 60_000,
  maxIHaveLength: 5_000,
} as const

/** Connections that a peer has, or else makes more. */
const CONNECTIONS = 14
const MIN_CONNECTIONS = 12

/** A field of protobuf: tag, length, and itself. */
const TOPIC_BYTES = 2 + 20
/** Peer id (39) and sequence number (8): what the id of a message is made of. */
const ID_BYTES = 2 + 39 + 8
/** A record of 260 bytes, its signature, who it is from, which it is, and the topic, in a message in an RPC. */
const MESSAGE_BYTES = 3 + (3 + 260) + (2 + 64) + (2 + 39) + (2 + 8) + TOPIC_BYTES
/** Around what is in it: the control message's fields in an RPC. */
const CONTROL_BYTES = 3
const GRAFT_BYTES = 2 + TOPIC_BYTES
/** With the backoff. */
const PRUNE_BYTES = 2 + TOPIC_BYTES + 2
const IHAVE_BYTES = 4 + TOPIC_BYTES
const IWANT_BYTES = 4

interface ControlMessage {
  readonly kind: 'control'
  readonly graft: boolean
  readonly prune: boolean
  readonly iHave: readonly Published[]
  readonly iWant: readonly Published[]
}

type Wire = Published | ControlMessage

const NOTHING: readonly Published[] = []
const GRAFT: ControlMessage = { kind: 'control', graft: true, prune: false, iHave: NOTHING, iWant: NOTHING }
const PRUNE: ControlMessage = { kind: 'control', graft: false, prune: true, iHave: NOTHING, iWant: NOTHING }

function controlBytes({ graft, prune, iHave, iWant }: ControlMessage): number {
  let bytes = CONTROL_BYTES
  if (graft) bytes += GRAFT_BYTES
  if (prune) bytes += PRUNE_BYTES
  if (iHave.length > 0) bytes += IHAVE_BYTES + iHave.length * ID_BYTES
  if (iWant.length > 0) bytes += IWANT_BYTES + iWant.length * ID_BYTES
  return bytes
}

export interface GossipsubInit extends WorldInit {
  /** Every peer publishes its record so often; 0: only when it changes. @default 30 s */
  readonly refreshMs?: number
  /** Own messages go to all that one is connected to, not to the mesh alone. @default true */
  readonly floodPublish?: boolean
}

interface SubscriberInit {
  readonly port: Port<Wire>
  readonly count: number
  readonly refreshMs: number
  readonly floodPublish: boolean
}

export class Subscriber implements Participant<Wire> {
  readonly seen: Seen
  readonly mesh: number[] = []
  readonly peers: number[] = []
  #sequence = 0
  readonly #outbound = new Set<number>()
  readonly #backoffMs = new Map<number, number>()
  readonly #cache = new MessageCache()
  readonly #port: Port<Wire>
  readonly #init: SubscriberInit
  readonly #agenda: Agenda

  constructor(init: SubscriberInit) {
    const { port, count, refreshMs } = init
    this.#init = init
    this.#port = port
    this.seen = new Seen(count)
    this.#agenda = new Agenda(port as Port<never>)
    this.#agenda.every(
      () => SUB.heartbeatMs,
      () => this.#heartbeat(),
    )
    if (refreshMs > 0)
      this.#agenda.every(
        () => refreshMs,
        () => this.publish(),
      )
  }

  /** Returns the sequence number, which goes on from one life to the next as the clock does. */
  publish(): number {
    const message: Published = { kind: 'message', origin: this.#port.index, sequence: ++this.#sequence }
    this.seen.add(message)
    this.#cache.add(message)
    for (const peer of this.#init.floodPublish ? this.peers : this.mesh) this.#port.send(peer, message, MESSAGE_BYTES)
    return message.sequence
  }

  continueFrom(sequence: number): void {
    this.#sequence = sequence
  }

  receive(from: number, message: Wire): void {
    if (message.kind === 'message') this.#receiveMessage(from, message)
    else {
      if (message.graft) this.#grafted(from)
      if (message.prune) this.#pruned(from)
      if (message.iHave.length > 0) this.#offered(from, message.iHave)
      for (const wanted of message.iWant) if (this.#cache.has(wanted)) this.#port.send(from, wanted, MESSAGE_BYTES)
    }
  }

  linkUp(peer: number, outbound: boolean): void {
    if (outbound) this.#outbound.add(peer)
    this.peers.push(peer)
  }

  linkDown(peer: number): void {
    remove(this.peers, peer)
    remove(this.mesh, peer)
    this.#outbound.delete(peer)
  }

  openFailed(): void {
    // The next heartbeat tries somebody else.
  }

  wake(): void {
    this.#agenda.wake()
  }

  #receiveMessage(from: number, message: Published): void {
    if (!this.seen.add(message)) return
    this.#cache.add(message)
    for (const peer of this.mesh)
      if (peer !== from && peer !== message.origin) this.#port.send(peer, message, MESSAGE_BYTES)
  }

  #heartbeat(): void {
    const { random, index } = this.#port
    if (this.peers.length < MIN_CONNECTIONS) {
      const other = random.int(this.#init.count)
      if (other !== index && !this.peers.includes(other)) this.#port.open(other)
    }
    if (this.mesh.length < SUB.dLow) {
      const fits = this.#others().filter((peer) => !this.#isBackedOff(peer))
      for (const peer of this.#pick(fits, SUB.d - this.mesh.length)) {
        this.mesh.push(peer)
        this.#control(peer, GRAFT)
      }
    } else if (this.mesh.length > SUB.dHigh) this.#thin()
    this.#gossip()
    this.#cache.shift()
  }

  /** Down to `d`, some of them outbound (1.1: else a few could fill all meshes with themselves). */
  #thin(): void {
    const outbound = this.#pick(
      this.mesh.filter((peer) => this.#outbound.has(peer)),
      SUB.dOut,
    )
    const others = this.mesh.filter((peer) => !outbound.includes(peer))
    const kept = new Set([...outbound, ...this.#pick(others, SUB.d - outbound.length)])
    for (const peer of this.mesh.filter((one) => !kept.has(one))) {
      remove(this.mesh, peer)
      this.#backOff(peer)
      this.#control(peer, PRUNE)
    }
  }

  #gossip(): void {
    let ids = this.#cache.recent()
    if (ids.length === 0) return
    if (ids.length > SUB.maxIHaveLength) ids = this.#pick(ids, SUB.maxIHaveLength)
    const others = this.#others()
    const offer: ControlMessage = { kind: 'control', graft: false, prune: false, iHave: ids, iWant: NOTHING }
    const count = Math.max(SUB.dLazy, Math.floor(SUB.gossipFactor * others.length))
    for (const peer of this.#pick(others, count)) this.#control(peer, offer)
  }

  #offered(from: number, ids: readonly Published[]): void {
    const iWant = ids.filter((id) => !this.seen.has(id))
    if (iWant.length > 0) this.#control(from, { kind: 'control', graft: false, prune: false, iHave: NOTHING, iWant })
  }

  #grafted(from: number): void {
    if (this.mesh.includes(from) || !this.peers.includes(from)) return
    const isFull = this.mesh.length >= SUB.dHigh && !this.#outbound.has(from)
    if (isFull || this.#isBackedOff(from)) {
      this.#backOff(from)
      this.#control(from, PRUNE)
    } else this.mesh.push(from)
  }

  #pruned(from: number): void {
    remove(this.mesh, from)
    this.#backOff(from)
  }

  #backOff(peer: number): void {
    this.#backoffMs.set(peer, this.#port.mono() + SUB.pruneBackoffMs)
  }

  #isBackedOff(peer: number): boolean {
    return (this.#backoffMs.get(peer) ?? 0) > this.#port.mono()
  }

  #others(): number[] {
    return this.peers.filter((peer) => !this.mesh.includes(peer))
  }

  #pick<T>(from: readonly T[], count: number): T[] {
    const left = [...from]
    const picked: T[] = []
    while (picked.length < count && left.length > 0) {
      const at = this.#port.random.int(left.length)
      picked.push(left[at] as T)
      left[at] = left.at(-1) as T
      left.pop()
    }
    return picked
  }

  #control(peer: number, message: ControlMessage): void {
    this.#port.send(peer, message, controlBytes(message))
  }
}

function remove(list: number[], one: number): void {
  const at = list.indexOf(one)
  if (at >= 0) list.splice(at, 1)
}

export interface GossipsubMesh extends Baseline {
  readonly subscribers: readonly Subscriber[]
}

/** Two heartbeats and more. */
const WARM_UP_MS = 2_500

/** Peers that are connected at random, and have grafted; all have everybody's first record. */
export function gossipsubMesh(init: GossipsubInit): GossipsubMesh {
  const world = new World<Wire>(init)
  const { count, seed, refreshMs = 30_000, floodPublish = true } = init
  const subscribers: Subscriber[] = []
  const ports: Port<Wire>[] = []
  const boot = (index: number): Subscriber => {
    world.boot(index, (port) => {
      ports[index] = port
      return (subscribers[index] = new Subscriber({ port, count, refreshMs, floodPublish }))
    })
    return subscribers[index] as Subscriber
  }
  for (let index = 0; index < count; index++) boot(index)
  joinRings(count, CONNECTIONS, seed, (a, b) => ports[a]?.open(b))
  world.run(WARM_UP_MS)
  const of = (index: number): Subscriber => subscribers[index] as Subscriber
  return {
    name: 'gossipsub',
    world: world as World<unknown>,
    subscribers,
    change: (index) => of(index).publish(),
    has: (index, origin, version) => of(index).seen.newest(origin) >= version,
    status: () => undefined,
    restart: (index, contact) => {
      // As the clock does, from which implementations take the first.
      const sequence = of(index).seen.newest(index)
      boot(index).continueFrom(sequence)
      ports[index]?.open(contact)
    },
  }
}
