// Which objects must stay in the store: those that a record of a cell names.
import { type CellManifest, decodeManifest, type Outbox, type SignedManifest } from '../../protocols/placement/index.ts'
import type { CellEntry } from './cell-book.ts'
import { cidsOf } from './submission.ts'

/** By manifest, since a peer with a thousand cells would decode each of them whenever its store is full. */
const known = new WeakMap<SignedManifest, readonly string[]>()

/** What is asked of a hosted cell here. */
interface Hosted {
  readonly manifest: CellManifest
  readonly reporter: { readonly outbox: Outbox }
}

/**
 * Modules, inputs and results of the cells that this peer submitted, those that are over too, since they can be run again and
 * their results asked for; and of the cells that it hosts, until their owner has the result. `awaited` are those of results
 * that are being fetched.
 */
export function namedObjects(
  entries: readonly CellEntry[],
  hosted: readonly Hosted[],
  awaited: readonly string[],
): ReadonlySet<string> {
  const named = new Set(awaited)
  const add = (cids: readonly string[]): void => cids.forEach((cid) => void named.add(cid))
  for (const { record } of entries) {
    add(cidsIn(record.signed))
    add(record.files.map(({ cid }) => cid))
  }
  for (const { manifest, reporter } of hosted) {
    add(cidsOf(manifest))
    for (const { event } of reporter.outbox.entries)
      if (event.kind === 'finished') add(event.files.map(({ cid }) => cid))
  }
  return named
}

function cidsIn(signed: SignedManifest): readonly string[] {
  const cids = known.get(signed) ?? cidsOf(decodeManifest(signed.bytes))
  known.set(signed, cids)
  return cids
}
