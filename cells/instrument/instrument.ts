// Makes an unmodified WASI command module suspendable: a pure function from bytes to bytes.
import { sha256Hex } from '../../core/bytes.ts'
import { CodedError } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import { ByteWriter } from '../wasm/byte-writer.ts'
import { decodeModule, type WasmModule } from '../wasm/module.ts'
import { TYPE } from '../wasm/opcodes.ts'
import { SECTION } from '../wasm/sections.ts'
import { INSTRUMENTER_VERSION, WASM_PAGE_BYTES } from './abi.ts'
import { copyRenumbered, hashedHeader, join, type Section, sectionsOf } from './assemble.ts'
import { BranchHints, type HintedBody } from './branch-hints.ts'
import { type Suspendability, suspendability } from './call-graph.ts'
import { canonicalNans } from './canonical-nans.ts'
import { MAX_BODY_BYTES, MAX_CODE_BYTES, MAX_LOCALS } from './engine-limits.ts'
import { emitFastCopy } from './fast-copy.ts'
import { FunctionCode } from './function-code.ts'
import { helpersOf, savedGlobals } from './helpers.ts'
import { liveLocals } from './liveness.ts'
import { Output } from './output.ts'
import { notSerializable, refuseModule, unsupported } from './refusals.ts'
import { emitRewindCopy } from './rewind-copy.ts'
import {
  addressTakenIn,
  bodyWith,
  CALL,
  type FunctionScan,
  instructionsOf,
  localsOf,
  scanFunction,
  stateUseOf,
} from './scan.ts'
import { siteTreeOf } from './site-tree.ts'
import { bytesOf } from './slots.ts'
import { programOf, type SourceFunction } from './source.ts'
import { MAX_BARRIER_LOCALS, MAX_NOTE_BYTES, StoreBarrier } from './store-barrier.ts'
import { writesMemory } from './stores.ts'

export interface InstrumentOptions {
  /** The memory cap, pages of 64 KiB: the declared maxima of the guest's memories become at most this together. Changes nothing else. */
  readonly memoryMaxPages: number
  /** `canonical`: what an operation on floats gives that is no number is the same on every processor. @default 'native' */
  readonly nan?: 'native' | 'canonical' | undefined
}

