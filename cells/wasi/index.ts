// The door of the cell's WASI.
export { ExitStatus, LimitExceeded } from './errors.ts'
export type { WasiState } from './state.ts'
export { wasiState } from './state.ts'
export {
  BLOCK_AGAIN,
  type WasiHost,
  type WasiImports,
  type WasiInit,
  type WasiLimits,
  type WasiSurroundings,
} from './types.ts'
export { Wasi } from './wasi.ts'
