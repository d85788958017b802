// What a restart finds in the journal, and what of it still means something.
import { RECORD_KEEP_MS } from './protocol.ts'
import {
  cellOf,
  type DestinationRecord,
  decodeRecord,
  imageName,
  type MigrationRecord,
  recordKey,
  type SourceRecord,
} from './records.ts'
import type { MigrationInit } from './types.ts'

/** Whatever comes of these, the image may be read for it. */
const NEEDS_IMAGE: ReadonlySet<MigrationRecord['phase']> = new Set(['committed', 'resuming', 'owned'])

export interface Recovered {
  readonly sources: readonly SourceRecord[]
  /** `movingOn`: something else has the say over this cell, so that it must not be activated for this arrival. */
  readonly arrivals: readonly { readonly record: DestinationRecord; readonly movingOn: boolean }[]
  /** Cells of which a record could not be read: nothing is done about them. */
  readonly unreadable: ReadonlySet<string>
}

/** Reads the whole journal; removes what is past its age or overtaken, and images on which nothing rests. */
export async function readJournal(ports: MigrationInit): Promise<Recovered> {
  const { journal, clock, onError } = ports
  const unreadable = new Set<string>()
  const records: MigrationRecord[] = []
  for (const [key, bytes] of await journal.list()) {
    try {
      records.push(decodeRecord(bytes))
    } catch (error) {
      unreadable.add(cellOf(key))
      onError(error, `reading the journal record ${key}`)
    }
  }
  const kept: MigrationRecord[] = []
  for (const record of records) {
    const isOld = clock.now() - record.at > RECORD_KEEP_MS && (record.phase === 'refused' || record.phase === 'left')
    if (isOld || (record.kind === 'source' && isOvertaken(record, records))) await journal.remove(keyOf(record))
    else kept.push(record)
  }
  await dropOrphans(ports, kept, unreadable)
  const sources = kept.filter((record) => record.kind === 'source').filter(({ cell }) => !unreadable.has(cell))
  const arrivals = kept
    .filter((record) => record.kind === 'destination')
    .map((record) => ({ record, movingOn: isMovingOn(record, sources, unreadable) }))
  return { sources, arrivals, unreadable }
}

/** The cell came back since: that the record of its leaving could not be cleaned away means nothing now. */
function isOvertaken({ cell, epoch }: SourceRecord, records: readonly MigrationRecord[]): boolean {
  return records.some(
    (other) =>
      other.kind === 'destination' &&
      other.offer.cell === cell &&
      other.offer.epoch > epoch &&
      (other.phase === 'owned' || other.phase === 'active' || other.phase === 'left'),
  )
}

function isMovingOn(
  { offer }: DestinationRecord,
  sources: readonly SourceRecord[],
  unreadable: ReadonlySet<string>,
): boolean {
  return unreadable.has(offer.cell) || sources.some(({ cell, epoch }) => cell === offer.cell && epoch >= offer.epoch)
}

/** Images that no record needs: a crash came between the two, and nothing rests on them. */
async function dropOrphans(
  { images }: MigrationInit,
  records: readonly MigrationRecord[],
  unreadable: ReadonlySet<string>,
): Promise<void> {
  const needed = new Set(records.filter(({ phase }) => NEEDS_IMAGE.has(phase)).map((record) => nameOf(record)))
  for (const name of await images.list())
    if (!needed.has(name) && !unreadable.has(cellOf(name))) await images.drop(name)
}

function keyOf(record: MigrationRecord): string {
  const { cell, attempt } = record.kind === 'source' ? record : record.offer
  return recordKey(record.kind, cell, attempt)
}

function nameOf(record: MigrationRecord): string {
  const { cell, attempt } = record.kind === 'source' ? record : record.offer
  return imageName(record.kind, cell, attempt)
}
