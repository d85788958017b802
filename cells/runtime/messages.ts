// What the peer and a cell host process say to each other, and the host and its workers. The peer does not trust the
// host process, which runs foreign code: whatever comes from there is checked and bounded before it is believed.
import {
  boolean,
  bytes,
  type Infer,
  integer,
  list,
  number,
  object,
  oneOf,
  optional,
  type Shape,
  text,
  union,
} from '../../core/shape.ts'
import { CELL_ERRORS, type CellErrorCode } from '../errors.ts'
import type { Baseline } from '../snapshot/pages.ts'
import type { Material } from '../snapshot/snapshot.ts'
import type { CellFile, CellLimits, CellMode, LargeFile, ModuleFacts, StdinPiece } from '../types.ts'
import { MAX_FILES, MAX_MESSAGE_CHARS, MAX_PATH_CHARS } from './limits.ts'
import type { OutputPart } from './output-batch.ts'

/** What a cell starts from: the beginning, or a snapshot that is to come. */
export type CellOrigin =
  | {
      readonly kind: 'launch'
      readonly args: readonly string[]
      readonly env: Readonly<Record<string, string>>
      readonly files: readonly CellFile[]
      readonly largeFiles?: readonly LargeFile[] | undefined
      readonly stdin: Uint8Array
      readonly stdinOpen?: boolean | undefined
      readonly randomSeed?: Uint8Array | undefined
    }
  /** It comes in parts, and stands still until it is told to go on. */
  | { readonly kind: 'arrive' }

/** `movable`: instrumented; `tracking`: so that it notes its writes. `untouched`: as it is, but for its caps. */
export type Build = 'movable' | 'tracking' | 'untouched'

/** A module by its hash, memory cap, build and kind of NaNs; `bytes` only when the host process does not know it. */
export interface ModuleRef {
  readonly hash: string
  readonly memoryMaxPages: number
  readonly build: Build
  readonly nan: CellMode['nan']
  readonly bytes?: Uint8Array
}

export interface CellStart {
  readonly origin: CellOrigin
  readonly limits: CellLimits
  /** Share of a core's time, (0, 1]. */
  readonly share: number
}

/** Passed on to the worker, and answered there. */
export type CellCommand =
  | { readonly kind: 'suspend' }
  /** Takes back the `suspend` of that number; when it is done already, the program goes on. */
  | { readonly kind: 'withdraw'; readonly suspendSeq: number }
  | { readonly kind: 'resume-here' }
  /** Forgets a suspended program; `ended` as killed follows. The thread stays. */
  | { readonly kind: 'discard' }
  | { readonly kind: 'read-file'; readonly path: string }
  | { readonly kind: 'write-stdin'; readonly piece: StdinPiece }
  /** Whole parts of a program that comes in parts. */
  | { readonly kind: 'add'; readonly parts: Uint8Array }
  /** A piece of a round of a copy; the first with a new number begins that round. */
  | { readonly kind: 'slice'; readonly round: number }
  /** A part that shows what the state of the program is like now. */
  | { readonly kind: 'rehearse' }
  | { readonly kind: 'dirty' }
  | { readonly kind: 'end-copy' }

/** Peer to host process. Each is answered by one `done` or `failed` of the same `seq`. */
export type HostCommand =
  | { readonly kind: 'inspect'; readonly seq: number; readonly module: Uint8Array; readonly mode: CellMode }
  | { readonly kind: 'prepare'; readonly seq: number; readonly module: ModuleRef }
  | {
      readonly kind: 'start'
      readonly seq: number
      readonly cell: number
      readonly module: ModuleRef
      readonly start: CellStart
    }
  | { readonly kind: 'cell'; readonly seq: number; readonly cell: number; readonly command: CellCommand }
  /** Begins a copy, in the build `tracking` of the module. */
  | { readonly kind: 'copy'; readonly seq: number; readonly cell: number; readonly module: ModuleRef }
  | { readonly kind: 'usage'; readonly seq: number; readonly cell: number }
  /** Ends the cell, running or suspended; the report `ended` follows. */
  | { readonly kind: 'kill'; readonly seq: number; readonly cell: number }

/** The host process has not got the module: send it along. Not an error that anyone else sees. */
export const NEED_MODULE = 'NEED_MODULE'

/** What a suspension answers. */
const stopped = object({ parts: list(bytes(2 ** 32), 1 << 20), stoppedAt: number(0), packMs: number(0) })

const resumed = object({ resumedAt: number(0) })

const usage = object({
  busyMs: number(0),
  wallMs: number(0),
  fuel: number(0),
  memoryBytes: number(0),
  outputBytes: number(0),
  diskBytes: number(0),
})

const errorCode = oneOf(...(Object.keys(CELL_ERRORS) as CellErrorCode[]))
/** In the folder of the process, and nowhere else. */
const fileName: Shape<string> = (value, at) => {
  const name = text(64)(value, at)
  if (!/^[a-z0-9-]+$/.test(name)) throw new Error(`${at} is no name of a result`)
  return name
}
const file: Shape<CellFile> = object({ path: text(MAX_PATH_CHARS), bytes: bytes(2 ** 32) })

