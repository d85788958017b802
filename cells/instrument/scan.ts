// One quick pass over a body: what it calls, whether it loops, which functions it takes the address of.
import { ByteReader } from '../wasm/byte-reader.ts'
import { ByteWriter } from '../wasm/byte-writer.ts'
import { InstructionReader } from '../wasm/instruction-reader.ts'
import type { WasmModule } from '../wasm/module.ts'
import { EMPTY_BLOCK, OP, opensBlock, TYPE, typeOfNull } from '../wasm/opcodes.ts'
import { readValueType } from '../wasm/value-type.ts'
import { isReference, notSerializable } from './refusals.ts'
import type { Program, SourceFunction } from './source.ts'
import { writesMemory } from './stores.ts'

/**
 * A call as one number, of which large modules have millions: source index of the callee, or type index of an indirect
 * call, from bit 2 on; below whether it is indirect, and whether a poll lies between the caller's entry and it.
 */
export type Call = number
export const CALL = { inLoop: 1, indirect: 2, targetShift: 2 } as const

export interface FunctionScan {
  readonly calls: readonly Call[]
  readonly loops: boolean
  /** Instructions that write to a memory. */
  readonly stores: number
  /** Source indices named by `ref.func`. */
  readonly addressTaken: readonly number[]
  /** False when no instruction is to be changed: such a body can be copied as it is. */
  readonly rewritten: boolean
  /** References may be among its locals and operands. */
  readonly references: boolean
  /** Tables that it changes. */
  readonly changes: readonly number[]
  /** It handles exceptions; such that are values themselves. */
  readonly catches: boolean
  readonly exceptionReferences: boolean
  /** Segments that it drops. */
  readonly drops: readonly { readonly op: number; readonly segment: number }[]
}

/** `visit` sees every opcode. */
export function scanFunction(source: SourceFunction, program: Program, visit?: (op: number) => void): FunctionScan {
  const calls: Call[] = []
  const addressTaken: number[] = []
  const reader = instructionsOf(source)
  const loopAt: boolean[] = []
  let loopDepth = 0
  let loops = false
  let stores = 0
  let rewritten = false
  let references = false
  const changes: number[] = []
  let catches = false
  let exceptionReferences = false
  const drops: { op: number; segment: number }[] = []
  const standIn = (target: number): number => (source.callsImports ? target : (program.redirect.get(target) ?? target))
  while (!reader.done) {
    reader.next()
    const op = reader.op
    visit?.(op)
    if (opensBlock(op)) {
      catches ||= op === OP.try || op === OP.tryTable
      exceptionReferences ||= op === OP.tryTable || reader.a === TYPE.exnref - 128
      references ||= reader.a < 0 && reader.a !== EMPTY_BLOCK - 128 && isReference(reader.a + 128)
      loopAt.push(op === OP.loop)
      if (op === OP.loop) {
        loopDepth++
        loops = true
      }
    } else if (op === OP.end || op === OP.delegate) {
      if (loopAt.pop()) loopDepth--
    } else if (op === OP.call || op === OP.returnCall) {
      rewritten = true
      calls.push((standIn(reader.a) << CALL.targetShift) | (loopDepth > 0 ? CALL.inLoop : 0))
    } else if (op === OP.callIndirect || op === OP.returnCallIndirect) {
      calls.push((reader.a << CALL.targetShift) | CALL.indirect | (loopDepth > 0 ? CALL.inLoop : 0))
    } else if (op === OP.refFunc) {
      rewritten = true
      references = true
      addressTaken.push(standIn(reader.a))
    } else if (op === OP.tableGet) references = true
    else if (op === OP.refNull) {
      references = true
      exceptionReferences ||= typeOfNull(reader.a) === TYPE.exnref
    } else if (op === OP.dataDrop || op === OP.elemDrop) {
      rewritten = true
      drops.push({ op, segment: reader.a })
    } else if (writesMemory(op)) stores++
    else if (CHANGES_TABLES.has(op)) changes.push(op === OP.tableInit ? reader.b : reader.a)
  }
  for (const { type } of localsOf(source).groups) {
    references ||= isReference(type)
    exceptionReferences ||= type === TYPE.exnref
  }
  return {
    calls,
    loops,
    stores,
    addressTaken,
    rewritten,
    references,
    changes: kept(changes),
    catches,
    exceptionReferences,
    drops,
  }
}

