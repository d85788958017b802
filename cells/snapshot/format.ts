// Snapshot format v1, as data: what stands where, how much of it there may be, and why. Knows no memory and no program.
//
//   0   magic "CSKS"                  4 bytes
//   4   format version                u32, little-endian like everything here
//   8   SHA-256 of everything below   32 bytes
//   40  header length                 u32
//   44  header, CBOR                  `snapshotHeader`
//   ..  payload, one zstd frame:      globals | frames | wasi | page index | page data
import { bytes, type Infer, integer, number, object, text } from '../../core/shape.ts'

export const SNAPSHOT_FORMAT = 1
export const MAGIC = 0x534b5343
export const HASH_AT = 8
export const BODY_AT = 40
export const HEADER_AT = 44

/** Guest pages are diffed at this size: the usual page of the hosts, so a write touches few bytes too many. */
export const PAGE_BYTES = 4096
/** A page of linear memory, by the WebAssembly specification. */
export const WASM_PAGE_BYTES = 65536
/** Wasm32 addresses 4 GiB. */
export const MAX_WASM_PAGES = 65536
/** The header is a dozen numbers and two hashes: 300 bytes in practice. */
export const MAX_HEADER_BYTES = 4096
/** Mutable globals, a handful, and tables, of a million entries of 4 bytes at most. */
export const MAX_GLOBALS_BYTES = 8 << 20
/** Saved frames: as deep as the engine's own stack of about 1 MiB allows, several times over. */
export const MAX_FRAMES_BYTES = 64 << 20
/** A page run in the index: first page, count with the kind in its top bit. */
export const RUN_BYTES = 8

const usage = object({
  busyMs: number(0),
  wallMs: number(0),
  fuel: integer(),
  stdoutBytes: integer(),
  stderrBytes: integer(),
})

/** What a reader must know before it decompresses anything. */
export const snapshotHeader = object({
  /** SHA-256 of the untouched module. */
  module: bytes(32, 32),
  /** Version of the instrumenter that laid out the frames. */
  instrumenter: text(64),
  /** Hash over the frame layout of the instrumented module. */
  layout: text(128),
  memoryPages: integer(0, MAX_WASM_PAGES),
  globalsBytes: integer(0, MAX_GLOBALS_BYTES),
  framesBytes: integer(0, MAX_FRAMES_BYTES),
  wasiBytes: integer(0, 2 ** 32),
  runs: integer(0, (MAX_WASM_PAGES * WASM_PAGE_BYTES) / PAGE_BYTES),
  dataPages: integer(0, (MAX_WASM_PAGES * WASM_PAGE_BYTES) / PAGE_BYTES),
  usage,
})

export type SnapshotHeader = Infer<typeof snapshotHeader>

/** What a cell had used when it was suspended; it goes on from there. */
export type SnapshotUsage = Infer<typeof usage>

/** Bytes of the payload once decompressed. */
export function payloadBytes(header: SnapshotHeader): number {
  return (
    header.globalsBytes +
    header.framesBytes +
    header.wasiBytes +
    header.runs * RUN_BYTES +
    header.dataPages * PAGE_BYTES
  )
}