const largeFile: Shape<LargeFile> = object({ path: text(MAX_PATH_CHARS), file: fileName, bytes: integer() })

const exit = union({
  exited: object({
    exitCode: integer(0, 2 ** 32 - 1),
    files: list(file, MAX_FILES),
    largeFiles: optional(list(largeFile, MAX_FILES)),
    usage,
  }),
  failed: object({ code: errorCode, message: text(MAX_MESSAGE_CHARS), usage }),
  killed: object({ usage }),
})

const facts: Shape<ModuleFacts> = object({
  hash: text(64),
  bytes: integer(),
  functions: integer(),
  memoryPages: object({ initial: integer(), maximum: optional(integer()) }),
  imports: list(text(1_024), 4_096),
  opcodeFeatures: list(number(), 256),
})

/** What a `done` may carry, by what was asked. */
export const answers = {
  nothing: boolean,
  facts,
  stopped,
  resumed,
  usage,
  file: object({ bytes: optional(bytes(2 ** 32)), large: optional(object({ file: fileName, bytes: integer() })) }),
  stdin: object({ bytes: integer(), closed: boolean }),
  /** Nothing when the round is over. */
  slice: object({ part: optional(bytes(2 ** 32)) }),
  rehearsal: object({ part: bytes(2 ** 32) }),
  added: object({ complete: boolean }),
  dirty: object({ bytes: number(0) }),
} as const

const cell = integer(0, Number.MAX_SAFE_INTEGER)
const part: Shape<OutputPart> = object({ stream: oneOf('stdout', 'stderr'), offset: integer(), bytes: bytes(2 ** 32) })
const anything: Shape<unknown> = (value) => value

/** Host process to peer. */
export const hostReport = union({
  done: object({ seq: integer(), value: anything }),
  failed: object({ seq: integer(), code: text(64), message: text(MAX_MESSAGE_CHARS) }),
  /** The program of that suspension stands still; packing goes on. */
  quiesced: object({ seq: integer() }),
  output: object({ cell, parts: list(part, 1 << 17) }),
  over: object({ cell }),
  ended: object({ cell, exit }),
})

export type HostReport = Infer<typeof hostReport>
export type ReportedExit = Infer<typeof exit>

/** A compiled module as the workers get it. */
export interface CompiledModule {
  readonly build: Build
  readonly module: WebAssembly.Module
  readonly moduleHash: string
  readonly layoutHash: string
  /** Of each memory, in the order of their indices. */
  readonly baselines: readonly Baseline[]
}

/** Host process to worker. */
export type WorkerCommand =
  | {
      readonly kind: 'start'
      readonly seq: number
      readonly compiled: CompiledModule
      readonly start: CellStart
      /** Buffer of a `Control`. */
      readonly control: SharedArrayBuffer
      /** Of the host process. */
      readonly folder: string | undefined
    }
  | { readonly kind: 'command'; readonly seq: number; readonly command: CellCommand }
  | { readonly kind: 'copy'; readonly seq: number; readonly module: WebAssembly.Module }
  /** Ends the program at its next poll or call, and the thread is used again. Not answered but by `ended`. */
  | { readonly kind: 'kill' }

/** Worker to host process: as `HostReport`, without the cell's number. */
export type WorkerReport =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly seq: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly seq: number; readonly code: string; readonly message: string }
  | { readonly kind: 'quiesced'; readonly seq: number }
  /** To be made a part of the snapshot with that number. `last` tells of a suspension whether more is to come. */
  | {
      readonly kind: 'material'
      readonly seq: number
      readonly snapshot: number
      readonly material: Material
      readonly last?: 'more' | Stopped
    }
  | { readonly kind: 'output'; readonly parts: readonly OutputPart[]; readonly bytes: number }
  /** The program is over; its results follow. Said when they are large. */
  | { readonly kind: 'over' }
  | { readonly kind: 'ended'; readonly exit: ReportedExit }

/** With the last part of a program that stands still. */
export interface Stopped {
  readonly stoppedAt: number
}

/** What a compile worker is given, as `workerData`. */
export type CompileJob =
  | { readonly kind: 'inspect'; readonly module: Uint8Array; readonly mode: CellMode }
  | {
      readonly kind: 'compile'
      readonly module: Uint8Array
      readonly memoryMaxPages: number
      readonly build: Build
      readonly nan: CellMode['nan']
    }

/** And what it answers, once. */
export type CompileReport =
  | { readonly kind: 'facts'; readonly facts: ModuleFacts }
  | { readonly kind: 'compiled'; readonly compiled: CompiledModule }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }

/** `message` cut to what a report may carry. */
export function bounded(message: string): string {
  return message.length <= MAX_MESSAGE_CHARS ? message : `${message.slice(0, MAX_MESSAGE_CHARS - 1)}…`
}