const NONE: readonly never[] = []

/** Most lists of most functions are empty: those share one. */
function kept<T>(list: T[]): readonly T[] {
  return list.length === 0 ? NONE : list
}

const CHANGES_TABLES = new Set<number>([OP.tableSet, OP.tableInit, OP.tableCopy, OP.tableGrow, OP.tableFill])

/** What of a module's state lies in references, tables and segments: most modules have nothing of the kind. */
export interface StateUse {
  /** References may be in frames, globals or changed tables. */
  readonly references: boolean
  /** The guest's tables that change at run time, ascending. */
  readonly tables: readonly number[]
  /** The guest handles exceptions. */
  readonly catches: boolean
  /** Exceptions may be among the values of the guest. */
  readonly exceptionReferences: boolean
  /** Each once, ascending. */
  readonly dropped: readonly { readonly op: number; readonly segment: number }[]
}

/** Also of globals that do not change: what is read from them waits among the operands. */
function declares({ types, globals }: WasmModule, what: (type: number) => boolean): boolean {
  const typed = types.some(({ params, results }) => params.some(what) || results.some(what))
  return typed || globals.some(({ type }) => what(type))
}

export function stateUseOf(module: WasmModule, scans: readonly FunctionScan[]): StateUse {
  const changed = new Set(scans.flatMap(({ changes }) => changes))
  const tables = [...changed].sort((a, b) => a - b)
  if (tables.some((table) => module.tables[table]?.type === TYPE.exnref))
    throw notSerializable('a table of exceptions that changes')
  const isException = (type: number): boolean => type === TYPE.exnref
  const dropped = new Map(scans.flatMap(({ drops }) => drops.map((drop) => [drop.op * 2 ** 20 + drop.segment, drop])))
  return {
    references: tables.length > 0 || declares(module, isReference) || scans.some(({ references }) => references),
    tables,
    catches: scans.some(({ catches }) => catches),
    exceptionReferences:
      declares(module, isException) ||
      module.tables.some(({ type }) => isException(type)) ||
      scans.some((scan) => scan.exceptionReferences),
    dropped: [...dropped].sort(([a], [b]) => a - b).map(([, drop]) => drop),
  }
}

export interface LocalGroup {
  readonly count: number
  readonly type: number
}

/** The local declarations of a body, and where its instructions begin. */
export function localsOf(source: SourceFunction): { groups: LocalGroup[]; codeStart: number } {
  const reader = new ByteReader(source.bytes, source.body.start, source.body.end)
  const groups: LocalGroup[] = []
  for (let left = reader.u32(); left > 0; left--) groups.push({ count: reader.u32(), type: readValueType(reader) })
  return { groups, codeStart: reader.at }
}

/** A body with these locals, one of each of the types `added` behind them, and `code`. */
export function bodyWith(groups: readonly LocalGroup[], added: readonly number[], code: Uint8Array): Uint8Array {
  const w = new ByteWriter(code.length + 64).u32(groups.length + added.length)
  for (const { count, type } of groups) w.u32(count).u8(type)
  for (const type of added) w.u32(1).u8(type)
  return w.bytes(code).view()
}

/** A reader over the instructions of a body. */
export function instructionsOf(source: SourceFunction): InstructionReader {
  const reader = new InstructionReader(source.bytes, localsOf(source).codeStart, source.body.end)
  reader.functionIndex = source.index
  return reader
}

/** Every function that an indirect call may reach, as source indices. */
export function addressTakenIn(module: WasmModule, scans: readonly FunctionScan[], program: Program): Set<number> {
  const standIn = (target: number): number => program.redirect.get(target) ?? target
  const taken = new Set<number>()
  for (const scan of scans) for (const index of scan.addressTaken) taken.add(index)
  const named = (start: number, end: number): void => {
    const reader = new InstructionReader(module.bytes, start, end)
    while (!reader.done) {
      reader.next()
      if (reader.op === OP.refFunc) taken.add(standIn(reader.a))
    }
  }
  for (const segment of module.elements) {
    for (const index of segment.functions) taken.add(standIn(index))
    for (const { start, end } of segment.expressions) named(start, end)
  }
  for (const { init } of module.globals) named(init.start, init.end)
  return taken
}
