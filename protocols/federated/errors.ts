// Codes of federated rounds: why a message was refused, and why a round came to nothing.
import type { CodeTable } from '../../core/errors.ts'

export type FederatedErrorCode =
  | 'ROUND_OTHER_TASK'
  | 'ROUND_OTHER_PARENT'
  | 'ROUND_NONE'
  | 'ROUND_STALE'
  | 'ROUND_CLOSED'
  | 'ROUND_FULL'
  | 'ROUND_RUNNING'
  | 'ROUND_BEHIND'
  | 'ROUND_TOO_FEW'
  | 'ROUND_TRAINING_FAILED'
  | 'ROUND_ADOPT_FAILED'
  | 'ROUND_ABORTED'
  | 'UPDATE_WRONG_SHAPE'
  | 'UPDATE_NOT_FINITE'
  | 'UPDATE_BAD_HASH'
  | 'UPDATE_DUPLICATE'
  | 'MODEL_UNKNOWN'
  | 'MODEL_BAD_HASH'

export const FEDERATED_ERRORS: CodeTable<FederatedErrorCode> = {
  ROUND_OTHER_TASK: 'The message is for a task, or a variant of this task, that this peer does not train.',
  ROUND_OTHER_PARENT: 'The message is for a round from another version than the one this peer trains from.',
  ROUND_NONE: 'The message is for a round in which this peer takes no part.',
  ROUND_STALE: 'The message is from an earlier attempt at this round.',
  ROUND_CLOSED: 'The message came after the step of the round that it belongs to.',
  ROUND_FULL: 'The group of this round has its full number of members.',
  ROUND_RUNNING: 'This peer is already in a round; it ends by its deadline.',
  ROUND_BEHIND: 'Another member holds a later version; it is fetched first.',
  ROUND_TOO_FEW: 'Fewer members than the quorum were there, or agreed; everybody keeps its version.',
  ROUND_TRAINING_FAILED: 'Local training failed or was too slow; this peer has no part in the sum.',
  ROUND_ADOPT_FAILED:
    'The agreed version could not be stored here; this peer keeps the old one until it fetches the new.',
  ROUND_ABORTED: 'The round was given up on this peer, because the peer stops.',
  UPDATE_WRONG_SHAPE: 'The update has another number of parameters than the task.',
  UPDATE_NOT_FINITE: 'The update contains NaN, an infinity, or a number no training step can give.',
  UPDATE_BAD_HASH: 'The bytes of the update are not those that its header names.',
  UPDATE_DUPLICATE: 'The member has already sent another update in this round; the first one counts.',
  MODEL_UNKNOWN: 'The peer that was asked no longer holds this version.',
  MODEL_BAD_HASH: 'The weights that came are not the version that was announced.',
}
