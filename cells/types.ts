// What the engine offers: start a WASI program as a cell, stop it in mid-call, pack it, resume it elsewhere.
// Knows no network: snapshots are bytes, whoever carries them.
import type { Clock } from '../core/clock.ts'
import type { Startable } from '../core/lifecycle.ts'

/** Hard limits of one cell. Every one holds: passing it ends the cell with the code that is named beside it. */
export interface CellLimits {
  /** Linear memory, bytes; a grow beyond it fails as in any Wasm engine. */
  readonly memoryBytes: number
  /** Wall clock from the first start, milliseconds, over all moves, suspension excluded. `CELL_TIME_LIMIT` */
  readonly wallMs: number
  /** Polls passed: loop turns and recursive calls. `CELL_FUEL_LIMIT` */
  readonly fuel: number
  /** Bytes written to stdout and stderr together. `CELL_OUTPUT_LIMIT` */
  readonly outputBytes: number
  /** Bytes in the cell's file tree, inputs included. Writing more fails with ENOSPC. */
  readonly diskBytes: number
}

export interface CellFile {
  /** Absolute path in the cell's file tree. */
  readonly path: string
  readonly bytes: Uint8Array
}

/** A file that is not held in memory. */
export interface LargeFile {
  /** Absolute path in the cell's file tree. */
  readonly path: string
  /** Where it lies on this machine. */
  readonly file: string
  readonly bytes: number
}

/** `wasi`: the cell's own WASI preview1. `wasix`: Wasmer's runtime, for packages and modules that need WASIX. */
export type EngineName = 'wasi' | 'wasix'

/** How a program is to run. */
export interface CellMode {
  /** @default 'wasi' */
  readonly engine?: EngineName
  /**
   * False: the untouched module runs, for programs that cannot be instrumented. Limits are kept by wall time and kill, by
   * the caps of memory, output and disk; fuel and the share of a core do not bind it. Never true on `wasix`.
   * @default true on `wasi`
   */
  readonly migratable?: boolean
  /**
   * `canonical`: an operation on floats that gives no number gives the same bits on every processor, so all results do; it
   * costs code that is full of floats some of its speed. Not on `wasix`.
   * @default 'native'
   */
  readonly nan?: 'native' | 'canonical'
}

/** What both ends of a move must agree on before it begins. */
export type ArrivalMode = Pick<CellMode, 'nan'>

export interface CellProgram extends CellMode {
  /** The untouched module: a WASI preview1 command. The array must not change: its hash is kept. */
  readonly module: Uint8Array
  /** `args[0]` is the program's name. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly files: readonly CellFile[]
  /** Read piece by piece, when the program reads them; they must not change. Engine `wasi`, with a folder. @default none */
  readonly largeFiles?: readonly LargeFile[] | undefined
  readonly stdin: Uint8Array
  /** More of it comes by `CellHandle.writeStdin`: until then, a program that reads waits. @default false */
  readonly stdinOpen?: boolean | undefined
  /** Any bytes: makes the program's random bytes the same in every run. By default they are the system's. */
  readonly randomSeed?: Uint8Array | undefined
  readonly limits: CellLimits
}

export type OutputStream = 'stdout' | 'stderr'

export interface CellEvents {
  /** `offset` is the position of `bytes` in that stream since the cell's first start: it goes on across moves. */
  onOutput(stream: OutputStream, offset: number, bytes: Uint8Array): void
}

export interface CellUsage {
  /** Milliseconds the program was actually executing: throttling, waits and suspension excluded. */
  readonly busyMs: number
  /** Milliseconds from the first start, over all moves. Time spent suspended or on the way does not count. */
  readonly wallMs: number
  /** Polls passed. */
  readonly fuel: number
  readonly memoryBytes: number
  readonly outputBytes: number
  readonly diskBytes: number
}

