// A simulated peer: the very state machine of the real one, on the world's clock and links. Messages travel by reference, with the
// size that they would have on the wire; signatures are counted, not made.
import type { PeerKey } from '../../protocols/kit/types.ts'
import type { Claim } from '../../protocols/state/claim.ts'
import { StateMachine } from '../../protocols/state/machine.ts'
import type { Effects } from '../../protocols/state/mesh-state.ts'
import { type Message, type Names, sizeOf } from '../../protocols/state/messages.ts'
import { OwnRecord } from '../../protocols/state/own-record.ts'
import { encodeRecord, type SignedRecord, signedRecord } from '../../protocols/state/record.ts'
import type { OwnFields, ZoneSummary } from '../../protocols/state/types.ts'
import type { Participant, Port } from '../world/types.ts'

/** Peers by number and by name; a name is as long as a peer id. */
export class Roll {
  readonly keys: readonly PeerKey[]
  readonly #indices: ReadonlyMap<PeerKey, number>

  constructor(count: number) {
    this.keys = Array.from({ length: count }, (_, i) => `simulated-peer-${String(i).padStart(37, '0')}`)
    this.#indices = new Map(this.keys.map((key, i) => [key, i]))
  }

  key(index: number): PeerKey {
    return this.keys[index] as PeerKey
  }

  index(key: PeerKey): number {
    return this.#indices.get(key) as number
  }
}

const SIGNATURE = new Uint8Array(64)

/** The names that one end of a link has given so far: as many as a bit per peer tells. */
class GivenNames implements Names {
  readonly #roll: Roll
  readonly #given: Uint8Array

  constructor(roll: Roll) {
    this.#roll = roll
    this.#given = new Uint8Array(Math.ceil(roll.keys.length / 8))
  }

  number(peer: PeerKey, _incarnation: number, introduce: (number: number) => void): number {
    const index = this.#roll.index(peer)
    const [at, bit] = [index >> 3, 1 << (index & 7)]
    if (((this.#given[at] as number) & bit) === 0) {
      this.#given[at] = (this.#given[at] as number) | bit
      introduce(index)
    }
    return index
  }

  giveAll(): void {
    this.#given.fill(255)
  }
}

export interface StatePeerInit {
  readonly port: Port<Message>
  readonly roll: Roll
  readonly fields: Partial<OwnFields>
  /** Told of every change of a view. */
  readonly onChange?: (peer: PeerKey, by: StatePeer) => void
}

export class StatePeer implements Participant<Message> {
  readonly self: PeerKey
  readonly index: number
  readonly machine: StateMachine
  /** Signatures that a real peer would have made. */
  signed = 0
  readonly #init: StatePeerInit
  readonly #own: OwnRecord
  readonly #names = new Map<number, GivenNames>()
  #last: SignedRecord | undefined

  constructor(init: StatePeerInit) {
    const { port, roll, fields } = init
    this.#init = init
    this.index = port.index
    this.self = roll.key(port.index)
    this.#own = new OwnRecord(this.self)
    this.#own.patch(fields, port.wall())
    this.#own.begin(port.wall())
    this.machine = new StateMachine({
      self: this.self,
      effects: this.#effects(),
      random: port.random,
      nowMs: port.mono(),
    })
    this.machine.start(port.mono())
  }

  get record(): SignedRecord {
    return this.#last as SignedRecord
  }

  /** Makes a link, whatever the machine wants. */
  connectTo(peer: number): void {
    this.#init.port.open(peer)
  }

  publish(patch: Partial<OwnFields>): void {
    const { port } = this.#init
    if (this.#own.patch(patch, port.wall())) this.machine.publish(port.mono())
  }

  leave(): void {
    this.#own.leave()
    this.machine.leave(this.#init.port.mono())
  }

  /** Speaks for its zone from now on. */
  report(summary: ZoneSummary): void {
    this.#own.summarize(summary)
    this.#seal(false)
  }

  /** Holds `records`, and so do the other ends of its links: as if it had been so for long. */
  settleIn(records: readonly SignedRecord[]): void {
    this.machine.restore(records, this.#init.port.mono())
    const { table } = this.machine
    for (const link of this.machine.links.values()) {
      for (const entry of table.all()) if (entry.signed !== undefined) link.learn(entry, entry.signed.version)
      link.cursor = table.end
    }
    for (const names of this.#names.values()) names.giveAll()
  }

  receive(from: number, message: Message): void {
    this.machine.receive(this.#init.roll.key(from), message, this.#init.port.mono())
  }

  linkUp(peer: number, outbound: boolean): void {
    this.#names.set(peer, new GivenNames(this.#init.roll))
    this.machine.linkUp(this.#init.roll.key(peer), outbound, this.#init.port.mono())
  }

  linkDown(peer: number): void {
    this.#names.delete(peer)
    this.machine.linkDown(this.#init.roll.key(peer), this.#init.port.mono())
  }

  openFailed(peer: number): void {
    this.machine.openFailed(this.#init.roll.key(peer), this.#init.port.mono())
  }

  wake(): void {
    this.machine.wake(this.#init.port.mono())
  }

  #seal(urgent: boolean): void {
    this.#own.locate(this.machine.coordinate)
    const sealing = this.#own.next(urgent, this.#last)
    this.signed++
    this.#last = signedRecord(sealing, encodeRecord(sealing), SIGNATURE)
    this.machine.sealed(this.#last, this.#init.port.mono())
  }

  #effects(): Effects {
    const { port, roll } = this.#init
    const incarnationOf = (peer: PeerKey): number => this.machine.table.stampOf(peer).incarnation
    return {
      send: (peer, message) => {
        const to = roll.index(peer)
        const names = this.#names.get(to)
        if (names !== undefined) port.send(to, message, sizeOf(message, names, incarnationOf))
      },
      open: (peer) => port.open(roll.index(peer)),
      close: (peer) => {
        this.#names.delete(roll.index(peer))
        port.close(roll.index(peer))
      },
      seal: (urgent) => this.#seal(urgent),
      supersede: (stamp) => this.#own.supersede(stamp),
      summarize: (summary) => this.#own.summarize(summary),
      accuse: (accusation) => {
        this.signed++
        const claim: Claim = { ...accusation, accuser: this.self, signature: SIGNATURE, verify: () => undefined }
        this.machine.accused(claim, port.mono())
      },
      changed: (peer) => this.#init.onChange?.(peer, this),
      wakeAt: (monoMs) => port.wakeAt(monoMs),
    }
  }
}
