// The door of fl. Importing it loads no tensor library: training does, in a process of its own.
export type { BackendName } from './backend.ts'
export type { Verdict } from './decider.ts'
export { FL_ERRORS, type FlErrorCode } from './errors.ts'
export {
  argumentFeatures,
  CALIBRATION_KERNELS,
  type CellFeatures,
  OPCODE_CLASSES,
  type PeerFeatures,
} from './features.ts'
export {
  type Evaluation,
  type ModelLineage,
  type ModelStore,
  PlacementModel,
  type PlacementModelInit,
  type StoredModel,
} from './placement-model.ts'
export { MAX_SAMPLES, memorySampleStore, type Run, type Sample, type SampleStore } from './samples.ts'
