// Several round machines on virtual time, with messages that take a while, come twice or out of order, and peers that die.
import type { Random } from '../../core/random.ts'
import { updateOf } from '../../protocols/federated/average.ts'
import { taskHash } from '../../protocols/federated/lineage.ts'
import { openRound, step } from '../../protocols/federated/round.ts'
import { keyOf } from '../../protocols/federated/round-key.ts'
import type {
  RoundConfig,
  RoundEffect,
  RoundEvent,
  RoundKey,
  RoundOutcome,
  RoundState,
} from '../../protocols/federated/round-types.ts'
import type { Lineage, TaskDescriptor } from '../../protocols/federated/types.ts'
import type { PeerKey } from '../../protocols/kit/types.ts'

export const TASK: TaskDescriptor = { id: 'test', shape: 'ab', parameters: 6, quorum: 2, maxGroup: 16, weightCap: 100 }
export const PARENT: Lineage = { version: 'p0', round: 3, parent: 'p', contributors: [] }
export const PARENT_WEIGHTS = Float32Array.from([1, -2, 3, 0.5, 0, 100])
export const DEADLINES = { gatherMs: 1_000, exchangeMs: 5_000, agreeMs: 1_000, adoptMs: 1_000 }
/** Every phase at its longest. */
export const ROUND_MS = DEADLINES.gatherMs + DEADLINES.exchangeMs + 2 * DEADLINES.agreeMs + DEADLINES.adoptMs

export function configOf(self: PeerKey, task: TaskDescriptor = TASK): RoundConfig {
  return { task, taskHash: taskHash(task), self, parent: PARENT, weights: PARENT_WEIGHTS, deadlines: DEADLINES }
}

export interface SimulatedPeer {
  state: RoundState
  alive: boolean
  outcome?: RoundOutcome
  endedAt?: number
  weights?: Float32Array
}

export interface SimulationInit {
  readonly random: Random
  readonly peers: readonly PeerKey[]
  /** Longest delay of a message, milliseconds. */
  readonly maxDelayMs?: number
  /** Share of messages that come a second time, later. */
  readonly duplicates?: number
  /** Kills a peer at its nth effect, before the effect reaches anybody else (or half-way through its receivers). */
  readonly deaths?: ReadonlyMap<PeerKey, number>
  /** Peers that do not learn of a death by a lost connection. */
  readonly silentDeaths?: boolean
  /** Pairs of peers, as `a|b`, that never reach each other. */
  readonly cuts?: ReadonlySet<string>
  /** Attempt that each peer starts in. @default 0 */
  readonly views?: ReadonlyMap<PeerKey, number>
}

interface Scheduled {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

export class RoundSimulation {
  readonly peers = new Map<PeerKey, SimulatedPeer>()
  now = 0
  readonly #init: SimulationInit
  readonly #effects = new Map<PeerKey, number>()
  #queue: Scheduled[] = []
  #order = 0

  constructor(init: SimulationInit) {
    this.#init = init
    const opened = init.peers.map((peer) => {
      const first = openRound(configOf(peer), { view: init.views?.get(peer) ?? 0, members: init.peers }, 0)
      this.peers.set(peer, { state: first.state, alive: true })
      return { peer, first }
    })
    for (const { peer, first } of opened) this.#perform(peer, first.effects)
  }

  /** Runs until nothing is left to happen. */
  run(): void {
    for (;;) {
      this.#queue.sort((a, b) => a.at - b.at || a.order - b.order)
      const next = this.#queue.shift()
      if (next === undefined) return
      this.now = Math.max(this.now, next.at)
      next.run()
    }
  }

  /** Every survivor's outcome. */
  get survivors(): SimulatedPeer[] {
    return [...this.peers.values()].filter(({ alive }) => alive)
  }

  #later(delayMs: number, run: () => void): void {
    this.#queue.push({ at: this.now + delayMs, order: this.#order++, run })
  }

