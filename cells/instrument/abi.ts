// What an instrumented module and the driver agree on: names, constants, the shape of the extra imports and exports.

/** Part of every cache key and snapshot header: bump it whenever the same input would give other bytes. */
export const INSTRUMENTER_VERSION = '5'

/** Names that the instrumented module adds, and the contract of each. The guest's own exports stay as they are. */
export const ABI = {
  /** `() -> i32`, imported: called when fuel ran out. Answers the next fuel (>= 0), or -1 to unwind. */
  pollModule: 'cell',
  pollName: 'poll',
  /** Imported by the tracking build from the same module: guest memories are `memory0` …, and the memory of frames. */
  guestMemory: 'memory',
  frameMemory: 'frames',
  /** `(funcref) -> i32`, imported where references are kept in frames or globals: its position in `functions`. */
  referenceName: 'reference',
  /** Reserved: a guest that exports such a name is refused. */
  prefix: '__cell_',
  /** `() -> i32`: starts the program; 0 when it returned, 1 when it was unwound. */
  run: '__cell_run',
  /** `() -> i32`: goes on with the frames below `top`, the deepest first; answers as `run`. */
  rewind: '__cell_rewind',
  /** Memory that holds the frames of a suspended program, deepest last, from `FRAME_BASE` to `top`. */
  frames: '__cell_frames',
  /** Mutable i32: end of the frames. */
  top: '__cell_top',
  /** Mutable i32: polls left before `poll` is called. */
  fuel: '__cell_fuel',
  /** `() -> i32`: writes every mutable guest global at `top`, answers the byte count. */
  saveGlobals: '__cell_save_globals',
  /** `() -> ()`: reads them back from `top`. */
  loadGlobals: '__cell_load_globals',
  /** `() -> ()`, where the guest handles exceptions: traps. What the host throws must not be caught by the guest. */
  trap: '__cell_trap',
  /** Mutable i32: why it trapped, one of `FAULT`; zero for the guest's own traps. */
  fault: '__cell_fault',
  /** Table of every function that a reference may name, null first; where the module has state with references. */
  functions: '__cell_functions',
  /** With a number behind it: each of the guest's tables that change at run time, from 0 on. */
  table: '__cell_table_',
  /** The guest's linear memories under names that do not depend on the guest: see `memoryName`. */
  memory: '__cell_memory',
  /** Of the tracking build: a byte per page of guest memory, not zero when it was written to. */
  dirty: '__cell_dirty',
} as const

/** Under which the guest's memory `index` is exported. */
export function memoryName(index: number): string {
  return index === 0 ? ABI.memory : `${ABI.memory}_${index}`
}

/** Each of them has a map of pages of its own, and most real modules have one. */
export const MAX_MEMORIES = 16

/** The tracking build notes writes by pages of 4 KiB: the usual page of the hosts. */
export const DIRTY_PAGE_SHIFT = 12
/** A map of all pages that a memory can have begins at every multiple of this power of two. */
export const DIRTY_MAP_SHIFT = 20

/** Preview1 imports that may wait: the program can be suspended before and after each call of them. */
export const BLOCKING_IMPORTS: readonly string[] = ['poll_oneoff', 'fd_read']

/**
 * What such an import returns (as its i32 result, no WASI errno) to say "poll, then call me again with the same
 * arguments". It must not have changed any state.
 */
export const BLOCK_AGAIN = -1

export const FAULT = { none: 0, tooDeep: 1, malformed: 2 } as const

/** Below the frames: room for what a function hands to its caller that is yet to be entered. V8 has at most 1000 values. */
export const FRAME_BASE = 16384

/** Frames that may be taken out: those of the deepest recursion that a thread of 64 MiB holds. */
export const MAX_FRAME_BYTES = 64 << 20

/** Frame memory never grows past this: twice what may be taken out, and as much again while the order is turned. */
export const MAX_FRAME_PAGES = 4096

export const WASM_PAGE_BYTES = 65536
