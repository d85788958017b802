// An offer and an image for the tests of migration.
import { cut } from '../../../protocols/migration/image.ts'
import type { ChunkMessage } from '../../../protocols/migration/messages.ts'
import type { CellImage, MoveOffer } from '../../../protocols/migration/types.ts'

export const OFFER: MoveOffer = {
  cell: 'c0ffee',
  attempt: '000102030405060708090a0b0c0d0e0f',
  epoch: 2,
  module: 'ab'.repeat(32),
  moduleBytes: 1000,
  manifest: new Uint8Array([1, 2, 3]),
  signature: new Uint8Array([4, 5]),
  reservation: 'r1',
  snapshotBytes: 300_000,
}

export const IMAGE: CellImage = {
  snapshot: Uint8Array.from({ length: 300_000 }, (_, i) => i % 251),
  context: new Uint8Array([7, 8, 9]),
}

export function chunksOf(image: CellImage): ChunkMessage[] {
  return [...cut(image)]
}
