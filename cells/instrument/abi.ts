// What an instrumented module and the driver agree on: names, constants, the shape of the extra imports and exports.

/** Part of every cache key and snapshot header: bump it whenever the same input would give other bytes. */
export const INSTRUMENTER_VERSION = '2'

/** Names that the instrumented module adds, and the contract of each. The guest's own exports stay as they are. */
export const ABI = {
  /** `() -> i32`, imported: called when fuel ran out. Answers the next fuel (>= 0), or -1 to unwind. */
  pollModule: 'cell',
  pollName: 'poll',
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
  /** Mutable i32: why it trapped, one of `FAULT`; zero for the guest's own traps. */
  fault: '__cell_fault',
  /** The guest's linear memory under a name that does not depend on the guest. */
  memory: '__cell_memory',
} as const

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
