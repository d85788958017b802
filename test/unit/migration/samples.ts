// An offer and an image for the tests of migration.
import { beginChain, cut, pieceMessage, rootOf } from '../../../protocols/migration/image.ts'
import type { PieceMessage } from '../../../protocols/migration/messages.ts'
import type { MoveOffer } from '../../../protocols/migration/types.ts'

export const OFFER: MoveOffer = {
  cell: 'c0ffee',
  attempt: '000102030405060708090a0b0c0d0e0f',
  epoch: 2,
  module: 'ab'.repeat(32),
  moduleBytes: 1000,
  manifest: new Uint8Array([1, 2, 3]),
  signature: new Uint8Array([4, 5]),
  reservation: 'r1',
  memoryBytes: 300_000,
}

export interface Image {
  readonly parts: readonly Uint8Array[]
  readonly context: Uint8Array
}

/** Two parts, the first of two pieces, and a little context. */
export const IMAGE: Image = {
  parts: [Uint8Array.from({ length: 300_000 }, (_, i) => i % 251), Uint8Array.from({ length: 300 }, (_, i) => i % 7)],
  context: new Uint8Array([7, 8, 9]),
}

/** The image as it travels, and its root. */
export function sent({ parts, context }: Image): { readonly pieces: readonly PieceMessage[]; readonly root: string } {
  let chain = beginChain()
  const pieces: PieceMessage[] = []
  for (const [of, bytes] of [...parts.map((part) => ['part', part] as const), ['context', context] as const])
    for (const piece of cut(bytes)) {
      const next = pieceMessage(chain, of, piece)
      chain = next.chain
      pieces.push(next.message)
    }
  return { pieces, root: rootOf(chain) }
}