  #feed(peer: PeerKey, event: RoundEvent): boolean {
    const it = this.peers.get(peer)
    if (it === undefined || !it.alive) return false
    const result = step(it.state, event, this.now)
    if (result.refusal === undefined) it.state = result.state
    this.#perform(peer, result.effects)
    return result.refusal === undefined
  }

  #cut(a: PeerKey, b: PeerKey): boolean {
    return this.#init.cuts?.has([a, b].sort().join('|')) === true
  }

  #deliver(to: PeerKey, event: RoundEvent): void {
    const { random, maxDelayMs = 50, duplicates = 0 } = this.#init
    if ('peer' in event && this.#cut(event.peer, to)) return
    this.#later(random.next() * maxDelayMs, () => this.#feed(to, event))
    if (random.next() < duplicates) this.#later(random.next() * maxDelayMs * 4, () => this.#feed(to, event))
  }

  #die(peer: PeerKey): void {
    const it = this.peers.get(peer)
    if (it === undefined) return
    it.alive = false
    if (this.#init.silentDeaths !== true)
      for (const other of this.peers.keys()) if (other !== peer) this.#deliver(other, { kind: 'gone', peer })
  }

  #perform(self: PeerKey, effects: readonly RoundEffect[]): void {
    const it = this.peers.get(self)
    if (it === undefined) return
    // The timer of whatever phase this is now; a tick that comes early or late does no harm.
    if (it.state.phase !== 'ended')
      this.#later(Math.max(it.state.endsAt - this.now, 0), () => this.#feed(self, { kind: 'tick' }))
    for (const effect of effects) {
      const count = (this.#effects.get(self) ?? 0) + 1
      this.#effects.set(self, count)
      const dies = this.#init.deaths?.get(self) === count
      if (!it.alive) return
      this.#effect(self, it, effect, dies)
      if (dies) this.#die(self)
    }
  }

  #effect(self: PeerKey, it: SimulatedPeer, effect: RoundEffect, dies: boolean): void {
    const { random } = this.#init
    const key = keyOf(it.state)
    // Who dies while sending has reached some of the receivers.
    const reached = (to: readonly PeerKey[]) => (dies ? to.filter(() => random.next() < 0.5) : to)
    switch (effect.kind) {
      case 'ask':
        for (const peer of reached(effect.to)) this.#ask(self, peer, { ...key, view: effect.view }, effect.closesInMs)
        return
      case 'train':
        if (!dies)
          this.#later(random.next() * 300, () => this.#feed(self, { kind: 'trained', update: this.updateOf(self) }))
        return
      case 'send-update':
        for (const peer of reached(effect.to))
          this.#deliver(peer, { kind: 'update', peer: self, key, update: effect.update })
        return
      case 'send-set': {
        const { step: what, set } = effect
        for (const peer of reached(effect.to))
          this.#deliver(
            peer,
            what === 'leave' ? { kind: 'leave', peer: self, key } : { kind: 'set', peer: self, key, step: what, set },
          )
        return
      }
      case 'adopt':
        if (dies) return
        it.weights = effect.weights
        this.#later(random.next() * 20, () => this.#feed(self, { kind: 'adopted' }))
        return
      case 'end':
        it.outcome = effect.outcome
        it.endedAt = this.now
        return
      case 'stop-training':
        return
    }
  }

  #ask(self: PeerKey, peer: PeerKey, key: RoundKey, closesInMs: number): void {
    const delay = () => this.#init.random.next() * (this.#init.maxDelayMs ?? 50)
    if (this.#cut(self, peer)) {
      this.#later(delay(), () => this.#feed(self, { kind: 'answered', peer, joined: false, view: key.view }))
      return
    }
    this.#later(delay(), () => {
      const joined = this.#feed(peer, { kind: 'ready', peer: self, key, closesInMs })
      const view = this.peers.get(peer)?.state.view ?? 0
      this.#later(delay(), () => {
        const own = this.peers.get(self)?.state.view ?? 0
        if (own === key.view || view > own) this.#feed(self, { kind: 'answered', peer, joined, view })
      })
    })
  }

  /** A peer's update, the same in every run. */
  updateOf(peer: PeerKey) {
    const seed = [...peer].reduce((sum, letter) => sum + letter.charCodeAt(0), 0)
    return updateOf(
      PARENT_WEIGHTS.map((_, k) => Math.sin(seed * (k + 1))),
      1 + (seed % 7) * 40,
    )
  }
}
