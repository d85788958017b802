// Codes of placement: manifests, offers, starts, reports and commands.
import { CodedError, type CodeTable, type Facts } from '../../core/errors.ts'

export type PlacementErrorCode =
  | 'MANIFEST_MALFORMED'
  | 'MANIFEST_FORGED'
  | 'PLACEMENT_FAILED'
  | 'NO_SLOT'
  | 'NO_MEMORY'
  | 'NO_DISK'
  | 'CONSTRAINT'
  | 'STARTING'
  | 'DRAINING'
  | 'NOT_HOST'
  | 'NOT_SUBMITTER'
  | 'OVER_QUOTA'
  | 'RESERVATION_GONE'
  | 'STALE_EPOCH'
  | 'NOT_OWNER'
  | 'CELL_UNKNOWN'
  | 'OUTBOX_MALFORMED'

export const PLACEMENT_ERRORS: CodeTable<PlacementErrorCode> = {
  MANIFEST_MALFORMED:
    'The bytes are not a manifest of a version that this peer knows, or a field is out of its bounds.',
  MANIFEST_FORGED: "The manifest does not carry its owner's signature.",
  PLACEMENT_FAILED: 'No candidate took the cell; the text says what each one answered.',
  NO_SLOT: 'The host runs or has promised as many cells as it may.',
  NO_MEMORY: 'The host has not the memory free that the cell may take.',
  NO_DISK: 'The host has not the disk space free that the cell and its blobs may take.',
  CONSTRAINT: 'The host is not what the manifest asks for: labels, zone, or a peer named in it.',
  STARTING: 'The host is starting or going down: it takes no cells now and cannot say which it has.',
  DRAINING: 'The host takes no new cells because it is about to leave.',
  NOT_HOST: 'The peer does not run cells, or its certificate has not the role host.',
  NOT_SUBMITTER: 'The certificate of the peer that asks has not the role submit: nobody runs its cells.',
  OVER_QUOTA: 'The asking peer holds as many reservations on this host as one peer may.',
  RESERVATION_GONE: 'The reservation expired, was released, or was made for another cell.',
  STALE_EPOCH: 'The cell has been placed or moved under a higher epoch since.',
  NOT_OWNER: 'Only the peer that submitted the cell may start or command it.',
  CELL_UNKNOWN: 'The peer has no cell of this name.',
  OUTBOX_MALFORMED: 'The bytes are not a saved outbox.',
}

/** A failure of this folder. */
export function placementError(
  code: PlacementErrorCode,
  message: string,
  facts: Facts = {},
): CodedError<PlacementErrorCode> {
  return new CodedError(code, message, { facts })
}
