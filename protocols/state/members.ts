// What this peer holds of the mesh: signed records, the detector's beliefs, and the view made of both. No stream, no timer.
import type { Clock } from '../../core/clock.ts'
import type { Random } from '../../core/random.ts'
import type { ConnectedPeer, PeerKey } from '../kit/types.ts'
import {
  type Coordinate,
  estimateBetween,
  forgotten,
  measured,
  type RttEstimate,
  UNPLACED,
  unpacked,
} from './coordinates.ts'
import { step } from './detector.ts'
import { type DetectorEffect, type DetectorEvent, type DetectorState, newDetector } from './detector-types.ts'
import { compareStamps, mergeRecords, type Stamp } from './merge.ts'
import { MAX_PEERS } from './protocol.ts'
import type { SignedRecord } from './record.ts'
import type { MemberView, MeshListener, MeshView } from './types.ts'

export interface MembersInit {
  readonly self: PeerKey
  readonly clock: Clock
  readonly random: Random
  readonly connected: () => readonly ConnectedPeer[]
  readonly onListenerError: (error: unknown) => void
}

const NOTHING: Stamp = { incarnation: 0, version: 0 }

export class Members implements MeshView {
  readonly #init: MembersInit
  readonly #records = new Map<PeerKey, SignedRecord>()
  /**
   * Last words of members no longer listed: held elsewhere, they must not bring them back; and one that comes back with an earlier
   * clock learns from its own signature that it has to go above them.
   */
  readonly #forgotten = new Map<PeerKey, SignedRecord>()
  readonly #rttMs = new Map<PeerKey, number>()
  readonly #listeners = new Set<MeshListener>()
  #detector: DetectorState
  #coordinates = UNPLACED

  constructor(init: MembersInit) {
    this.#init = init
    this.#detector = newDetector(init.self, init.clock.mono())
  }

  get records(): ReadonlyMap<PeerKey, SignedRecord> {
    return this.#records
  }

  get forgotten(): ReadonlyMap<PeerKey, SignedRecord> {
    return this.#forgotten
  }

  get detector(): DetectorState {
    return this.#detector
  }

