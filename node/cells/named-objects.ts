// Which objects must stay in the store: those that a record of a cell names.
import { type CellManifest, decodeManifest, type Outbox } from '../../protocols/placement/index.ts'
import type { CellEntry } from './cell-book.ts'
import { cidsOf } from './submission.ts'

/** What is asked of a hosted cell here. */
interface Hosted {
  readonly manifest: CellManifest
  readonly reporter: { readonly outbox: Outbox }
}

/**
 * Modules, inputs and results of the cells that this peer submitted, those that are over too, since they can be run again and
 * their results asked for; and of the cells that it hosts, until their owner has the result.
 */
export function namedObjects(entries: readonly CellEntry[], hosted: readonly Hosted[]): ReadonlySet<string> {
  const named = new Set<string>()
  const add = (cids: readonly string[]): void => cids.forEach((cid) => void named.add(cid))
  for (const { record } of entries) {
    add(cidsOf(decodeManifest(record.signed.bytes)))
    add(record.files.map(({ cid }) => cid))
  }
  for (const { manifest, reporter } of hosted) {
    add(cidsOf(manifest))
    for (const { event } of reporter.outbox.entries)
      if (event.kind === 'finished') add(event.files.map(({ cid }) => cid))
  }
  return named
}
