// The door of protocols/federated.
import { FederatedService } from './service.ts'
import type { FederatedInit } from './types.ts'

export { FEDERATED_ERRORS, type FederatedErrorCode } from './errors.ts'
export { FL_COMMIT, FL_MODEL, FL_READY, FL_UPDATE, MAX_GROUP } from './protocol.ts'
export type { FederatedService } from './service.ts'
export type {
  FederatedInit,
  FederatedStatus,
  Lineage,
  Participant,
  RoundDeadlines,
  RoundRecord,
  TaskDescriptor,
} from './types.ts'

/** Rounds on `network`; nothing is sent before `start()`. */
export function federatedService(init: FederatedInit): FederatedService {
  return new FederatedService(init)
}
