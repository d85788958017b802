// Makes an unmodified WASI command module suspendable: a pure function from bytes to bytes.
export { ABI, BLOCK_AGAIN, BLOCKING_IMPORTS, INSTRUMENTER_VERSION } from './abi.ts'

export interface InstrumentOptions {
  /** The memory cap, pages of 64 KiB: the guest's declared maximum becomes at most this. Changes nothing else. */
  readonly memoryMaxPages: number
}

export interface InstrumentStats {
  readonly functions: number
  readonly suspendable: number
  readonly polls: number
  readonly sites: number
  readonly codeBytesIn: number
  readonly codeBytesOut: number
}

export interface Instrumented {
  readonly bytes: Uint8Array
  /** Hex SHA-256 of the input. */
  readonly moduleHash: string
  /** Hex SHA-256 of what frames and globals depend on; the same for every `memoryMaxPages`. */
  readonly layoutHash: string
  /** Types of the mutable globals in the order in which `takeGlobals` packs them. */
  readonly globals: readonly string[]
  readonly stats: InstrumentStats
}

/**
 * Throws the refusal (`CELL_NOT_WASM`, `CELL_NOT_A_COMMAND`, `CELL_ALREADY_ASYNCIFIED`, `CELL_THREADS_UNSUPPORTED`,
 * `CELL_UNKNOWN_IMPORT`, `CELL_UNSUPPORTED_OPCODE`, `CELL_STATE_NOT_SERIALIZABLE`, `CELL_MEMORY_LIMIT`).
 */
export function instrument(_module: Uint8Array, _options: InstrumentOptions): Instrumented {
  throw new Error('not yet')
}
