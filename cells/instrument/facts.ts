// What can be said of a module before anything runs: the input of placement and of the predictor.
import type { ModuleFacts } from '../types.ts'

/** Names of the columns of `ModuleFacts.opcodeFeatures`. Append only: models are trained on the order. */
export const FEATURE_CLASSES: readonly string[] = [
  'i32-arith',
  'i32-muldiv',
  'i64-arith',
  'i64-muldiv',
  'f32',
  'f64',
  'load-8-16',
  'load-32',
  'load-64',
  'store',
  'call',
  'call-indirect',
  'branch',
  'branch-table',
  'loop',
  'local',
  'global',
  'const',
  'conversion',
  'comparison',
  'select',
  'simd',
  'bulk-memory',
  'memory-grow',
]

/** Validates; throws the refusals of `instrument` but for `CELL_MEMORY_LIMIT`. */
export function inspectModule(_module: Uint8Array): ModuleFacts {
  throw new Error('not yet')
}
