// What one member of memberlist takes the others for (`state.go`, `suspicion.go`): alive, suspect and dead by incarnations, with
// Lifeguard's suspicion that shortens as others confirm it, and refutation of what is said of oneself.
import type { Agenda } from './agenda.ts'
import type { BroadcastQueue } from './memberlist-queue.ts'
import { type Broadcast, LAN, STATUS, type State } from './memberlist-wire.ts'

interface Suspicion {
  readonly startMs: number
  readonly minMs: number
  readonly maxMs: number
  /** Confirmations that are wanted. */
  readonly wanted: number
  readonly from: Set<number>
  count: number
  cancel: () => void
}

export interface MembersInit {
  readonly self: number
  readonly count: number
  readonly agenda: Agenda
  readonly queue: BroadcastQueue
  readonly mono: () => number
  /** Own health got worse (or better). */
  readonly onAwareness: (delta: number) => void
}

export class Members {
  readonly statuses: Uint8Array
  readonly incarnations: Uint16Array
  /** In the list, the dead of the last time among them. */
  size = 1
  readonly #deadSinceMs = new Map<number, number>()
  readonly #suspicions = new Map<number, Suspicion>()
  readonly #init: MembersInit

  constructor(init: MembersInit) {
    this.#init = init
    this.statuses = new Uint8Array(init.count).fill(STATUS.unknown)
    this.incarnations = new Uint16Array(init.count)
    this.statuses[init.self] = STATUS.alive
    this.incarnations[init.self] = 1
  }

  /** All are there, as if for long. */
  fill(): void {
    this.statuses.fill(STATUS.alive)
    this.incarnations.fill(1)
    this.size = this.statuses.length
  }

  isAlive(index: number): boolean {
    return this.statuses[index] === STATUS.alive
  }

  /** Whether it is gossiped to: the dead are for a while, so that they may refute. */
  hears(index: number): boolean {
    const status = this.statuses[index]
    if (status !== STATUS.dead) return status !== STATUS.unknown
    const sinceMs = this.#deadSinceMs.get(index)
    return sinceMs !== undefined && this.#init.mono() - sinceMs <= LAN.gossipToTheDeadMs
  }

