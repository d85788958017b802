// Decisions: who may have a cell, what it costs where, and an account of it for people. Pure.
export { candidatesOf, decide } from './decision.ts'
export { exclusionLines, explain } from './explain.ts'
export { Recent } from './recent.ts'
export { type ActualRun, type DecisionRecord, recordOf, withActual, withOutcome } from './record.ts'
export { type ObservedRun, SpecCost, type SpecCostState } from './spec-cost.ts'
export type {
  CellFacts,
  Decision,
  ExcludedPeer,
  MeshFacts,
  PeerFacts,
  Prediction,
  Predictor,
  RankedPeer,
  RecentPlacements,
} from './types.ts'
