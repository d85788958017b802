// Codes of migration.
import type { CodeTable } from '../../core/errors.ts'

export type MigrationErrorCode =
  | 'MIGRATION_BUSY'
  | 'MIGRATION_IN_DOUBT'
  | 'MIGRATION_NOT_IN_DOUBT'
  | 'MIGRATION_TOO_LARGE'
  | 'MIGRATION_IMAGE_MISMATCH'
  | 'MIGRATION_IMAGE_LOST'
  | 'MIGRATION_JOURNAL_CORRUPT'
  | 'MIGRATION_JOURNAL_FAILED'
  | 'MIGRATION_RESUME_FAILED'
  | 'MIGRATION_NOT_STARTED'

export const MIGRATION_ERRORS: CodeTable<MigrationErrorCode> = {
  MIGRATION_BUSY: 'The cell is already moving, or this peer takes in as many cells as it can; try again later.',
  MIGRATION_IN_DOUBT: 'An earlier move of this cell has no decided end; wait for the destination, or decide it.',
  MIGRATION_NOT_IN_DOUBT: 'No move of this cell waits for a decision.',
  MIGRATION_TOO_LARGE: 'The snapshot or its context is larger than this peer takes in.',
  MIGRATION_IMAGE_MISMATCH: 'A piece of the snapshot is missing, out of order, or not what its hash says.',
  MIGRATION_IMAGE_LOST: 'The kept snapshot cannot be read back, or is not the one that was journalled.',
  MIGRATION_JOURNAL_CORRUPT: 'A journal record cannot be read; its cell is not touched until the owner decides.',
  MIGRATION_JOURNAL_FAILED: 'A journal record could not be written; it is tried again, and the other end waits.',
  MIGRATION_RESUME_FAILED: 'The cell could not be resumed here; its snapshot is kept and it is tried again.',
  MIGRATION_NOT_STARTED: 'The migration service is not running.',
}
