// The door of protocols/migration.
import { MigrationService } from './service.ts'
import type { Migration, MigrationInit } from './types.ts'

export { MIGRATION_ERRORS, type MigrationErrorCode } from './errors.ts'
export { MIGRATE, RESOLVE } from './protocol.ts'
export type {
  CellCopy,
  CellDescription,
  CellFate,
  Deadlines,
  DestinationPort,
  ImagePiece,
  ImageStore,
  KeptImage,
  MigrateInit,
  Migration,
  MigrationFigures,
  MigrationInit,
  MigrationJournal,
  MigrationResult,
  MoveOffer,
  MoveStatus,
  OpenImage,
  PreparedCell,
  ResolvedMove,
  SourcePort,
  StartedCell,
  StoppedCell,
  StoredImage,
} from './types.ts'

/** A migration service that moves nothing before it is started. */
export function migration(init: MigrationInit): Migration {
  return new MigrationService(init)
}
