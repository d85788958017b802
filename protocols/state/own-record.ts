// This peer's own record: what it says next, under which version, and whether a change is worth telling at once.
import { equal } from '../../core/bytes.ts'
import { toCbor } from '../../core/shape.ts'
import type { PeerKey } from '../kit/types.ts'
import { type Coordinate, packed, UNPLACED } from './coordinates.ts'
import type { Stamp } from './merge.ts'
import { MAX_ADDRESS_CHARS, MAX_ADDRESSES, MAX_CELLS, MAX_MODULES } from './protocol.ts'
import { EMPTY_FIELDS, encodeRecord, rounded, type Sealing, type SignedRecord } from './record.ts'
import type { OwnFields, StateRecord, ZoneSummary } from './types.ts'

/** A tenth of a core share, of the memory, of the disk. */
const SHARE_STEP = 0.1
const BACKLOG_STEP_MS = 1_000

export class OwnRecord {
  readonly #self: PeerKey
  #fields: OwnFields = EMPTY_FIELDS
  /** The fields that were signed last. */
  #announced: OwnFields = EMPTY_FIELDS
  #incarnation = 0
  #version = 0
  #measuredAt = 0
  #coordinate: readonly number[] = packed(UNPLACED.coordinate)
  #summary: ZoneSummary | undefined
  #left = false

  constructor(self: PeerKey) {
    this.#self = self
  }

  get left(): boolean {
    return this.#left
  }

  /** A new life: whatever an earlier one signed is older, unless the wall clock went back. */
  begin(wallMs: number): void {
    this.#incarnation = Math.max(Math.floor(wallMs), this.#incarnation + 1)
    this.#version = 0
    this.#left = false
    this.#summary = undefined
    if (this.#measuredAt === 0) this.#measuredAt = Math.floor(wallMs)
  }

  /** Takes `patch` over, and says whether others should hear of it at once. Throws `STATE_RECORD_INVALID`, changing nothing. */
  patch(patch: Partial<OwnFields>, wallMs: number): boolean {
    const merged = { ...this.#fields, ...patch }
    const next = rounded({
      ...merged,
      cells: merged.cells.slice(0, MAX_CELLS),
      modules: merged.modules.slice(0, MAX_MODULES),
      addresses: merged.addresses.filter(({ length }) => length <= MAX_ADDRESS_CHARS).slice(0, MAX_ADDRESSES),
    })
    const measuredAt = Math.floor(wallMs)
    encodeRecord({ record: { ...this.#record(next), measuredAt }, urgent: false, before: undefined })
    this.#fields = next
    this.#measuredAt = measuredAt
    return isSignificant(this.#announced, next)
  }

  /** Where this peer is: told with the next version. */
  locate(coordinate: Coordinate): void {
    this.#coordinate = packed(coordinate)
  }

  /** What is known of the zone: told with the next version. */
  summarize(summary: ZoneSummary | undefined): void {
    this.#summary = summary
  }

  leave(): void {
    this.#left = true
  }

  /** An earlier life of this peer signed `stamp`, which is newer than what we say: go above it. */
  supersede(stamp: Stamp): void {
    if (stamp.incarnation < this.#incarnation) return
    this.#incarnation = stamp.incarnation + 1
    this.#version = 0
  }

  /** What this peer says now, under its next version; `before` is what it said last. */
  next(urgent: boolean, before: SignedRecord | undefined): Sealing {
    this.#version++
    this.#announced = this.#fields
    return { record: this.#record(this.#fields), urgent, before }
  }

  #record(fields: OwnFields): StateRecord {
    return {
      ...fields,
      peer: this.#self,
      incarnation: this.#incarnation,
      version: this.#version,
      measuredAt: this.#measuredAt,
      coordinate: this.#coordinate,
      ...(this.#summary === undefined ? {} : { summary: this.#summary }),
      ...(this.#left ? { left: true } : {}),
    }
  }
}

/** True when placement elsewhere may decide differently: the rest waits for the next refresh. */
export function isSignificant(before: OwnFields, after: OwnFields): boolean {
  const moved = (a: number, b: number, whole: number): boolean => whole > 0 && Math.abs(a - b) >= SHARE_STEP * whole
  return (
    moved(before.free.cpu, after.free.cpu, 1) ||
    moved(before.free.memoryBytes, after.free.memoryBytes, after.capacity.memoryBytes) ||
    moved(before.free.diskBytes, after.free.diskBytes, after.capacity.diskBytes) ||
    Math.abs(before.load.backlogMs - after.load.backlogMs) >= BACKLOG_STEP_MS ||
    !equal(steady(before), steady(after))
  )
}

/** The fields of which every change counts. */
function steady(fields: OwnFields): Uint8Array {
  const { free, load, ...rest } = fields
  return toCbor({ ...rest, slots: free.slots, running: load.running })
}
