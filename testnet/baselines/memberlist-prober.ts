// How a member of memberlist finds out who is dead (`probeNode` and the handlers of `net.go`): one after the other in random order,
// directly, then through others and over TCP, with Lifeguard's health by which its own deafness counts against itself.
import type { Random } from '../../core/random.ts'
import type { Agenda } from './agenda.ts'
import type { Members } from './memberlist-members.ts'
import { type Broadcast, type Control, LAN, STATUS } from './memberlist-wire.ts'

export interface ProberInit {
  readonly self: number
  readonly random: Random
  readonly agenda: Agenda
  readonly members: Members
  /** With as much gossip as fits, or with just this. */
  readonly send: (to: number, control: Control, buddy?: Broadcast) => void
  /** Over TCP; `onAck` once if that works. */
  readonly pingStream: (to: number, onAck: () => void) => void
}

interface Probe {
  readonly target: number
  readonly seq: number
  expectedNacks: number
  nacks: number
}

export class Prober {
  readonly #init: ProberInit
  /** 0: healthy; to seven. */
  #score = 0
  #seq = 0
  #probe: Probe | undefined
  /** A walk through all indices in a random order: `#at * #stride + #offset`. */
  #at: number
  #stride = 1
  #offset = 0
  /** What is asked of others on behalf of somebody. */
  readonly #relayed = new Map<number, () => void>()

  constructor(init: ProberInit) {
    this.#init = init
    this.#at = init.members.statuses.length
  }

  get awareness(): number {
    return this.#score
  }

  applyDelta(delta: number): void {
    this.#score = Math.max(0, Math.min(LAN.awarenessMax - 1, this.#score + delta))
  }

  /** Once per interval, unless the last one still goes on. */
  tick(): void {
    if (this.#probe !== undefined) return
    const target = this.#next()
    if (target !== undefined) this.#begin(target)
  }

  hear(from: number, control: Control): void {
    const { send } = this.#init
    const { kind, seq } = control
    if (kind === 'ping') send(from, { kind: 'ack', seq })
    else if (kind === 'indirect') this.#relay(from, seq, control.target)
    else if (kind === 'nack') {
      if (this.#probe?.seq === seq) this.#probe.nacks++
    } else if (this.#probe?.seq === seq) this.#succeed(this.#probe)
    else {
      this.#relayed.get(seq)?.()
      this.#relayed.delete(seq)
    }
  }

  /** Some that are alive, and neither this one nor `other`. */
  some(count: number, fits: (index: number) => boolean): number[] {
    const { random, members, self } = this.#init
    const { length } = members.statuses
    const found: number[] = []
    for (let tries = 0; tries < 3 * length && found.length < count; tries++) {
      const index = random.int(length)
      if (index !== self && fits(index) && !found.includes(index)) found.push(index)
    }
    return found
  }

  #next(): number | undefined {
    const { members, random, self } = this.#init
    const { length } = members.statuses
    for (let checked = 0; checked <= length; checked++) {
      if (this.#at >= length) {
        members.reap()
        this.#at = 0
        this.#offset = random.int(length)
        do this.#stride = 1 + random.int(length)
        while (divisor(this.#stride, length) !== 1)
      }
      const index = (this.#at++ * this.#stride + this.#offset) % length
      const status = members.statuses[index]
      if (index !== self && (status === STATUS.alive || status === STATUS.suspect)) return index
    }
    return undefined
  }

  #begin(target: number): void {
    const { agenda, members, send } = this.#init
    const probe = { target, seq: ++this.#seq, expectedNacks: 0, nacks: 0 }
    this.#probe = probe
    const ping: Control = { kind: 'ping', seq: probe.seq }
    if (members.isAlive(target)) send(target, ping)
    else send(target, ping, members.accusation(target))
    agenda.after(LAN.probeTimeoutMs, () => this.#askOthers(probe))
    agenda.after(LAN.probeMs * (this.#score + 1), () => this.#fail(probe))
  }

  #askOthers(probe: Probe): void {
    if (this.#probe !== probe) return
    const { members, send, pingStream } = this.#init
    const { target, seq } = probe
    const others = this.some(LAN.indirectChecks, (index) => index !== target && members.isAlive(index))
    for (const other of others) send(other, { kind: 'indirect', seq, target })
    probe.expectedNacks = others.length
    pingStream(target, () => {
      if (this.#probe === probe) this.#succeed(probe)
    })
  }

  #succeed(_probe: Probe): void {
    this.#probe = undefined
    this.applyDelta(-1)
  }

  #fail(probe: Probe): void {
    if (this.#probe !== probe) return
    this.#probe = undefined
    const { target, expectedNacks, nacks } = probe
    this.applyDelta(expectedNacks > 0 ? Math.max(0, expectedNacks - nacks) : 1)
    this.#init.members.accuse(target)
  }

  #relay(from: number, seq: number, target: number): void {
    const { agenda, send } = this.#init
    const own = ++this.#seq
    let isAnswered = false
    this.#relayed.set(own, () => {
      isAnswered = true
      send(from, { kind: 'ack', seq })
    })
    send(target, { kind: 'ping', seq: own })
    agenda.after(LAN.probeTimeoutMs, () => {
      this.#relayed.delete(own)
      if (!isAnswered) send(from, { kind: 'nack', seq })
    })
  }
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b)
}
