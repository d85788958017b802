// Codes of learning.
import type { CodeTable } from '../core/errors.ts'

export type FlErrorCode = 'FL_BACKEND_UNAVAILABLE' | 'FL_TRAINING_FAILED' | 'FL_WEIGHTS_INVALID' | 'FL_SAMPLE_INVALID'

export const FL_ERRORS: CodeTable<FlErrorCode> = {
  FL_BACKEND_UNAVAILABLE: 'No tensor backend could be loaded, or the one that was asked for is not installed.',
  FL_TRAINING_FAILED: 'Training ended without a result; the model is what it was.',
  FL_WEIGHTS_INVALID: 'The weights are of another shape than the model, or not finite.',
  FL_SAMPLE_INVALID: 'A finished run has a time that is not a positive number; it was not kept.',
}
