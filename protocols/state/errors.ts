// Codes of the state protocol.
import type { CodeTable } from '../../core/errors.ts'

export type StateErrorCode =
  | 'STATE_RECORD_MALFORMED'
  | 'STATE_RECORD_FORGED'
  | 'STATE_RECORD_INVALID'
  | 'STATE_CLAIM_FORGED'

export const STATE_ERRORS: CodeTable<StateErrorCode> = {
  STATE_RECORD_MALFORMED: 'The bytes are not a state record, or are longer than one may be; nothing of them was kept.',
  STATE_RECORD_FORGED: 'A state record is not signed by the peer it speaks of; nothing of it was kept.',
  STATE_RECORD_INVALID: 'A field published about this peer is out of its bounds; the earlier record stays in force.',
  STATE_CLAIM_FORGED: 'A suspicion is not signed by the peer that is said to have it; nothing of it was kept.',
}
