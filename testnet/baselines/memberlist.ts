// HashiCorp's memberlist (SWIM with Lifeguard) as published, with its settings for local networks, to compare with. What a member
// tells of itself is the metadata of its alive message; it is told anew every half a minute, as the hot part of a record would be.
import type { Participant, Port, WorldInit } from '../world/types.ts'
import { World } from '../world/world.ts'
import { Agenda } from './agenda.ts'
import { Members } from './memberlist-members.ts'
import { Prober } from './memberlist-prober.ts'
import { BroadcastQueue } from './memberlist-queue.ts'
import {
  type Broadcast,
  type Control,
  controlBytes,
  LAN,
  type Packet,
  packetBytes,
  STATUS,
  type State,
  stateBytes,
  streamedBytes,
  type Wire,
} from './memberlist-wire.ts'
import type { Baseline, Status } from './types.ts'

export interface MemberlistInit extends WorldInit {
  /** Every member tells its metadata anew so often; 0: only when it changes. @default 30 s */
  readonly refreshMs?: number
}

interface MemberInit {
  readonly port: Port<Wire>
  readonly count: number
  readonly refreshMs: number
  /** Knows all from the beginning, as if for long. */
  readonly isSettled: boolean
}

/** What is to be done over a stream with a peer, once there is one. */
interface Errand {
  readonly control: Control | undefined
  readonly onAck: () => void
}

export class Member implements Participant<Wire> {
  readonly members: Members
  readonly queue = new BroadcastQueue()
  readonly prober: Prober
  readonly #port: Port<Wire>
  readonly #agenda: Agenda
  readonly #errands = new Map<number, Errand[]>()
  readonly #opened = new Set<number>()

  constructor({ port, count, refreshMs, isSettled }: MemberInit) {
    this.#port = port
    const agenda = new Agenda(port as Port<never>)
    this.#agenda = agenda
    const { index: self, random } = port
    this.members = new Members({
      self,
      count,
      agenda,
      queue: this.queue,
      mono: () => port.mono(),
      onAwareness: (delta) => this.prober.applyDelta(delta),
    })
    if (isSettled) this.members.fill()
    this.prober = new Prober({
      self,
      random,
      agenda,
      members: this.members,
      send: (to, control, buddy) => this.#sendPacket(to, control, buddy),
      pingStream: (to, onAck) => this.#run(to, { control: { kind: 'ping', seq: 0 }, onAck }),
    })
    agenda.every(
      () => LAN.gossipMs,
      () => this.#gossip(),
    )
    agenda.every(
      () => LAN.probeMs,
      () => this.prober.tick(),
    )
    agenda.every(
      () => pushPullMs(this.members.size),
      () => this.#pushPull(),
    )
    if (refreshMs > 0)
      agenda.every(
        () => refreshMs,
        () => this.members.renew(),
      )
  }

  /** Exchanges all with a member that is known from elsewhere. */
  join(contact: number): void {
    this.#run(contact, { control: undefined, onAck: () => undefined })
  }

  receive(from: number, message: Wire, via: 'link' | 'datagram'): void {
    if (message.kind === 'packet') {
      for (const broadcast of message.broadcasts) this.members.hear(broadcast)
      if (message.control !== undefined) this.prober.hear(from, message.control)
    } else if (via === 'datagram') return
    else if (message.kind === 'state') this.#exchanged(from, message)
    else if (message.kind === 'ping') {
      const ack: Control = { kind: 'ack', seq: message.seq }
      this.#port.send(from, ack, streamedBytes(ack))
    } else if (message.kind === 'ack') this.#done(from, (errand) => errand.control !== undefined)
  }

  linkUp(peer: number, outbound: boolean): void {
    if (outbound) this.#opened.add(peer)
    for (const { control } of this.#errands.get(peer) ?? []) this.#say(peer, control)
  }

  linkDown(peer: number): void {
    this.#opened.delete(peer)
    this.#errands.delete(peer)
  }

  openFailed(peer: number): void {
    this.#errands.delete(peer)
  }

  wake(): void {
    this.#agenda.wake()
  }

  #gossip(): void {
    if (this.queue.size === 0) return
    const { compoundHeaderBytes, packetBytes: limit, gossipNodes } = LAN
    for (const to of this.prober.some(gossipNodes, (index) => this.members.hears(index))) {
      const broadcasts = this.queue.take(limit - compoundHeaderBytes, this.members.size)
      if (broadcasts.length === 0) return
      this.#datagram(to, { kind: 'packet', control: undefined, broadcasts })
    }
  }

