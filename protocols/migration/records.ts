// What is journalled at both ends; a later phase replaces the earlier one. A destination has one record per attempt; a source
// one per cell, so that nothing an earlier attempt may have left behind speaks beside the last.
import * as s from '../../core/shape.ts'
import type { MigrationErrorCode } from './errors.ts'
import { offerShape } from './messages.ts'

/**
 * `committed`: the image is safe, the hand-over may have been sent. `resuming`: back here for good, under `resumeEpoch`.
 * `moved`, `dropped`: discard.
 */
export const SOURCE_PHASES = ['committed', 'resuming', 'moved', 'dropped'] as const
export type SourceRecordPhase = (typeof SOURCE_PHASES)[number]

/** `arriving`: a hand-over may come. `owned`: run it. `active`: it ran. `refused`: never. `left`: it ran and is gone from here. */
export const DESTINATION_PHASES = ['arriving', 'owned', 'active', 'refused', 'left'] as const
export type DestinationRecordPhase = (typeof DESTINATION_PHASES)[number]

const shape = s.union({
  source: s.object({
    phase: s.oneOf(...SOURCE_PHASES),
    cell: s.text(128),
    attempt: s.text(32),
    to: s.text(128),
    /** The epoch before the move. */
    epoch: s.integer(),
    resumeEpoch: s.optional(s.integer()),
    root: s.text(64),
    /** Wall clock of the write, milliseconds. */
    at: s.number(),
  }),
  destination: s.object({
    phase: s.oneOf(...DESTINATION_PHASES),
    from: s.text(128),
    offer: offerShape,
    root: s.text(64),
    at: s.number(),
  }),
})

export type MigrationRecord = s.Infer<typeof shape>
export type SourceRecord = Extract<MigrationRecord, { kind: 'source' }>
export type DestinationRecord = Extract<MigrationRecord, { kind: 'destination' }>

export function encodeRecord(record: MigrationRecord): Uint8Array {
  return s.toCbor(record)
}

export function decodeRecord(bytes: Uint8Array): MigrationRecord {
  return s.fromCbor<MigrationRecord, MigrationErrorCode>(bytes, shape, 'MIGRATION_JOURNAL_CORRUPT')
}

/** Journal key of a move at one end. */
export function recordKey(role: MigrationRecord['kind'], cell: string, attempt: string): string {
  return role === 'source' ? `source/${cell}` : imageName(role, cell, attempt)
}

/** Name of the image of an attempt at one end. */
export function imageName(role: MigrationRecord['kind'], cell: string, attempt: string): string {
  return `${role}/${cell}/${attempt}`
}

/** The cell that a journal key or an image name speaks of, also when its record cannot be read. */
export function cellOf(name: string): string {
  return name.split('/')[1] ?? name
}
