// Tensors on a stream: pieces of bounded size, a known length, nothing kept beyond it.
import { CodedError } from '../../core/errors.ts'
import type { KitErrorCode } from '../kit/errors.ts'
import type { MessageStream } from '../kit/types.ts'
import { CHUNK_BYTES } from './protocol.ts'

export async function sendPieces(
  stream: MessageStream,
  bytes: Uint8Array,
  init: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) await stream.send(bytes.subarray(at, at + CHUNK_BYTES), init)
}

/** Exactly `length` bytes, which the caller has bounded. Rejects with `STREAM_ENDED`, or `MESSAGE_MALFORMED` for more. */
export async function receivePieces(
  stream: MessageStream,
  length: number,
  init: { readonly signal?: AbortSignal } = {},
): Promise<Uint8Array> {
  const out = new Uint8Array(length)
  let at = 0
  while (at < length) {
    const piece = await stream.receive(init)
    if (piece === undefined)
      throw new CodedError<KitErrorCode>('STREAM_ENDED', `${stream.peer} sent ${at} of ${length} bytes and closed`)
    if (piece.length === 0 || piece.length > length - at)
      throw new CodedError<KitErrorCode>(
        'MESSAGE_MALFORMED',
        `${stream.peer} sent a piece that does not fit ${length} bytes`,
      )
    out.set(piece, at)
    at += piece.length
  }
  return out
}