export type CellExit =
  | {
      readonly kind: 'exited'
      readonly exitCode: number
      readonly files: readonly CellFile[]
      /** Those above 4 MiB, if the engine has a folder: for the receiver to take away. They go when the engine starts again. */
      readonly largeFiles?: readonly LargeFile[] | undefined
      readonly usage: CellUsage
    }
  /** `code` is a `CellErrorCode`: a trap, a limit, a refusal, a dead host process. */
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly usage: CellUsage }
  | { readonly kind: 'killed'; readonly usage: CellUsage }

/** A piece of a cell's standard input. */
export interface StdinPiece {
  /** Where it begins in all of the input, that of the launch included, bytes. */
  readonly at: number
  readonly bytes: Uint8Array
  /** Nothing comes after it. */
  readonly end?: boolean | undefined
}

/** What a cell has of its standard input, read or not. */
export interface StdinTaken {
  readonly bytes: number
  /** Nothing more is taken. */
  readonly closed: boolean
}

export interface CellHandle {
  readonly id: string
  /** False when `suspend` can only refuse. */
  readonly migratable: boolean
  /** Settles once, never rejects. A suspended cell has not ended. */
  readonly ended: Promise<CellExit>
  /**
   * Stops the program at its next poll or blocking call and packs its whole state.
   * All output before that point has been delivered when this resolves. The cell stays suspended here until
   * `resumeHere` or `discard`. Rejects with `CELL_ENDED`, `CELL_QUIESCE_TIMEOUT`, `CELL_STATE_NOT_SERIALIZABLE`,
   * `ENGINE_NOT_MIGRATABLE`.
   */
  suspend(init: { readonly signal?: AbortSignal }): Promise<CellSnapshot>
  /**
   * Begins a live copy: the program goes on, in a build that notes which pages it writes. Rejects with `CELL_*`, and then
   * nothing has changed. An aborted signal cancels the copy at any time.
   */
  copy(init: { readonly signal?: AbortSignal }): Promise<LiveCopy>
  /**
   * Goes on in place after `suspend` or a copy's `stop`, or begins what has arrived. Resolves once the guest runs; rejects
   * with the reason why it ended before.
   */
  resumeHere(): Promise<Resumed>
  /** Forgets a suspended cell: it now lives elsewhere. `ended` settles as `killed`. */
  discard(): Promise<void>
  /** Ends the program within 50 ms wherever it is. */
  kill(): Promise<void>
  /**
   * More standard input for a running cell that was launched with `stdinOpen`. The same piece may come again: what the cell
   * has is passed over. Resolves with what it has then, and keeps over moves: less than was sent while the program has much
   * unread, or misses what stands before. Rejects with `CELL_NOT_RUNNING` while it is suspended, and `CELL_ENDED`.
   */
  writeStdin(piece: StdinPiece): Promise<StdinTaken>
  /**
   * A file of the running cell's tree as it is now; undefined when there is none. A large one is a copy, for the receiver to
   * take away.
   */
  readFile(path: string): Promise<CellFile | LargeFile | undefined>
  usage(): Promise<CellUsage>
}

/** A program that runs on while its state is copied. One round, stop or cancellation at a time. */
export interface LiveCopy {
  /**
   * Whole parts of format v1: what changed since the last round began, and in the first round all that differs from a
   * fresh instance. Taken in slices while the program runs, at the pace at which they are asked for.
   */
  round(): AsyncIterable<Uint8Array>
  /** Bytes that would have to be copied if the program were stopped now, asked for at a poll. */
  dirtyBytes(): Promise<number>
  /**
   * Stops the program at its next poll and takes what is left. The cell is then suspended as after `suspend`. On an error
   * the program goes on and the copy is over.
   */
  stop(): Promise<StoppedCopy>
  /** The program goes on as if it had never been copied; idempotent. After `stop` it does nothing. */
  cancel(): Promise<void>
}

export interface StoppedCopy {
  /** The last parts, in order: with those of the rounds, all of the snapshot. */
  readonly parts: readonly Uint8Array[]
  /** When the guest executed its last instruction: `hostMono()`, one clock for all processes of a host. */
  readonly stoppedAt: number
  /** Milliseconds from the request to that moment, and from there to packed parts. */
  readonly quiesceMs: number
  readonly packMs: number
  /** Hex SHA-256 of the untouched module. */
  readonly moduleHash: string
}