export interface InstrumentStats {
  readonly functions: number
  readonly suspendable: number
  readonly polls: number
  /** Places where a function can be suspended, polls included. */
  readonly sites: number
  readonly codeBytesIn: number
  readonly codeBytesOut: number
  /** Of that, what runs while nothing moves: without the rewind copies. */
  readonly fastCodeBytesOut: number
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
export function instrument(bytes: Uint8Array, options: InstrumentOptions): Instrumented {
  const { module, output, bodies, sections } = build(bytes, options, false)
  // Whoever is taken can be copied while running: what may not be is tried.
  if (bodies.mayOutgrow) build(bytes, options, true)
  const layout = sections.filter(({ id }) => id !== SECTION.memory && id !== SECTION.data)
  const range = module.sections.get(SECTION.code)
  return {
    bytes: join(sections),
    moduleHash: sha256Hex(bytes),
    layoutHash: sha256Hex(hashedHeader(INSTRUMENTER_VERSION), ...layout.map(({ content }) => content)),
    globals: savedGlobals(output).map(({ type }) => TYPE_NAMES.get(type) ?? 'unknown'),
    stats: {
      functions: module.bodies.length,
      suspendable: output.suspendable.length,
      polls: bodies.polls,
      sites: bodies.sites,
      codeBytesIn: range ? range.end - range.start : 0,
      codeBytesOut: sections.find(({ id }) => id === SECTION.code)?.content.length ?? 0,
      fastCodeBytesOut: bodies.fastBytes,
    },
  }
}

/**
 * The same program with the same frames, which notes every page that it writes to. It takes its memories from a running
 * instance of the build of `instrument`, whose program it then goes on with. Throws as `instrument`.
 */
export function trackingBuild(bytes: Uint8Array, options: InstrumentOptions): Uint8Array {
  return join(build(bytes, options, true).sections)
}

interface Build {
  readonly module: WasmModule
  readonly output: Output
  readonly bodies: Bodies
  readonly sections: readonly Section[]
}

function build(bytes: Uint8Array, { memoryMaxPages, nan }: InstrumentOptions, tracking: boolean): Build {
  const module = decodeModule(nan === 'canonical' ? canonicalNans(bytes) : bytes)
  refuseModule(module)
  refuseMemory(module, memoryMaxPages)
  const program = programOf(module)
  const scans = program.functions.map((source) => scanFunction(source, program))
  const addressTaken = addressTakenIn(module, scans, program)
  const suspends = suspendability(program, scans, addressTaken)
  const suspendable = program.functions.filter(({ index }) => suspends.maySuspend.has(index))
  const output = new Output(program, suspendable, stateUseOf(module, scans), addressTaken, tracking)
  refuseGlobals(output)
  const bodies = emitBodies(output, scans, suspends)
  const helpers = helpersOf(output)
  for (const { body } of helpers) addBody(bodies.code, body)
  const count = program.functions.length + suspendable.length + helpers.length
  const code = new ByteWriter(bodies.code.length + 8).u32(count).bytes(bodies.code.view())
  return { module, output, bodies, sections: sectionsOf(output, code, bodies.hints, helpers, memoryMaxPages) }
}

const TYPE_NAMES = new Map<number, string>(Object.entries(TYPE).map(([name, byte]) => [byte, name]))

function refuseMemory(module: WasmModule, maxPages: number): void {
  const initial = module.memories.reduce((sum, { minimum }) => sum + minimum, 0)
  if (initial <= maxPages) return
  throw new CodedError<CellErrorCode>(
    'CELL_MEMORY_LIMIT',
    `The module starts with ${initial * WASM_PAGE_BYTES} bytes of memory, the cell may have ${maxPages * WASM_PAGE_BYTES}: raise its memory limit.`,
    { facts: { initialPages: initial, maxPages } },
  )
}

/**
 * What mutable globals, and notes of what was dropped, may take in a snapshot: real programs have a handful. With the
 * tables, which are bounded too, they are less than a snapshot holds.
 */
const MAX_GLOBAL_BYTES = 1 << 20

function refuseGlobals(output: Output): void {
  // At least a word each, for the code that saves them.
  const bytes = savedGlobals(output).reduce((sum, { type }) => sum + Math.max(4, bytesOf(type, output)), 0)
  if (bytes > MAX_GLOBAL_BYTES) throw notSerializable('so many globals')
}

/** V8 takes no more functions (`kV8MaxWasmFunctions`); some are kept for the helpers. */
const MAX_FUNCTIONS = 1_000_000 - 100

interface Bodies {
  /** Every body behind its length, in the order of their indices. */
  readonly code: ByteWriter
  readonly hints: BranchHints
  /** Bytes of it that are no rewind copies. */
  readonly fastBytes: number
  readonly polls: number
  readonly sites: number
  /** With notes of its stores the code may be more than the engine takes. */
  readonly mayOutgrow: boolean
}

function emitBodies(output: Output, scans: readonly FunctionScan[], suspends: Suspendability): Bodies {
  const { program } = output
  const count = program.module.importedFunctions + program.functions.length + suspends.maySuspend.size
  if (count > MAX_FUNCTIONS) throw unsupported('so many functions', program.module.importedFunctions, 0)
  const range = output.module.sections.get(SECTION.code)
  const all = new ByteWriter(range ? (range.end - range.start) * 2 : 0)
  const rewind: HintedBody[] = new Array(output.suspendable.length)
  const hints = new BranchHints()
  let polls = 0
  let sites = 0
  let bytes = 0
  let notes = 0
  let mayOutgrow = false
  const check = (body: Uint8Array, source: SourceFunction, noteBytes: number): void => {
    if (body.length > MAX_BODY_BYTES) throw unsupported('so much code', source.index, source.body.start)
    if (body.length + noteBytes > MAX_BODY_BYTES) mayOutgrow = true
  }
  for (const [k, source] of program.functions.entries()) {
    const scan = scans[k] as FunctionScan
    const noteBytes = scan.stores * MAX_NOTE_BYTES
    if (!suspends.maySuspend.has(source.index)) {
      const copy = plainCopy(source, scan, output, suspends)
      check(copy, source, noteBytes)
      addBody(all, copy)
      continue
    }
    const code = new FunctionCode(source, program.module)
    const tree = siteTreeOf(code, program, suspends)
    const saved = liveLocals(code, tree)
    const copy = emitFastCopy(code, tree, saved, output)
    const again = emitRewindCopy(code, tree, copy.layout, output)
    check(copy.body, source, noteBytes)
    check(again.body, source, noteBytes)
    addBody(all, copy.body)
    hints.add(output.functionId(source.index), copy)
    rewind[output.ordinal(source.index) ?? 0] = again
    bytes += copy.body.length + again.body.length
    notes += 2 * noteBytes
    if (bytes > MAX_CODE_BYTES) throw unsupported('so much code', source.index, source.body.start)
    polls += tree.polls
    sites += tree.count
  }
  const fastBytes = all.length
  for (const [ordinal, again] of rewind.entries()) {
    addBody(all, again.body)
    hints.add(output.firstRewind + ordinal, again)
  }
  return { code: all, hints, fastBytes, polls, sites, mayOutgrow: mayOutgrow || bytes + notes > MAX_CODE_BYTES }
}

function addBody(code: ByteWriter, body: Uint8Array): void {
  code.u32(body.length).bytes(body)
}

/** A function that is never on the stack when a poll unwinds it: the same instructions, callees renumbered. */
function plainCopy(source: SourceFunction, scan: FunctionScan, output: Output, suspends: Suspendability): Uint8Array {
  const unsafe = scan.calls.some((call) => {
    const target = call >> CALL.targetShift
    return call & CALL.indirect ? suspends.indirectMaySuspend(target) : suspends.maySuspend.has(target)
  })
  // A poll below a function that saves no frame would lose that frame.
  if (unsafe || scan.loops) throw new Error(`function ${source.index} can be unwound but is not suspendable`)
  if (scan.stores > 0 && localCount(source) > MAX_LOCALS - MAX_BARRIER_LOCALS)
    throw unsupported('so many values', source.index, source.body.start)
  if (output.tracking) return trackedCopy(source, output)
  const { start, end } = source.body
  if (!scan.rewritten) return source.bytes.subarray(start, end)
  const reader = instructionsOf(source)
  const w = new ByteWriter(end - start + 64).bytes(source.bytes, start, reader.at)
  copyRenumbered(w, reader, output, source)
  return w.view()
}

/** Parameters included. */
function localCount(source: SourceFunction): number {
  return localsOf(source).groups.reduce((sum, { count }) => sum + count, source.type.params.length)
}

/** As `plainCopy`, with its stores noted. */
function trackedCopy(source: SourceFunction, output: Output): Uint8Array {
  const { groups } = localsOf(source)
  const added: number[] = []
  const first = localCount(source)
  const w = new ByteWriter((source.body.end - source.body.start) * 2 + 64)
  const barrier = new StoreBarrier(output, w, (type) => first + added.push(type) - 1)
  const reader = instructionsOf(source)
  while (!reader.done) {
    reader.next()
    if (writesMemory(reader.op)) barrier.emit(reader.op, source.bytes, reader.start, reader.at)
    else output.copy(w, reader.op, reader.a, source.bytes, reader.start, reader.at, source)
  }
  return bodyWith(groups, added, w.view())
}