  /** Those that have been dead for long are no longer counted; once a round of probes. */
  reap(): void {
    for (const index of [...this.#deadSinceMs.keys()])
      if (!this.hears(index)) {
        this.#deadSinceMs.delete(index)
        this.size--
      }
  }

  /** Tells all that something of oneself has changed; returns the incarnation. */
  renew(): number {
    const { self } = this.#init
    const incarnation = (this.incarnations[self] as number) + 1
    this.incarnations[self] = incarnation
    this.#say('alive', self, incarnation)
    return incarnation
  }

  hear(said: Broadcast): void {
    if (said.kind === 'alive') this.alive(said)
    else if (said.kind === 'suspect') this.suspect(said)
    else this.dead(said)
  }

  alive(said: Broadcast): void {
    const { about, incarnation } = said
    const { self, queue } = this.#init
    const known = this.incarnations[about] as number
    if (about === self) {
      // What an earlier life has said; what this one says comes back, too.
      if (incarnation > known) this.#refute(incarnation)
      return
    }
    const status = this.statuses[about]
    if (status !== STATUS.unknown && incarnation <= known) return
    this.#clear(about)
    queue.add(said)
    this.incarnations[about] = incarnation
    this.statuses[about] = STATUS.alive
    const wasListed = status !== STATUS.unknown && (status !== STATUS.dead || this.#deadSinceMs.has(about))
    if (!wasListed) this.size++
    this.#deadSinceMs.delete(about)
  }

  suspect(said: Broadcast): void {
    const { about, incarnation, from } = said
    const { self, queue } = this.#init
    const status = this.statuses[about]
    if (status === STATUS.unknown || incarnation < (this.incarnations[about] as number)) return
    const suspicion = this.#suspicions.get(about)
    if (suspicion !== undefined) {
      if (this.#confirm(about, suspicion, from)) queue.add(said)
      return
    }
    if (status !== STATUS.alive) return
    if (about === self) {
      this.#refute(incarnation)
      return
    }
    queue.add(said)
    this.incarnations[about] = incarnation
    this.statuses[about] = STATUS.suspect
    this.#suspicions.set(about, this.#newSuspicion(about, from))
  }

  dead(said: Broadcast): void {
    const { about, incarnation } = said
    const { self, queue, mono } = this.#init
    const status = this.statuses[about]
    if (status === STATUS.unknown || incarnation < (this.incarnations[about] as number)) return
    if (about !== self) this.#clear(about)
    if (status === STATUS.dead) return
    if (about === self) {
      this.#refute(incarnation)
      return
    }
    queue.add(said)
    this.incarnations[about] = incarnation
    this.statuses[about] = STATUS.dead
    this.#deadSinceMs.set(about, mono())
  }

  /** What a prober found. */
  accuse(about: number): Broadcast {
    const said = this.#broadcast('suspect', about, this.incarnations[about] as number)
    this.suspect(said)
    return said
  }

  /** For the one that is suspected, with a ping. */
  accusation(about: number): Broadcast {
    return this.#broadcast('suspect', about, this.incarnations[about] as number)
  }

  /** The other's whole state. Whom it takes for dead is suspected only. */
  merge({ statuses, incarnations }: State): void {
    for (let about = 0; about < statuses.length; about++) {
      const status = statuses[about]
      const incarnation = incarnations[about] as number
      // Nearly all that two tell each other, both know.
      if (status === this.statuses[about] && incarnation === this.incarnations[about]) continue
      if (status === STATUS.alive) this.alive(this.#broadcast('alive', about, incarnation))
      else if (status !== STATUS.unknown) this.suspect(this.#broadcast('suspect', about, incarnation))
    }
  }

  snapshot(isAnswer: boolean): State {
    return { kind: 'state', statuses: this.statuses.slice(), incarnations: this.incarnations.slice(), isAnswer }
  }

  #refute(accusedOf: number): void {
    const { self, onAwareness } = this.#init
    this.incarnations[self] = Math.max(this.incarnations[self] as number, accusedOf)
    onAwareness(1)
    this.renew()
  }

  #clear(about: number): void {
    this.#suspicions.get(about)?.cancel()
    this.#suspicions.delete(about)
  }

  #newSuspicion(about: number, from: number): Suspicion {
    const { agenda, mono } = this.#init
    const minMs = LAN.suspicionMult * Math.max(1, Math.log10(Math.max(1, this.size))) * LAN.probeMs
    const wanted = this.size - 2 < LAN.suspicionMult - 2 ? 0 : LAN.suspicionMult - 2
    const maxMs = wanted < 1 ? minMs : LAN.suspicionMaxTimeoutMult * minMs
    const cancel = agenda.after(maxMs, () => this.#timedOut(about))
    return { startMs: mono(), minMs, maxMs, wanted, from: new Set([from]), count: 0, cancel }
  }

  #confirm(about: number, suspicion: Suspicion, from: number): boolean {
    if (suspicion.count >= suspicion.wanted || suspicion.from.has(from)) return false
    const { agenda, mono } = this.#init
    const { startMs, minMs, maxMs, wanted } = suspicion
    suspicion.from.add(from)
    suspicion.count++
    const share = Math.log(suspicion.count + 1) / Math.log(wanted + 1)
    const timeoutMs = Math.max(minMs, maxMs - share * (maxMs - minMs))
    suspicion.cancel()
    suspicion.cancel = agenda.after(Math.max(0, timeoutMs - (mono() - startMs)), () => this.#timedOut(about))
    return true
  }

  #timedOut(about: number): void {
    this.dead(this.#broadcast('dead', about, this.incarnations[about] as number))
  }

  #say(kind: Broadcast['kind'], about: number, incarnation: number): void {
    this.#init.queue.add(this.#broadcast(kind, about, incarnation))
  }

  #broadcast(kind: Broadcast['kind'], about: number, incarnation: number): Broadcast {
    return { kind, about, incarnation, from: this.#init.self }
  }
}
