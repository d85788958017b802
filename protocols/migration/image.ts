// An image in pieces: cutting, checking piece by piece, putting parts together. Pure; every byte is hashed once at each end.
import { concat, equal, hex, sha256, utf8 } from '../../core/bytes.ts'
import { CodedError } from '../../core/errors.ts'
import type { MigrationErrorCode } from './errors.ts'
import type { PieceMessage } from './messages.ts'
import { CHUNK_BYTES, MAX_CONTEXT_BYTES, MAX_PART_BYTES, PIECE_OVERHEAD_BYTES } from './protocol.ts'
import type { ImagePiece } from './types.ts'

/** What all pieces so far hash to: each link is the SHA-256 of the one before it and of a piece's place, kind and hash. */
export interface Chain {
  readonly count: number
  /** Bytes of the pieces, and a little for each. */
  readonly bytes: number
  readonly link: Uint8Array
}

export function beginChain(): Chain {
  return { count: 0, bytes: 0, link: sha256(utf8('cloudskin-image-v1\n')) }
}

/** The chain after one piece more. */
export function linked(chain: Chain, piece: Omit<PieceMessage, 'kind' | 'index'>): Chain {
  const { of, more, bytes } = piece
  const place = utf8(`${chain.count} ${of} ${more ? 'more' : 'end'} ${bytes.length}\n`)
  return {
    count: chain.count + 1,
    bytes: chain.bytes + bytes.length + PIECE_OVERHEAD_BYTES,
    link: sha256(chain.link, place, piece.sha256),
  }
}

/** Hex root of an image: over the hashes of all its pieces, in order, and what each of them is. */
export function rootOf(chain: Chain): string {
  return hex(chain.link)
}

/** Bytes in pieces of at most `CHUNK_BYTES`; no bytes, no piece. Views, not copies. */
export function* cut(bytes: Uint8Array): Generator<ImagePiece> {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
    yield { bytes: bytes.subarray(at, at + CHUNK_BYTES), more: at + CHUNK_BYTES < bytes.length }
}

/** The next message after `chain`, and the chain with it. */
export function pieceMessage(
  chain: Chain,
  of: PieceMessage['of'],
  { bytes, more }: ImagePiece,
): { readonly message: PieceMessage; readonly chain: Chain } {
  const message: PieceMessage = { kind: 'piece', index: chain.count, of, more, sha256: sha256(bytes), bytes }
  return { message, chain: linked(chain, message) }
}

/** What has come so far. Memory grows with what came, never with what was announced, and a whole part is given away. */
export interface Receipt {
  readonly chain: Chain
  /** Pieces of a part that goes on. */
  readonly begun: readonly Uint8Array[]
  readonly begunBytes: number
  /** After the last part: pieces of the context, and whether the last of them came. */
  readonly context: readonly Uint8Array[]
  readonly contextBytes: number
  readonly contextEnded: boolean
}

export function beginReceipt(): Receipt {
  return { chain: beginChain(), begun: [], begunBytes: 0, context: [], contextBytes: 0, contextEnded: false }
}

/** Takes the next piece, and gives the part that it ends, if it ends one; or throws `MIGRATION_IMAGE_MISMATCH`. */
export function takePiece(
  receipt: Receipt,
  piece: PieceMessage,
): { readonly receipt: Receipt; readonly part?: Uint8Array } {
  const { index, of, more, bytes } = piece
  if (index !== receipt.chain.count) throw mismatch(`piece ${index} came where piece ${receipt.chain.count} was due`)
  if (!equal(sha256(bytes), piece.sha256)) throw mismatch(`piece ${index} is not what its hash says`)
  // As `cut` makes them: the number of pieces is bounded by their bytes, and with it what a list of them costs.
  if (more && bytes.length !== CHUNK_BYTES) throw mismatch(`piece ${index} is short and not the last of its part`)
  if (receipt.contextEnded) throw mismatch('something came after the context')
  const chain = linked(receipt.chain, piece)
  if (of === 'context') {
    if (receipt.begun.length > 0) throw mismatch('the context began in the middle of a part')
    const contextBytes = receipt.contextBytes + bytes.length
    if (contextBytes > MAX_CONTEXT_BYTES) throw mismatch(`more than ${MAX_CONTEXT_BYTES} bytes of context came`)
    return { receipt: { ...receipt, chain, context: [...receipt.context, bytes], contextBytes, contextEnded: !more } }
  }
  if (receipt.context.length > 0) throw mismatch('a part came after the context')
  const begunBytes = receipt.begunBytes + bytes.length
  if (begunBytes > MAX_PART_BYTES) throw mismatch(`a part of more than ${MAX_PART_BYTES} bytes came`)
  const begun = [...receipt.begun, bytes]
  if (more) return { receipt: { ...receipt, chain, begun, begunBytes } }
  return { receipt: { ...receipt, chain, begun: [], begunBytes: 0 }, part: joined(begun) }
}

/** The context of an image that is whole, or `MIGRATION_IMAGE_MISMATCH` when it is not, or `root` is not its root. */
export function finishReceipt(receipt: Receipt, root: string): Uint8Array {
  if (receipt.begun.length > 0) throw mismatch('its last part has no end')
  if (receipt.context.length > 0 && !receipt.contextEnded) throw mismatch('its context has no end')
  if (rootOf(receipt.chain) !== root) throw mismatch('the pieces are not those that the root names')
  return joined(receipt.context)
}

/** Puts pieces together without a copy where there is only one. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const [only, ...others] = pieces
  return only !== undefined && others.length === 0 ? only : concat(pieces)
}

function mismatch(what: string): CodedError<MigrationErrorCode> {
  return new CodedError('MIGRATION_IMAGE_MISMATCH', `the snapshot did not arrive whole: ${what}; move the cell again`)
}
