// Codes of the cell engine.
import type { CodeTable } from '../core/errors.ts'

export type CellErrorCode =
  | 'CELL_NOT_WASM'
  | 'CELL_NOT_A_COMMAND'
  | 'CELL_ALREADY_ASYNCIFIED'
  | 'CELL_THREADS_UNSUPPORTED'
  | 'CELL_UNSUPPORTED_OPCODE'
  | 'CELL_STATE_NOT_SERIALIZABLE'
  | 'CELL_UNKNOWN_IMPORT'
  | 'ENGINE_NOT_MIGRATABLE'
  | 'CELL_QUIESCE_TIMEOUT'
  | 'CELL_STACK_TOO_DEEP'
  | 'CELL_TRAPPED'
  | 'CELL_TIME_LIMIT'
  | 'CELL_FUEL_LIMIT'
  | 'CELL_OUTPUT_LIMIT'
  | 'CELL_MEMORY_LIMIT'
  | 'CELL_DISK_LIMIT'
  | 'CELL_STORAGE_FAILED'
  | 'CELL_TOO_MANY'
  | 'CELL_HOST_DIED'
  | 'CELL_NOT_RUNNING'
  | 'CELL_OPTION_UNSUPPORTED'
  | 'CELL_ENDED'
  | 'SNAPSHOT_MALFORMED'
  | 'SNAPSHOT_VERSION_MISMATCH'
  | 'SNAPSHOT_MODULE_MISMATCH'

export const CELL_ERRORS: CodeTable<CellErrorCode> = {
  CELL_NOT_WASM: 'The bytes are not a valid WebAssembly 1.0/2.0 module.',
  CELL_NOT_A_COMMAND: 'The module exports no `_start`: it is a library or reactor, not a WASI preview1 command.',
  CELL_ALREADY_ASYNCIFIED: 'The module carries its own asyncify and would unwind on its own terms.',
  CELL_THREADS_UNSUPPORTED: 'The module uses shared memory or atomics waits.',
  CELL_UNSUPPORTED_OPCODE: 'The module uses instructions or types that cannot be moved, or a function too large to be.',
  CELL_STATE_NOT_SERIALIZABLE:
    'The module keeps state (more than sixteen memories) that a snapshot cannot hold, or the cell is not suspended.',
  CELL_UNKNOWN_IMPORT: 'The module imports something other than WASI preview1.',
  ENGINE_NOT_MIGRATABLE: 'The cell runs where it was started, and cannot be moved: its engine or its owner says so.',
  CELL_QUIESCE_TIMEOUT: 'The program passed no poll within the deadline; it goes on running here.',
  CELL_STACK_TOO_DEEP: 'The call stack is deeper than a snapshot may hold, or than the engine allows.',
  CELL_TRAPPED: 'The program trapped: unreachable code, a bad memory access, a division by zero.',
  CELL_TIME_LIMIT: 'The program used its wall-clock allowance.',
  CELL_FUEL_LIMIT: 'The program used its fuel.',
  CELL_OUTPUT_LIMIT: 'The program wrote more to stdout and stderr than it may.',
  CELL_MEMORY_LIMIT:
    'The module asks for more memory at start than the cell may have, or took more on the engine `wasix`.',
  CELL_DISK_LIMIT: 'The files of a cell on the engine `wasix` take more room than it may have; other cells get ENOSPC.',
  CELL_STORAGE_FAILED:
    "Bytes of the cell's files cannot be put aside on this host, or read back: its disk is full, or failing.",
  CELL_TOO_MANY: 'One owner runs as many cells on this peer as a host process takes.',
  CELL_HOST_DIED: 'The process that ran the cell ended unexpectedly.',
  CELL_NOT_RUNNING: 'The cell is suspended, or is about to be: send it this when it runs again.',
  CELL_OPTION_UNSUPPORTED: 'The engine that the cell is to run on cannot give it something that was asked for.',
  CELL_ENDED: 'The cell has already ended.',
  SNAPSHOT_MALFORMED: 'The bytes are not a snapshot, or their hash is wrong.',
  SNAPSHOT_VERSION_MISMATCH: 'The snapshot was made by another snapshot or instrumenter version.',
  SNAPSHOT_MODULE_MISMATCH: 'The snapshot belongs to another module.',
}
