// Codes of the control API and of the cells it speaks of.
import type { CodeTable } from '../../core/errors.ts'

export type ControlErrorCode = 'CONTROL_UNREACHABLE' | 'CONTROL_BAD_REQUEST' | 'CONTROL_NOT_FOUND' | 'CONTROL_FAILED'

export const CONTROL_ERRORS: CodeTable<ControlErrorCode> = {
  CONTROL_UNREACHABLE: 'No peer answers on the control socket: none is running on this home.',
  CONTROL_BAD_REQUEST: 'The control request is not one that the peer understands.',
  CONTROL_NOT_FOUND: 'The peer knows no such thing under this path.',
  CONTROL_FAILED: 'The peer failed in a way it has no code for; its log says more.',
}
