// Failure detection as a pure machine: SWIM's probes and suspicion (Das et al. 2002) with Lifeguard's local health.
// It knows no records, streams or timers: it is told what happened, and says what to do.
import type { Random } from '../../core/random.ts'
import type { PeerKey } from '../kit/types.ts'
import type {
  DetectorEffect,
  DetectorEvent,
  DetectorState,
  ProbeOutcome,
  Step,
  Suspicion,
  Tracked,
} from './detector-types.ts'
import { compareStamps, type Stamp } from './merge.ts'
import {
  FAILED_KEPT_MS,
  LEFT_KEPT_MS,
  MAX_CONFIRMERS,
  PROBE_INTERVAL_MS,
  PROBE_TIMEOUT_MS,
  REVIVE_INTERVAL_MS,
  STALL_MS,
  TICK_MS,
} from './protocol.ts'
import { helpersFor, isProbeable, newRotation } from './rotation.ts'
import { adjustHealth, stretched, suspicionTimeoutMs } from './suspicion.ts'
import type { MemberStatus } from './types.ts'

/** One event in, the next state and what to do about it out. Never throws. */
export function step(state: DetectorState, event: DetectorEvent, now: number, random: Random): Step {
  const work = new Work(state, now, random)
  switch (event.kind) {
    case 'record':
      work.record(event.peer, event.stamp, event.left)
      break
    case 'claim':
      work.claim(event.about, event.stamp, event.status, event.confirmers)
      break
    case 'heard':
      work.heard(event.peer)
      break
    case 'doubt':
      work.probe(event.peer)
      break
    case 'connection':
      work.connection(event.peer, event.up)
      break
    case 'probed':
      work.probed(event.peer, event.outcome, event.silentHelpers)
      break
    case 'tick':
      work.tick()
  }
  return work.done()
}

/** The next state while it is being made; lives for one step. */
class Work {
  readonly #now: number
  readonly #random: Random
  readonly #members: Map<PeerKey, Tracked>
  readonly #effects: DetectorEffect[] = []
  #state: DetectorState

  constructor(state: DetectorState, now: number, random: Random) {
    this.#state = state
    this.#now = now
    this.#random = random
    this.#members = new Map(state.members)
  }

