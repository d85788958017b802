// Snapshot format v1, as data: what stands where, how much of it there may be, and why. Knows no memory and no program.
//
// A snapshot is a sequence of parts. Each stands for itself:
//   0   magic "CSKP"                  4 bytes
//   4   format version                u32, little-endian like everything here
//   8   kind, one of `PART`           u32
//   12  length of the part            u32
//   16  header length                 u32
//   20  SHA-256 of everything else    32 bytes
//   52  header, CBOR                  `pagesHeader`, `filesHeader` or `stateHeader`
//   ..  payload, raw or one zstd frame
// Payloads: pages: page index | page data. files: a `ContentDelta`, CBOR.
//           state, rehearsal: globals | frames | wasi | page index | page data.
import { boolean, bytes, type Infer, integer, list, number, object, text } from '../../core/shape.ts'
import { MAX_MEMORIES } from '../instrument/abi.ts'

export const SNAPSHOT_FORMAT = 1
export const MAGIC = 0x504b5343
export const HASH_AT = 20
export const HASH_BYTES = 32
export const HEADER_AT = HASH_AT + HASH_BYTES

/** Later parts win over earlier ones; exactly one `state`, the last, makes the program resumable. */
export const PART = {
  pages: 1,
  files: 2,
  /** As a state, but only to be read, so that nothing is done for the first time when it matters. */
  rehearsal: 3,
  state: 4,
} as const

export type PartKind = keyof typeof PART

/** Guest pages are diffed at this size: the usual page of the hosts, so a write touches few bytes too many. */
export const PAGE_BYTES = 4096
/** A page of linear memory, by the WebAssembly specification. */
export const WASM_PAGE_BYTES = 65536
/** Wasm32 addresses 4 GiB. */
export const MAX_WASM_PAGES = 65536
/** The header is a dozen numbers and a few hashes: 400 bytes in practice. */
export const MAX_HEADER_BYTES = 4096
/** Mutable globals, 1 MiB at most, and tables, of a million entries of 4 bytes at most: what the instrumenter takes. */
export const MAX_GLOBALS_BYTES = 8 << 20
/** Saved frames: what the instrumenter's driver lets out, `MAX_FRAME_BYTES` there. */
export const MAX_FRAMES_BYTES = 64 << 20
/** Pages are numbered through all memories: those of the next one begin where those of a full one would end. */
export const MEMORY_PAGES = (MAX_WASM_PAGES * WASM_PAGE_BYTES) / PAGE_BYTES
/** A page run in the index: first page, count with the kind in its top bit. */
export const RUN_BYTES = 8
/** Payload of a part of pages: what a sender takes in one slice, several times over. */
export const MAX_PAGES_PAYLOAD_BYTES = 16 << 20
/** Payload of a part of files, which holds at least one piece of one file. */
export const MAX_FILES_PAYLOAD_BYTES = 16 << 20

/** The memories together have no more than one may have. */
const MAX_PAGES = MEMORY_PAGES

const pageCounts = { runs: integer(0, MAX_PAGES), dataPages: integer(0, MAX_PAGES), zstd: boolean } as const

export const pagesHeader = object(pageCounts)

export const filesHeader = object({ bytes: integer(0, MAX_FILES_PAYLOAD_BYTES), zstd: boolean })

const usage = object({
  busyMs: number(0),
  wallMs: number(0),
  fuel: integer(),
  stdoutBytes: integer(),
  stderrBytes: integer(),
})

/** What a reader must know before it decompresses anything. */
export const stateHeader = object({
  /** SHA-256 of the untouched module. */
  module: bytes(32, 32),
  /** Version of the instrumenter that laid out the frames. */
  instrumenter: text(64),
  /** Hash over the frame layout of the instrumented module. */
  layout: text(128),
  /** How many parts come before this one, and the chain of their hashes: `chained`. */
  parts: integer(),
  chain: bytes(HASH_BYTES, HASH_BYTES),
  /** Of each memory. */
  memoryPages: list(integer(0, MAX_WASM_PAGES), MAX_MEMORIES),
  globalsBytes: integer(0, MAX_GLOBALS_BYTES),
  framesBytes: integer(0, MAX_FRAMES_BYTES),
  wasiBytes: integer(0, 2 ** 32),
  ...pageCounts,
  usage,
})

export type PagesHeader = Infer<typeof pagesHeader>
export type FilesHeader = Infer<typeof filesHeader>
export type StateHeader = Infer<typeof stateHeader>

/** What a cell had used when it was suspended; it goes on from there. */
export type SnapshotUsage = Infer<typeof usage>

/** Bytes of index and data once decompressed. */
export function pagesBytes(header: { readonly runs: number; readonly dataPages: number }): number {
  return header.runs * RUN_BYTES + header.dataPages * PAGE_BYTES
}

/** Bytes of a state's payload once decompressed. */
export function stateBytes(header: StateHeader): number {
  return header.globalsBytes + header.framesBytes + header.wasiBytes + pagesBytes(header)
}
