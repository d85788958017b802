// The door of cells/: the engine, and the names its users need.
import { ProcessCellEngine } from './runtime/engine.ts'
import type { CellEngine, CellEngineInit } from './types.ts'

/** An engine that runs cells in child processes, one per owner. Call `start` before anything else. */
export function cellEngine(init: CellEngineInit = {}): CellEngine {
  return new ProcessCellEngine(init)
}

export { type Calibration, calibrate } from './calibrate/calibrate.ts'
export { CELL_ERRORS, type CellErrorCode } from './errors.ts'
export { FEATURE_CLASSES } from './instrument/facts.ts'
export { type Wall, wallsOf } from './runtime/walls.ts'
export type {
  ArrivingCell,
  CellEngine,
  CellEngineInit,
  CellEvents,
  CellExit,
  CellFile,
  CellHandle,
  CellLimits,
  CellMode,
  CellProgram,
  CellSnapshot,
  CellUsage,
  EngineName,
  LargeFile,
  LiveCopy,
  ModuleFacts,
  OutputStream,
  Resumed,
  StdinPiece,
  StdinTaken,
  StoppedCopy,
} from './types.ts'
