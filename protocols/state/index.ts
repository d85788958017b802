// The door of protocols/state.
import { StateService } from './service.ts'
import type { StateInit } from './types.ts'

export { STATE_ERRORS, type StateErrorCode } from './errors.ts'
export { STATE_PROTOCOL } from './protocol.ts'
export type { StateService } from './service.ts'
export type {
  Capacity,
  Free,
  Load,
  MemberStatus,
  MemberView,
  MeshListener,
  MeshView,
  OwnFields,
  StateInit,
  StateRecord,
  StateStatus,
  ZoneSummary,
} from './types.ts'

/** A state service on `network`; nothing is sent before `start()`. */
export function stateService(init: StateInit): StateService {
  return new StateService(init)
}
