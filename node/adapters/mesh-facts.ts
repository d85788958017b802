// The view of the mesh as decisions, people and the connector want it.
import type { PeerKey } from '../../protocols/kit/types.ts'
import type { MemberView, MeshView } from '../../protocols/state/index.ts'
import type { Names } from '../cells/types.ts'
import type { KnownPeer } from '../connector.ts'
import type { PeerRow, RttReply, ZoneRow } from '../control/api.ts'
import type { PeerFacts } from '../decide/index.ts'

export function factsOf({ record, status, self, rttMs: measuredMs, rttEstimate }: MemberView): PeerFacts {
  const rttMs = measuredMs ?? rttEstimate?.ms
  return {
    peer: record.peer,
    name: record.name,
    status,
    self,
    zone: record.zone,
    labels: record.labels,
    roles: record.roles,
    cores: record.capacity.cpuCores,
    slots: record.capacity.slots,
    memoryBytes: record.capacity.memoryBytes,
    diskBytes: record.capacity.diskBytes,
    freeMemoryBytes: record.free.memoryBytes,
    freeDiskBytes: record.free.diskBytes,
    freeSlots: record.free.slots,
    running: record.load.running,
    backlogMs: record.load.backlogMs,
    calibration: record.calibration,
    fuelShare: record.fuelShare,
    modules: record.modules,
    ...(rttMs === undefined ? {} : { rttMs }),
  }
}

export function rowOf({ record, status, self, rttMs, rttEstimate, ageMs }: MemberView): PeerRow {
  return {
    peer: record.peer,
    name: record.name,
    self,
    status,
    zone: record.zone,
    preset: record.preset,
    labels: record.labels,
    cores: record.capacity.cpuCores,
    freeCpu: record.free.cpu,
    freeMemoryBytes: record.free.memoryBytes,
    slots: record.capacity.slots,
    freeSlots: record.free.slots,
    fuelShare: record.fuelShare,
    cells: record.load.running,
    model: { version: record.model?.version ?? '', round: record.model?.round ?? 0 },
    ageMs,
    addresses: record.addresses,
    ...(rttMs === undefined ? {} : { rttMs }),
    ...(rttEstimate === undefined ? {} : { rttEstimate }),
  }
}

/** All zones of the mesh, in the order of their names. */
export function zonesIn(view: MeshView): ZoneRow[] {
  const rows = [...view.zones()].map(([zone, { contacts: _contacts, ...sums }]) => ({ zone, ...sums }))
  return rows.sort((a, b) => a.zone.localeCompare(b.zone))
}

/** Between two members: measured where one is this peer, else or too estimated; neither where nothing is known yet. */
export function roundTripIn(view: MeshView, from: PeerKey, to: PeerKey): Pick<RttReply, 'rttMs' | 'estimate'> {
  const [a, b] = [view.get(from), view.get(to)]
  const rttMs = a?.self === true ? b?.rttMs : b?.self === true ? a?.rttMs : undefined
  const estimate = view.estimateRtt(from, to)
  return {
    ...(rttMs === undefined ? {} : { rttMs }),
    ...(estimate === undefined ? {} : { estimate }),
  }
}

export function namesIn(view: MeshView): Names {
  return {
    nameOf: (peer) => view.get(peer)?.record.name ?? `…${peer.slice(-8)}`,
    find(text) {
      const all = view.peers().map(({ record }) => record)
      const byName = all.filter(({ name }) => name === text)
      const wanted = text.replace(/^…/, '')
      const found = byName.length > 0 ? byName : all.filter(({ peer }) => wanted.length >= 4 && peer.endsWith(wanted))
      return found.map(({ peer }) => peer)
    },
  }
}

/** Undefined for a peer that was never heard of. */
export function isAliveIn(view: MeshView, peer: PeerKey): boolean | undefined {
  const status = view.get(peer)?.status
  return status === undefined ? undefined : status === 'alive' || status === 'suspect'
}

/** Members worth dialling: those that left on purpose are not. */
export function knownIn(view: MeshView): readonly KnownPeer[] {
  return view
    .peers()
    .filter(({ self, status }) => !self && status !== 'left')
    .map(({ record }) => ({ peer: record.peer, addresses: record.addresses }))
}
