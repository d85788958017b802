// Codes of the command line.
import type { CodeTable } from '../../core/errors.ts'

export type CliErrorCode =
  | 'USAGE'
  | 'FILE_UNREADABLE'
  | 'FILE_UNWRITABLE'
  | 'STDIN_LOST'
  | 'PEER_DID_NOT_START'
  | 'PEER_DID_NOT_STOP'

export const CLI_ERRORS: CodeTable<CliErrorCode> = {
  USAGE: 'The command line is not one that the verb understands.',
  FILE_UNREADABLE: 'A local file that was named on the command line cannot be read.',
  FILE_UNWRITABLE: 'A local file that was named on the command line cannot be written.',
  STDIN_LOST: 'The cell went on from an earlier state, without standard input that it had been given since.',
  PEER_DID_NOT_START: 'The peer that was to run in the background ended before it was ready, or was not ready in time.',
  PEER_DID_NOT_STOP: 'The peer that was told to stop still runs.',
}
