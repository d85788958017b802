// Placement: the signed manifest, offers and starts, reports to the authority, commands to the host.
import { PlacementService } from './service.ts'
import type { Placement, PlacementInit } from './types.ts'

export { type PlacementErrorCode, placementError } from './errors.ts'
export type { CellEvent, Entry, OutputStream, ReportAck, ReportBatch, ResultFile } from './events.ts'
export { adopt, close, expectFrom, expectMove, type Inbox, type Taken, take, type Verdict } from './inbox.ts'
export {
  type BlobRef,
  type CellConstraints,
  type CellManifest,
  cellIdOf,
  decodeManifest,
  type InputFile,
  inputBytesOf,
  MAX_MANIFEST_BYTES,
  openManifest,
  type SignedManifest,
  signManifest,
} from './manifest.ts'
export { type Ask, askOf, type Bid, type Command, type CommandResult, type Room } from './messages.ts'
export type { Candidate, CandidateOutcome, CandidateReport, NegotiationOutcome } from './negotiation-types.ts'
export {
  append as appendEvent,
  emptyOutbox,
  encodeOutbox,
  type Outbox,
  restoreOutbox,
  succeed,
} from './outbox.ts'
export { MAX_RESULT_FILES, MAX_STDIN_PIECE_BYTES } from './protocol.ts'
export type {
  Attempt,
  AuthorityPort,
  BidTerms,
  Claim,
  HostPort,
  HostStart,
  Placement,
  PlacementInit,
  PlacePlan,
  Reporter,
  ReporterInit,
  StartPlan,
} from './types.ts'

/** A placement service that does nothing until it is started. */
export function placement(init: PlacementInit): Placement {
  return new PlacementService(init)
}