  done(): Step {
    return { state: { ...this.#state, members: this.#members }, effects: this.#effects }
  }

  record(peer: PeerKey, stamp: Stamp, left: boolean): void {
    const known = this.#members.get(peer)
    if (known !== undefined && compareStamps(stamp, known) <= 0) return
    const { incarnation, version } = stamp
    const base = known ?? { status: 'alive', sinceMs: this.#now, heardMs: Number.NEGATIVE_INFINITY, probing: false }
    const status: MemberStatus = left ? 'left' : 'alive'
    this.#members.set(peer, { ...base, incarnation, version, learntMs: this.#now })
    if (known?.status !== status) this.#become(peer, status)
    // The newer record may be the last words of a peer that has died since: look again.
    if (known?.status === 'failed' || known?.suspicion?.own === true) this.probe(peer)
  }

  claim(about: PeerKey, stamp: Stamp, status: 'suspect' | 'failed', confirmers: readonly PeerKey[]): void {
    const known = this.#members.get(about)
    if (known === undefined || compareStamps(stamp, known) !== 0) return
    if (about === this.#state.self) {
      this.#health(1)
      // The version that refutes: further claims about the doubted one are answered already.
      this.#members.set(about, { ...known, version: known.version + 1 })
      this.#effects.push({ kind: 'refute' })
      return
    }
    if (known.status === 'failed' || known.status === 'left') return
    const neighbour = this.#state.connected.has(about)
    if (known.suspicion === undefined) {
      // Fresh first-hand evidence outweighs hearsay; the probe tells the target that it is doubted.
      if (this.#now - known.heardMs > PROBE_INTERVAL_MS) this.#suspect(about, confirmers, false)
      if (neighbour) this.probe(about, true)
      return
    }
    this.#suspect(about, confirmers, known.suspicion.own)
    if (status === 'failed' && (known.suspicion.own || !neighbour)) this.#become(about, 'failed')
  }

  heard(peer: PeerKey): void {
    const known = this.#members.get(peer)
    if (known === undefined) return
    this.#members.set(peer, { ...known, heardMs: this.#now })
    if (known.status === 'suspect' || known.status === 'failed') this.#become(peer, 'alive')
    if (known.status === 'failed') this.#effects.push({ kind: 'exchange', peer })
  }

  connection(peer: PeerKey, up: boolean): void {
    const connected = new Set(this.#state.connected)
    if (up) connected.add(peer)
    else connected.delete(peer)
    this.#state = { ...this.#state, connected }
    if (up) this.#effects.push({ kind: 'exchange', peer })
    else this.probe(peer)
  }

  probed(peer: PeerKey, outcome: ProbeOutcome, silentHelpers: number): void {
    const known = this.#members.get(peer)
    if (known === undefined) return
    this.#members.set(peer, { ...known, probing: false })
    if (outcome === 'alive') {
      this.#health(-1)
      this.heard(peer)
      return
    }
    this.#health(outcome === 'inconclusive' ? 1 : silentHelpers)
    if (outcome === 'dead' && (known.status === 'alive' || known.status === 'suspect')) this.#suspect(peer, [], true)
  }

  tick(): void {
    const lateMs = this.#now - this.#state.tickedMs - TICK_MS
    this.#state = { ...this.#state, tickedMs: this.#now }
    if (lateMs > STALL_MS) this.#stalled(lateMs)
    this.#expire()
    if (this.#now >= this.#state.nextReviveMs) this.#revive()
    if (this.#now >= this.#state.nextProbeMs) this.#probeNext()
  }

  /** Starts a probe unless one is under way or the peer is known to have gone on purpose. */
  probe(peer: PeerKey, claimed = false): void {
    const known = this.#members.get(peer)
    if (known === undefined || known.probing || known.status === 'left' || peer === this.#state.self) return
    this.#members.set(peer, { ...known, probing: true })
    const doubted = claimed || known.status !== 'alive'
    this.#effects.push({
      kind: 'probe',
      peer,
      helpers: helpersFor(peer, this.#members, this.#state.connected, this.#random),
      timeoutMs: stretched(PROBE_TIMEOUT_MS, this.#state.health),
      ...(doubted ? { suspected: { incarnation: known.incarnation, version: known.version } } : {}),
    })
  }

  #probeNext(): void {
    const { connected, self } = this.#state
    let rotation = this.#state.rotation
    if (rotation.length === 0) rotation = newRotation(this.#members, connected, self, this.#now, this.#random)
    // Whoever spoke within the interval needs no probe.
    const at = rotation.findIndex((peer) => isProbeable(this.#members.get(peer), this.#now))
    const peer = at === -1 ? undefined : rotation[at]
    this.#state = {
      ...this.#state,
      rotation: at === -1 ? [] : rotation.slice(at + 1),
      nextProbeMs: this.#now + stretched(PROBE_INTERVAL_MS, this.#state.health),
    }
    if (peer !== undefined) this.probe(peer)
  }

  #revive(): void {
    const failed = [...this.#members].filter(([, member]) => member.status === 'failed')
    this.#state = { ...this.#state, nextReviveMs: this.#now + REVIVE_INTERVAL_MS }
    const chosen = failed[this.#random.int(failed.length)]
    if (chosen !== undefined) this.probe(chosen[0])
  }

  /** Nothing could reach us meanwhile, refutations included: suspects get the lost time back. */
  #stalled(lateMs: number): void {
    this.#health(1)
    for (const [peer, member] of this.#members) {
      if (member.suspicion === undefined) continue
      const sinceMs = Math.min(this.#now, member.suspicion.sinceMs + lateMs)
      this.#members.set(peer, { ...member, suspicion: { ...member.suspicion, sinceMs } })
    }
  }

  #expire(): void {
    const present = [...this.#members.values()].filter(
      ({ status }) => status === 'alive' || status === 'suspect',
    ).length
    for (const [peer, member] of this.#members) {
      const keptMs = this.#now - member.sinceMs
      if (member.suspicion !== undefined) {
        const { sinceMs, confirmers, own } = member.suspicion
        const confirmations = Math.max(0, own ? confirmers.length : confirmers.length - 1)
        if (this.#now - sinceMs >= suspicionTimeoutMs(present, confirmations)) this.#become(peer, 'failed')
      } else if (
        peer !== this.#state.self &&
        ((member.status === 'failed' && keptMs >= FAILED_KEPT_MS) ||
          (member.status === 'left' && keptMs >= LEFT_KEPT_MS))
      ) {
        this.#members.delete(peer)
        this.#effects.push({ kind: 'forget', peer })
      }
    }
  }

  #suspect(peer: PeerKey, confirmers: readonly PeerKey[], own: boolean): void {
    const known = this.#members.get(peer)
    if (known === undefined) return
    const before = known.suspicion
    const others = [...(before?.confirmers ?? []), ...confirmers].filter((by) => by !== this.#state.self && by !== peer)
    const suspicion: Suspicion = {
      sinceMs: before?.sinceMs ?? this.#now,
      confirmers: [...new Set(others)].slice(0, MAX_CONFIRMERS),
      own: own || before?.own === true,
    }
    this.#members.set(peer, { ...known, suspicion })
    if (known.status !== 'suspect') this.#become(peer, 'suspect')
    else if (suspicion.own && before?.own !== true) this.#effects.push({ kind: 'status', peer, status: 'suspect' })
  }

  #become(peer: PeerKey, status: MemberStatus): void {
    const known = this.#members.get(peer)
    if (known === undefined) return
    const { suspicion, ...rest } = known
    const kept = status === 'suspect' && suspicion !== undefined ? { suspicion } : {}
    this.#members.set(peer, { ...rest, ...kept, status, sinceMs: this.#now })
    this.#effects.push({ kind: 'status', peer, status })
  }

  #health(delta: number): void {
    this.#state = { ...this.#state, health: adjustHealth(this.#state.health, delta) }
  }
}