  #sendPacket(to: number, control: Control, buddy?: Broadcast): void {
    const freeBytes = LAN.packetBytes - controlBytes(control) - LAN.compoundHeaderBytes
    const broadcasts = buddy === undefined ? this.queue.take(freeBytes, this.members.size) : [buddy]
    this.#datagram(to, { kind: 'packet', control, broadcasts })
  }

  #datagram(to: number, packet: Packet): void {
    this.#port.datagram(to, packet, packetBytes(packet))
  }

  #pushPull(): void {
    const [peer] = this.prober.some(1, (index) => this.members.isAlive(index))
    if (peer !== undefined) this.#run(peer, { control: undefined, onAck: () => undefined })
  }

  /** Over the stream that there is, or one that is opened for it and closed when all is done. */
  #run(peer: number, errand: Errand): void {
    const errands = this.#errands.get(peer)
    if (errands === undefined) this.#errands.set(peer, [errand])
    else errands.push(errand)
    if (this.#opened.has(peer)) this.#say(peer, errand.control)
    else this.#port.open(peer)
    this.#agenda.after(LAN.tcpTimeoutMs, () => this.#forget(peer, (one) => one === errand))
  }

  #say(peer: number, control: Control | undefined): void {
    if (control === undefined) this.#sendState(peer, false)
    else this.#port.send(peer, control, streamedBytes(control))
  }

  #sendState(peer: number, isAnswer: boolean): void {
    this.#port.send(peer, this.members.snapshot(isAnswer), stateBytes(this.members.size))
  }

  #exchanged(from: number, state: State): void {
    if (!state.isAnswer) this.#sendState(from, true)
    this.members.merge(state)
    if (state.isAnswer) this.#done(from, (errand) => errand.control === undefined)
  }

  #done(peer: number, isDone: (errand: Errand) => boolean): void {
    for (const errand of this.#errands.get(peer)?.filter(isDone) ?? []) errand.onAck()
    this.#forget(peer, isDone)
  }

  #forget(peer: number, isOver: (errand: Errand) => boolean): void {
    const errands = this.#errands.get(peer)
    const left = errands?.filter((errand) => !isOver(errand))
    if (left === undefined) return
    if (left.length > 0) {
      this.#errands.set(peer, left)
      return
    }
    this.#errands.delete(peer)
    if (this.#opened.delete(peer)) this.#port.close(peer)
  }
}

/** Twice the interval from the 33rd member on, three times from the 65th (`pushPullScale`). */
function pushPullMs(size: number): number {
  if (size <= LAN.pushPullScaleFrom) return LAN.pushPullMs
  return (Math.ceil(Math.log2(size) - Math.log2(LAN.pushPullScaleFrom)) + 1) * LAN.pushPullMs
}

const STATUSES: Record<number, Status> = {
  [STATUS.alive]: 'alive',
  [STATUS.suspect]: 'suspect',
  [STATUS.dead]: 'dead',
  [STATUS.unknown]: 'dead',
}

export interface MemberlistMesh extends Baseline {
  readonly members: readonly Member[]
}

/** Members that have known each other for long. */
export function memberlistMesh(init: MemberlistInit): MemberlistMesh {
  const world = new World<Wire>(init)
  const { count, refreshMs = 30_000 } = init
  const members: Member[] = []
  const boot = (index: number, isSettled: boolean): Member => {
    world.boot(index, (port) => (members[index] = new Member({ port, count, refreshMs, isSettled })))
    return members[index] as Member
  }
  for (let index = 0; index < count; index++) boot(index, true)
  const of = (index: number): Members => (members[index] as Member).members
  return {
    name: 'memberlist',
    world: world as World<unknown>,
    members,
    change: (index) => of(index).renew(),
    has: (index, origin, version) => (of(index).incarnations[origin] as number) >= version,
    status: (index, about) => STATUSES[of(index).statuses[about] ?? STATUS.unknown],
    restart: (index, contact) => boot(index, false).join(contact),
  }
}
