// Codes of the peer's dealings with cells, at both ends.
import type { CodeTable } from '../../core/errors.ts'

export type CellsErrorCode =
  | 'BLOB_UNKNOWN'
  | 'CELL_AMBIGUOUS'
  | 'CELL_LOST'
  | 'CELL_NOT_RUNNING'
  | 'CELL_STDIN_ELSEWHERE'
  | 'CELL_FILE_UNKNOWN'
  | 'CELL_RECORD_CORRUPT'
  | 'CELL_TOO_MANY_RESULTS'
  | 'PEER_UNKNOWN'
  | 'PEER_AMBIGUOUS'

export const CELLS_ERRORS: CodeTable<CellsErrorCode> = {
  BLOB_UNKNOWN: 'The request names an object that was not uploaded to this peer.',
  CELL_AMBIGUOUS: 'More than one cell begins with these digits.',
  CELL_LOST: 'The peer that ran the cell died or went; the cell can be run again with "rerun".',
  CELL_NOT_RUNNING: 'The cell is in a phase in which this cannot be done with it.',
  CELL_STDIN_ELSEWHERE: 'Somebody else has attached to the cell since: what it reads comes from there.',
  CELL_FILE_UNKNOWN: 'The cell has no such file (any more).',
  CELL_RECORD_CORRUPT: 'A record of a cell in the home cannot be read.',
  CELL_TOO_MANY_RESULTS:
    'The program left more files than a cell may, or too many under long paths: name those that are wanted.',
  PEER_UNKNOWN: 'The mesh knows no peer of this id or name.',
  PEER_AMBIGUOUS: 'More than one peer has this name or end of its id.',
}