export interface Resumed {
  /** When the guest executed its first instruction here: `hostMono()`. */
  readonly resumedAt: number
}

/** A cell that comes in parts, instantiated and waiting for them. */
export interface ArrivingCell {
  /**
   * One or several whole parts, in the order in which they were made; resolves when they are applied. Rejects with
   * `SNAPSHOT_*`, and the cell is abandoned then.
   */
  add(parts: Uint8Array): Promise<void>
  /** After the last part: a suspended cell that `resumeHere` starts. Rejects with `SNAPSHOT_MALFORMED` before that. */
  finish(): Promise<CellHandle>
  /** Forgets it; idempotent, and nothing after `finish`. */
  abandon(): Promise<void>
}

export interface CellSnapshot {
  /** Format v1: versioned, hashed, self-contained but for the module. */
  readonly bytes: Uint8Array
  /** Hex SHA-256 of the untouched module that it belongs to. */
  readonly moduleHash: string
  /** Milliseconds from the request to the last guest instruction, and from there to packed bytes. */
  readonly quiesceMs: number
  readonly packMs: number
}

/** What `inspect` says of a module before anything runs. */
export interface ModuleFacts {
  readonly hash: string
  readonly bytes: number
  readonly functions: number
  /** Initial and maximum pages (64 KiB) of memory 0. */
  readonly memoryPages: { readonly initial: number; readonly maximum?: number }
  readonly imports: readonly string[]
  /** log1p of how often each of `FEATURE_CLASSES` occurs in the code section; same order, same length. */
  readonly opcodeFeatures: readonly number[]
}

export interface CellEngine extends Startable {
  /** Validates in a cell host process; throws the refusal, a `CellErrorCode`. Of what it cannot read it says little. */
  inspect(module: Uint8Array, mode?: CellMode): Promise<ModuleFacts>
  /** Compiles ahead of a `launch` or `receive` with the same `memoryBytes` and mode, and keeps the result. */
  prepare(
    module: Uint8Array,
    trustDomain: string,
    limits: Pick<CellLimits, 'memoryBytes'>,
    mode?: ArrivalMode,
  ): Promise<void>
  /** Starts the program. Cells of one `trustDomain` (the owner's key) share a host process, others never do. */
  launch(id: string, trustDomain: string, program: CellProgram, events: CellEvents): Promise<CellHandle>
  /** Makes room for a cell that comes in parts. Compiles the module when it is not known yet. */
  receive(
    id: string,
    trustDomain: string,
    module: Uint8Array,
    limits: CellLimits,
    events: CellEvents,
    mode?: ArrivalMode,
  ): Promise<ArrivingCell>
  /** Resumes a whole snapshot. Throws `SNAPSHOT_*` when it is not one for this module and version. */
  resume(
    id: string,
    trustDomain: string,
    module: Uint8Array,
    snapshot: Uint8Array,
    limits: CellLimits,
    events: CellEvents,
    init?: ResumeInit,
  ): Promise<CellHandle>
}

export interface ResumeInit extends ArrivalMode {
  /** Restored, but suspended until `resumeHere`: so that a move stops the program for no longer than it must. @default false */
  readonly paused?: boolean
}

export interface CellEngineInit {
  /** Share of a core's fuel per second that cells get, (0, 1]: above its share a cell sleeps at polls. @default 1 */
  readonly fuelShare?: number
  /** Old-generation heap cap of a host process, MiB. @default 512 */
  readonly hostHeapMb?: number
  /** Idle host processes end after this long, milliseconds. @default 30000 */
  readonly hostIdleMs?: number
  /** A folder of the engine's own, emptied at its start: for what does not stay in memory of cells' files. @default none */
  readonly folder?: string
  /** For deadlines and idle times. @default systemClock */
  readonly clock?: Clock
}
