// What a host has promised and not started yet: a ledger of slots, memory and disk with an expiry. Pure.
import type { PeerKey } from '../kit/types.ts'
import { placementError } from './errors.ts'
import type { Room } from './messages.ts'

export interface Reservation {
  readonly id: string
  readonly cell: string
  /** Who asked for it; only that peer may release it. */
  readonly by: PeerKey
  readonly room: Room
  /** Absent while a start or a move is at work on it: then only its end frees it. */
  readonly expiresAt?: number
}

export type Ledger = ReadonlyMap<string, Reservation>

export const EMPTY_LEDGER: Ledger = new Map()

/** Everything reserved and not expired, together. */
export function reservedRoom(ledger: Ledger, now: number): Room {
  let slots = 0
  let memoryBytes = 0
  let diskBytes = 0
  for (const entry of live(ledger, now).values()) {
    slots += entry.room.slots
    memoryBytes += entry.room.memoryBytes
    diskBytes += entry.room.diskBytes
  }
  return { slots, memoryBytes, diskBytes }
}

export interface ReserveAsk {
  readonly id: string
  readonly cell: string
  readonly by: PeerKey
  readonly room: Room
  /** What the host has free beside its running cells, reservations not taken off. */
  readonly free: Room
  readonly ttlMs: number
  readonly maxPerPeer: number
}

/**
 * Promises room, or throws `NO_SLOT`, `NO_MEMORY`, `NO_DISK`, `OVER_QUOTA` with the figures.
 * A peer that asks again for the same cell replaces its earlier reservation, so a repeated offer holds nothing twice.
 */
export function reserve(ledger: Ledger, ask: ReserveAsk, now: number): Ledger {
  const next = new Map(live(ledger, now))
  let held = 0
  for (const entry of ledger.values()) {
    if (entry.by !== ask.by || entry.expiresAt === undefined) continue
    if (entry.cell === ask.cell) next.delete(entry.id)
    else if (next.has(entry.id)) held++
  }
  if (held >= ask.maxPerPeer)
    throw placementError(
      'OVER_QUOTA',
      `you hold ${held} reservations here, ${ask.maxPerPeer} is the most; start or release some`,
    )
  const taken = reservedRoom(next, now)
  const slots = ask.free.slots - taken.slots
  const memoryBytes = ask.free.memoryBytes - taken.memoryBytes
  const diskBytes = ask.free.diskBytes - taken.diskBytes
  if (slots < ask.room.slots) throw placementError('NO_SLOT', 'every slot is taken or promised')
  if (memoryBytes < ask.room.memoryBytes)
    throw placementError(
      'NO_MEMORY',
      `the cell may take ${ask.room.memoryBytes} bytes of memory, ${Math.max(0, memoryBytes)} are free`,
    )
  if (diskBytes < ask.room.diskBytes)
    throw placementError(
      'NO_DISK',
      `the cell may take ${ask.room.diskBytes} bytes of disk, ${Math.max(0, diskBytes)} are free`,
    )
  next.set(ask.id, { id: ask.id, cell: ask.cell, by: ask.by, room: ask.room, expiresAt: now + ask.ttlMs })
  return next
}

/** Gives a reservation back; one that is unknown, at work, or another peer's stays as it is. */
export function release(ledger: Ledger, id: string, by: PeerKey): Ledger {
  const entry = ledger.get(id)
  return entry === undefined || entry.by !== by || entry.expiresAt === undefined ? ledger : without(ledger, id)
}

/** Takes a reservation up: it no longer expires and ends with {@link settle}. Throws `RESERVATION_GONE`. */
export function claim(ledger: Ledger, id: string, cell: string, now: number): Ledger {
  const entry = ledger.get(id)
  if (entry === undefined || entry.cell !== cell || entry.expiresAt === undefined || entry.expiresAt <= now)
    throw placementError('RESERVATION_GONE', 'the reservation expired or is not for this cell; make a new offer')
  const { expiresAt: _, ...claimed } = entry
  return new Map(ledger).set(id, claimed)
}

/** What was claimed has come to its end: the cell counts as running by now, or it never will. */
export function settle(ledger: Ledger, id: string): Ledger {
  return without(ledger, id)
}

/** The ledger without what has expired. */
export function live(ledger: Ledger, now: number): Ledger {
  for (const entry of ledger.values())
    if (entry.expiresAt !== undefined && entry.expiresAt <= now)
      return new Map([...ledger].filter(([, other]) => other.expiresAt === undefined || other.expiresAt > now))
  return ledger
}

function without(ledger: Ledger, id: string): Ledger {
  if (!ledger.has(id)) return ledger
  const next = new Map(ledger)
  next.delete(id)
  return next
}
