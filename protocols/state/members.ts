// The mesh as this peer shows it to the rest of the program: what the machine holds, with round trips, and listeners.
import type { ConnectedPeer, PeerKey } from '../kit/types.ts'
import type { RttEstimate } from './coordinates.ts'
import type { StateMachine } from './machine.ts'
import type { Entry } from './table.ts'
import type { MemberView, MeshListener, MeshView, StateRecord, ZoneSummary } from './types.ts'

const NOBODY: ZoneSummary = {
  peers: 0,
  slots: 0,
  freeSlots: 0,
  cpuCores: 0,
  freeCores: 0,
  freeMemoryBytes: 0,
  contacts: [],
}

export interface MembersInit {
  readonly self: PeerKey
  /** Undefined while the service is not started: then nobody is known. */
  readonly machine: () => StateMachine | undefined
  readonly mono: () => number
  readonly connected: () => readonly ConnectedPeer[]
  readonly onListenerError: (error: unknown) => void
}

export class Members implements MeshView {
  readonly #init: MembersInit
  readonly #listeners = new Set<MeshListener>()

  constructor(init: MembersInit) {
    this.#init = init
  }

  peers(): readonly MemberView[] {
    const rtts = new Map(this.#init.connected().map(({ peer, rttMs }) => [peer, rttMs]))
    const out: MemberView[] = []
    for (const entry of this.#init.machine()?.table.all() ?? []) {
      const member = this.#view(entry, rtts.get(entry.peer))
      if (member?.self) out.unshift(member)
      else if (member !== undefined) out.push(member)
    }
    return out
  }

  get(peer: PeerKey): MemberView | undefined {
    const entry = this.#init.machine()?.table.get(peer)
    if (entry === undefined) return undefined
    return this.#view(entry, this.#init.connected().find((other) => other.peer === peer)?.rttMs)
  }

  estimateRtt(a: PeerKey, b: PeerKey): RttEstimate | undefined {
    return this.#init.machine()?.estimateRtt(a, b)
  }

  zones(): ReadonlyMap<string, ZoneSummary> {
    const machine = this.#init.machine()
    const out = new Map<string, ZoneSummary>(machine?.summaries() ?? [])
    const own = machine?.table.get(this.#init.self)?.zone
    for (const { record, status } of this.peers()) {
      if (status !== 'alive' && status !== 'suspect') continue
      // Of another zone of a large mesh only neighbours are known: its reporter knows better.
      if (machine?.isZoned === true && record.zone !== own) continue
      out.set(record.zone, withPeer(out.get(record.zone) ?? NOBODY, record))
    }
    return out
  }

  onChange(listener: MeshListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  notify(peer: PeerKey): void {
    if (this.#listeners.size === 0) return
    const member = this.get(peer)
    for (const listener of this.#listeners) {
      try {
        listener(peer, member)
      } catch (error) {
        this.#init.onListenerError(error)
      }
    }
  }

  #view(entry: Entry, connectionRttMs: number | undefined): MemberView | undefined {
    const { signed, status, peer, learntMs } = entry
    if (signed === undefined || status === 'forgotten' || status === 'unknown') return undefined
    const rttMs = connectionRttMs ?? entry.rttMs
    const rttEstimate = this.estimateRtt(this.#init.self, peer)
    return {
      record: signed.record,
      status,
      ageMs: Math.max(0, this.#init.mono() - learntMs),
      ...(rttMs === undefined ? {} : { rttMs }),
      ...(rttEstimate === undefined ? {} : { rttEstimate }),
      self: peer === this.#init.self,
    }
  }
}

function withPeer(sum: ZoneSummary, { capacity, free }: StateRecord): ZoneSummary {
  return {
    peers: sum.peers + 1,
    slots: sum.slots + capacity.slots,
    freeSlots: sum.freeSlots + free.slots,
    cpuCores: sum.cpuCores + capacity.cpuCores,
    freeCores: sum.freeCores + capacity.cpuCores * free.cpu,
    freeMemoryBytes: sum.freeMemoryBytes + free.memoryBytes,
    contacts: sum.contacts,
  }
}