  /** Peers that this one doubts. */
  doubted(): PeerKey[] {
    return [...this.#detector.members]
      .filter(([, { status }]) => status === 'suspect' || status === 'failed')
      .map(([peer]) => peer)
  }

  /** Every peer known of, forgotten ones included: what goes into a full digest. */
  known(): PeerKey[] {
    return [...this.#records.keys(), ...this.#forgotten.keys()].slice(0, MAX_PEERS)
  }

  stampOf = (peer: PeerKey): Stamp => (this.#records.get(peer) ?? this.#forgotten.get(peer))?.record ?? NOTHING

  /** Whether a record with `stamp` would be news, and there is room for it. */
  wants(peer: PeerKey, stamp: Stamp): boolean {
    if (compareStamps(stamp, this.stampOf(peer)) <= 0) return false
    return this.#records.has(peer) || this.#records.size < MAX_PEERS
  }

  /** Keeps a verified record if it holds against the one there, and says what follows from it. */
  store(signed: SignedRecord): readonly DetectorEffect[] {
    const { peer, incarnation, version } = signed.record
    const mine = this.#records.get(peer)
    if (mine !== undefined && mergeRecords(mine, signed) === mine) return []
    this.#records.set(peer, signed)
    this.#forgotten.delete(peer)
    const effects = this.feed({
      kind: 'record',
      peer,
      stamp: { incarnation, version },
      left: signed.record.left === true,
    })
    if (!effects.some((effect) => effect.kind === 'status')) this.notify(peer)
    return effects
  }

  /** Feeds the detector; status changes are shown to listeners, forgotten members are dropped. */
  feed(event: DetectorEvent): readonly DetectorEffect[] {
    const { state, effects } = step(this.#detector, event, this.#init.clock.mono(), this.#init.random)
    this.#detector = state
    for (const effect of effects) {
      if (effect.kind === 'forget') this.#forget(effect.peer)
      if (effect.kind === 'status' || effect.kind === 'forget') this.notify(effect.peer)
    }
    return effects
  }

  measured(peer: PeerKey, rttMs: number): void {
    const before = this.#rttMs.get(peer)
    // Smoothed as TCP does it (RFC 6298: alpha = 1/8).
    this.#rttMs.set(peer, before === undefined ? rttMs : before + (rttMs - before) / 8)
    // Of neighbours the connection knows better: a probe opens a stream first.
    if (!this.#detector.connected.has(peer)) this.#placeBy(peer, rttMs)
  }

  /** Where this peer is, now that the round trips to its neighbours have been looked at once more. */
  locate(): Coordinate {
    for (const { peer, rttMs } of this.#init.connected()) if (rttMs !== undefined) this.#placeBy(peer, rttMs)
    return this.#coordinates.coordinate
  }

  #placeBy(peer: PeerKey, rttMs: number): void {
    const other = this.#coordinateOf(peer)
    if (other !== undefined) this.#coordinates = measured(this.#coordinates, peer, other, rttMs, this.#init.random)
  }

  #coordinateOf(peer: PeerKey): Coordinate | undefined {
    if (peer === this.#init.self) return this.#coordinates.coordinate
    return unpacked(this.#records.get(peer)?.record.coordinate)
  }

  /** Forgets all but the listeners: the next start learns anew. */
  reset(): void {
    this.#records.clear()
    this.#forgotten.clear()
    this.#rttMs.clear()
    this.#coordinates = UNPLACED
    this.#detector = newDetector(this.#init.self, this.#init.clock.mono())
  }

  peers(): readonly MemberView[] {
    const rtts = new Map(this.#init.connected().map(({ peer, rttMs }) => [peer, rttMs]))
    const out: MemberView[] = []
    for (const signed of this.#records.values()) {
      const member = this.#view(signed, rtts.get(signed.record.peer))
      if (member?.self) out.unshift(member)
      else if (member !== undefined) out.push(member)
    }
    return out
  }

  get(peer: PeerKey): MemberView | undefined {
    const signed = this.#records.get(peer)
    if (signed === undefined) return undefined
    return this.#view(signed, this.#init.connected().find((other) => other.peer === peer)?.rttMs)
  }

  estimateRtt(a: PeerKey, b: PeerKey): RttEstimate | undefined {
    return a === b ? undefined : estimateBetween(this.#coordinateOf(a), this.#coordinateOf(b))
  }

  onChange(listener: MeshListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  notify(peer: PeerKey): void {
    for (const listener of this.#listeners) {
      try {
        listener(peer, this.get(peer))
      } catch (error) {
        this.#init.onListenerError(error)
      }
    }
  }

  #view({ record }: SignedRecord, connectionRttMs: number | undefined): MemberView | undefined {
    const tracked = this.#detector.members.get(record.peer)
    if (tracked === undefined) return undefined
    const rttMs = connectionRttMs ?? this.#rttMs.get(record.peer)
    const rttEstimate = this.estimateRtt(this.#init.self, record.peer)
    return {
      record,
      status: tracked.status,
      ageMs: Math.max(0, this.#init.clock.mono() - tracked.learntMs),
      ...(rttMs === undefined ? {} : { rttMs }),
      ...(rttEstimate === undefined ? {} : { rttEstimate }),
      self: record.peer === this.#init.self,
    }
  }

  #forget(peer: PeerKey): void {
    const last = this.#records.get(peer)
    if (last !== undefined) this.#forgotten.set(peer, last)
    this.#records.delete(peer)
    this.#rttMs.delete(peer)
    this.#coordinates = forgotten(this.#coordinates, peer)
    const oldest = this.#forgotten.keys().next().value
    if (this.#forgotten.size > MAX_PEERS && oldest !== undefined) this.#forgotten.delete(oldest)
  }
}
