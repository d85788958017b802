// Codes of the kit: what can go wrong below every protocol.
import type { CodeTable } from '../../core/errors.ts'

export type KitErrorCode =
  | 'PEER_UNREACHABLE'
  | 'PROTOCOL_UNSUPPORTED'
  | 'NOT_ADMITTED'
  | 'STREAM_RESET'
  | 'STREAM_TIMEOUT'
  | 'STREAM_ENDED'
  | 'MESSAGE_TOO_LARGE'
  | 'MESSAGE_MALFORMED'
  | 'REMOTE_BUSY'
  | 'REMOTE_REFUSED'
  | 'REMOTE_FAILED'

export const KIT_ERRORS: CodeTable<KitErrorCode> = {
  PEER_UNREACHABLE: 'No connection to the peer could be opened at any known address.',
  PROTOCOL_UNSUPPORTED: 'The peer answers, but speaks no version of this protocol that we speak.',
  NOT_ADMITTED: 'One side has not shown the other a valid membership certificate.',
  STREAM_RESET: 'The remote or the transport tore the stream down in mid-use.',
  STREAM_TIMEOUT: 'No message came within the time that the protocol allows.',
  STREAM_ENDED: 'The remote closed the stream where another message was due.',
  MESSAGE_TOO_LARGE: 'A message is longer than the protocol allows; nothing of it was kept.',
  MESSAGE_MALFORMED: 'The bytes are not a message of this protocol.',
  REMOTE_BUSY: 'The remote refused because of its quota; try again later.',
  REMOTE_REFUSED: 'The remote understood the request and will not do it; the text says why.',
  REMOTE_FAILED: 'The remote failed while doing what was asked; the text says how.',
}
