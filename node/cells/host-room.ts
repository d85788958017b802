// What a host lends to cells, and whether an ask fits into it. Pure.
import { CodedError } from '../../core/errors.ts'
import type { PeerKey } from '../../protocols/kit/types.ts'
import type { Ask, PlacementErrorCode, Room } from '../../protocols/placement/index.ts'
import type { HostedCell } from './hosted-cell.ts'

/** What this peer lends to cells, and what it is. */
export interface HostCapacity {
  readonly slots: number
  readonly cellMemoryBytes: number
  readonly wallMs: number
  /** Memory and disk that cells may take together, as measured now. */
  free(): { readonly memoryBytes: number; readonly diskBytes: number }
  readonly labels: Readonly<Record<string, string>>
  readonly zone: string
}

/** What is left beside `active`, were they to take all that they may. */
export function roomBeside(capacity: HostCapacity, active: readonly HostedCell[]): Room {
  const free = capacity.free()
  const memory = active.reduce((sum, { manifest }) => sum + manifest.limits.memoryBytes, 0)
  const disk = active.reduce((sum, { manifest }) => sum + manifest.limits.diskBytes, 0)
  return {
    slots: capacity.slots - active.length,
    memoryBytes: Math.max(0, free.memoryBytes - memory),
    diskBytes: Math.max(0, free.diskBytes - disk),
  }
}

/** Throws `NOT_HOST` or `CONSTRAINT` for an ask that this peer could never take. */
export function mustFit(ask: Ask, capacity: HostCapacity, self: PeerKey): void {
  if (capacity.slots === 0) throw refuse('NOT_HOST', 'this peer runs no cells (slots = 0)')
  if (ask.memoryBytes > capacity.cellMemoryBytes)
    throw refuse(
      'CONSTRAINT',
      `a cell may have ${capacity.cellMemoryBytes} bytes of memory here, not ${ask.memoryBytes}`,
    )
  const { labels, zone, peer, notPeers } = ask.constraints
  for (const [key, value] of Object.entries(labels)) {
    if (capacity.labels[key] !== value) throw refuse('CONSTRAINT', `this peer has no label ${key}=${value}`)
  }
  if (zone !== undefined && zone !== capacity.zone) throw refuse('CONSTRAINT', `this peer is in zone ${capacity.zone}`)
  if ((peer !== undefined && peer !== self) || notPeers.includes(self))
    throw refuse('CONSTRAINT', 'the manifest rules this peer out')
}

export function refuse(code: PlacementErrorCode, reason: string): CodedError<PlacementErrorCode> {
  return new CodedError(code, reason)
}
