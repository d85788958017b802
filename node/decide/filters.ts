// Hard filters: what a peer must be and have before its cost is even asked for.
import { showBytes } from './format.ts'
import type { CellFacts, FilterName, PeerFacts } from './types.ts'

/** Why a peer cannot have the cell. */
export interface Failure {
  readonly reason: string
  readonly detail?: string
  /** It may be otherwise in a while. */
  readonly passing: boolean
}

export interface Filter {
  readonly name: FilterName
  /** undefined: the peer passes. */
  check(cell: CellFacts, peer: PeerFacts): Failure | undefined
}

export interface FilterInit {
  /** Peers left out by the caller, e.g. the host that a cell is to leave. */
  readonly exclude?: readonly { readonly peer: string; readonly reason: string }[]
}

/** Untouched, instrumented and compiled code lie in memory together: an estimate on the safe side, not a measurement. */
const COMPILE_FACTOR = 4

const fails = (reason: string, detail?: string): Failure => ({
  reason,
  ...(detail === undefined ? {} : { detail }),
  passing: false,
})
const failsNow = (reason: string, detail?: string): Failure => ({ ...fails(reason, detail), passing: true })

/** In the order in which they are told: the first that fails is the one named. */
export function filters(init: FilterInit = {}): readonly Filter[] {
  const excluded = new Map(init.exclude?.map(({ peer, reason }) => [peer, reason]))
  return [
    { name: 'alive', check: (_, peer) => (peer.status === 'alive' ? undefined : notAlive(peer)) },
    {
      name: 'draining',
      check: (_, peer) => (peer.draining ? failsNow('takes no new cells: it is about to leave') : undefined),
    },
    { name: 'role', check: (_, peer) => (peer.roles.includes('host') ? undefined : fails('has not the role host')) },
    { name: 'owner', check: named },
    {
      name: 'excluded',
      check: (_, peer) => {
        const reason = excluded.get(peer.peer)
        return reason === undefined ? undefined : fails(reason)
      },
    },
    { name: 'label', check: labelled },
    {
      name: 'zone',
      check: ({ constraints: { zone } }, peer) =>
        zone === undefined || zone === peer.zone ? undefined : fails(`is not in zone ${zone}`, peer.zone),
    },
    { name: 'module', check: compiles },
    { name: 'memory', check: remembers },
    { name: 'slots', check: (_, peer) => (peer.freeSlots > 0 ? undefined : noSlot(peer)) },
    { name: 'disk', check: stores },
  ]
}

function notAlive(peer: PeerFacts): Failure {
  if (peer.status === 'suspect') return failsNow('has not answered for a while')
  return failsNow(peer.status === 'left' ? 'has left the mesh' : 'is dead or unreachable')
}

function named({ constraints }: CellFacts, peer: PeerFacts): Failure | undefined {
  if (constraints.notPeers.includes(peer.peer)) return fails('is excluded by the owner')
  if (constraints.peer !== undefined && constraints.peer !== peer.peer)
    return fails(`the owner wants it on ${constraints.peer} only`)
  return undefined
}

function labelled({ constraints }: CellFacts, peer: PeerFacts): Failure | undefined {
  for (const [key, wanted] of Object.entries(constraints.labels)) {
    const has = Object.hasOwn(peer.labels, key) ? peer.labels[key] : undefined
    if (has !== wanted)
      return fails(`has not the label ${key}=${wanted}`, has === undefined ? undefined : `${key}=${has}`)
  }
  return undefined
}

function compiles(cell: CellFacts, peer: PeerFacts): Failure | undefined {
  const needs = cell.moduleBytes * COMPILE_FACTOR
  if (peer.modules.includes(cell.module) || peer.freeMemoryBytes >= needs) return undefined
  const reason = `the module is too big: compiling it takes about ${showBytes(needs)} of memory`
  return short(reason, needs, peer.freeMemoryBytes, peer.memoryBytes)
}

function remembers({ memoryBytes }: CellFacts, peer: PeerFacts): Failure | undefined {
  if (peer.freeMemoryBytes >= memoryBytes) return undefined
  const reason = `has not the ${showBytes(memoryBytes)} of memory free that the cell may take`
  return short(reason, memoryBytes, peer.freeMemoryBytes, peer.memoryBytes)
}

function stores(cell: CellFacts, peer: PeerFacts): Failure | undefined {
  const held = peer.self || peer.modules.includes(cell.module) ? 0 : cell.moduleBytes
  const needs = cell.diskBytes + held
  if (peer.freeDiskBytes >= needs) return undefined
  return short(
    `has not ${showBytes(cell.diskBytes)} of disk free for the cell`,
    needs,
    peer.freeDiskBytes,
    peer.diskBytes,
  )
}

function noSlot(peer: PeerFacts): Failure {
  return peer.slots === 0 ? fails('hosts no cells: it has no slots') : failsNow('runs as many cells as it may')
}

function short(reason: string, needs: number, free: number, whole: number | undefined): Failure {
  const never = whole !== undefined && whole < needs
  return { ...fails(reason, never ? `${showBytes(whole)} in all` : `${showBytes(free)} free`), passing: !never }
}
