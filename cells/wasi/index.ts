// The door of the cell's WASI.

export type { Content } from './content.ts'
export { type ContentDelta, type ContentLedger, contentDelta } from './contents.ts'
export { ExitStatus, LimitExceeded } from './errors.ts'
export { type FileSource, PIECE_BYTES, PiecePool, type Scratch, StorageError } from './pieces.ts'
export { ReceivedContents } from './received-contents.ts'
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
