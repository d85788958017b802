// What the WASI of a cell needs and offers. It runs inside the thread of the cell and knows neither threads nor
// snapshots: blocking and output go through `WasiHost`, state comes and goes as plain data.
import type { Clock } from '../../core/clock.ts'
import type { Random } from '../../core/random.ts'
import type { CellFile, OutputStream } from '../types.ts'
import type { FileSource, PiecePool } from './pieces.ts'
import type { ReceivedContents } from './received-contents.ts'

/** What only the thread around the program can do. */
export interface WasiHost {
  /** `bytes` are a copy that the host may keep; `offset` counts from the first start of the cell, across moves. */
  output(stream: OutputStream, offset: number, bytes: Uint8Array): void
  /**
   * Called in a blocking call: blocks this thread for up to `ms`, until standard input comes, or until a stop request.
   * It may return early. True when a stop request is pending: the call then returns {@link BLOCK_AGAIN} and is made again later.
   */
  wait(ms: number): boolean
  /** A call moved so many bytes, or made them: it took its time. @default nothing */
  moved?: ((bytes: number) => void) | undefined
}

/** The limits that WASI itself keeps; see `CellLimits`. */
export interface WasiLimits {
  readonly outputBytes: number
  readonly diskBytes: number
}

/** What the place where a cell runs lends to it: needed anew after every move. */
export interface WasiSurroundings {
  readonly limits: WasiLimits
  readonly clock: Clock
  readonly random: Random
  readonly host: WasiHost
  /**
   * Milliseconds that the program has been executing since its first start, over all moves: its CPU clocks.
   * @default the monotonic clock
   */
  readonly cpuMs?: (() => number) | undefined
  /** Where the bytes of files are kept. @default all in memory */
  readonly pool?: PiecePool | undefined
}

export interface WasiInit extends WasiSurroundings {
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Bytes are shared until the program changes a file, never written to. */
  readonly files: readonly CellFile[]
  /** Read when the program reads them. @default none */
  readonly sources?: readonly { readonly path: string; readonly source: FileSource }[] | undefined
  readonly stdin: Uint8Array
  /** More standard input will come by `Wasi.writeStdin`, until `Wasi.closeStdin`. @default false */
  readonly stdinOpen?: boolean | undefined
  /** Any bytes: makes `random_get` reproducible. By default its bytes come from `random`. */
  readonly randomSeed?: Uint8Array | undefined
}

export interface WasiRestoreInit extends WasiSurroundings {
  /** Unchecked: what `Wasi.state()` gave, after whatever way it went. */
  readonly state: unknown
  /** What arrived ahead of a state that leaves it out; it keeps the bytes. */
  readonly contents?: ReceivedContents | undefined
}

/** The preview1 functions by name. Numbers are i32, bigints i64; nothing is thrown but `ExitStatus` and `LimitExceeded`. */
export type WasiImports = Readonly<Record<string, (...args: never[]) => number>>

/**
 * What a blocking call returns when a stop request interrupts it: not a WASI errno, never shown to the program.
 * Whoever wraps the imports unwinds the program, and makes the same call with the same arguments when it goes on;
 * the deadline of the first call still holds.
 */
export const BLOCK_AGAIN = -1

/** Longest single wait handed to the host, milliseconds: below the 2^31 that timers take. */
export const MAX_WAIT_MS = 86_400_000
