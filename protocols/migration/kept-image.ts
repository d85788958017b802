// An image as it is read back: its parts put together again, and checked against the root that the journal names.
import { sha256 } from '../../core/bytes.ts'
import { CodedError } from '../../core/errors.ts'
import type { MigrationErrorCode } from './errors.ts'
import { beginChain, cut, joined, linked, rootOf } from './image.ts'
import type { KeptImage, StoredImage } from './types.ts'

export function keptImage(image: StoredImage, root: string, cell: string): KeptImage {
  return { context: image.context, parts: () => partsOf(image, root, cell) }
}

async function* partsOf(image: StoredImage, root: string, cell: string): AsyncGenerator<Uint8Array> {
  let chain = beginChain()
  let begun: Uint8Array[] = []
  for await (const { bytes, more } of image.pieces()) {
    chain = linked(chain, { of: 'part', more, bytes, sha256: sha256(bytes) })
    begun.push(bytes)
    if (more) continue
    yield joined(begun)
    begun = []
  }
  for (const { bytes, more } of cut(image.context))
    chain = linked(chain, { of: 'context', more, bytes, sha256: sha256(bytes) })
  if (begun.length > 0 || rootOf(chain) !== root) throw imageLost(cell, 'damaged')
}

export function imageLost(cell: string, how: 'gone' | 'damaged'): CodedError<MigrationErrorCode> {
  return new CodedError('MIGRATION_IMAGE_LOST', `the kept snapshot of cell ${cell} is ${how}; run the cell again`, {
    facts: { cell },
  })
}
