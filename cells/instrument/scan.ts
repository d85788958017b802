// One quick pass over a body: what it calls, whether it loops, which functions it takes the address of.
import { ByteReader } from '../wasm/byte-reader.ts'
import { InstructionReader } from '../wasm/instruction-reader.ts'
import { readValueType, type WasmModule } from '../wasm/module.ts'
import { OP } from '../wasm/opcodes.ts'
import { isReference } from './refusals.ts'
import type { Program, SourceFunction } from './source.ts'

export interface Call {
  /** Source index of the callee, or the type index of an indirect call. */
  readonly target: number
  readonly indirect: boolean
  /** A poll lies between the caller's entry and this call. */
  readonly inLoop: boolean
}

export interface FunctionScan {
  readonly calls: readonly Call[]
  readonly loops: boolean
  /** Source indices named by `ref.func`. */
  readonly addressTaken: readonly number[]
  /** False when no instruction is to be changed: such a body can be copied as it is. */
  readonly rewritten: boolean
  /** References may be among its locals and operands. */
  readonly references: boolean
  readonly changesTables: boolean
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
  let rewritten = false
  let references = false
  let changesTables = false
  const drops: { op: number; segment: number }[] = []
  const standIn = (target: number): number => (source.callsImports ? target : (program.redirect.get(target) ?? target))
  while (!reader.done) {
    reader.next()
    const op = reader.op
    visit?.(op)
    if (op === OP.block || op === OP.loop || op === OP.if || op === OP.try) {
      loopAt.push(op === OP.loop)
      if (op === OP.loop) {
        loopDepth++
        loops = true
      }
    } else if (op === OP.end || op === OP.delegate) {
      if (loopAt.pop()) loopDepth--
    } else if (op === OP.call || op === OP.returnCall) {
      rewritten = true
      calls.push({ target: standIn(reader.a), indirect: false, inLoop: loopDepth > 0 })
    } else if (op === OP.callIndirect || op === OP.returnCallIndirect) {
      calls.push({ target: reader.a, indirect: true, inLoop: loopDepth > 0 })
    } else if (op === OP.refFunc) {
      rewritten = true
      references = true
      addressTaken.push(standIn(reader.a))
    } else if (op === OP.refNull || op === OP.tableGet) references = true
    else if (op === OP.dataDrop || op === OP.elemDrop) {
      rewritten = true
      drops.push({ op, segment: reader.a })
    } else if (CHANGES_TABLES.has(op)) changesTables = true
  }
  references ||= localsOf(source).groups.some(({ type }) => isReference(type))
  return { calls, loops, addressTaken, rewritten, references, changesTables, drops }
}

const CHANGES_TABLES = new Set<number>([OP.tableSet, OP.tableInit, OP.tableCopy, OP.tableGrow, OP.tableFill])

/** What of a module's state lies in references, tables and segments: most modules have nothing of the kind. */
export interface StateUse {
  /** References may be in frames, globals or changed tables. */
  readonly references: boolean
  readonly tables: boolean
  /** Each once, ascending. */
  readonly dropped: readonly { readonly op: number; readonly segment: number }[]
}

export function stateUseOf(module: WasmModule, scans: readonly FunctionScan[]): StateUse {
  const tables = scans.some(({ changesTables }) => changesTables)
  const typed = module.types.some(({ params, results }) => params.some(isReference) || results.some(isReference))
  const global = module.globals.some(({ type, mutable }) => mutable && isReference(type))
  const dropped = new Map(scans.flatMap(({ drops }) => drops.map((drop) => [drop.op * 2 ** 20 + drop.segment, drop])))
  return {
    references: tables || typed || global || scans.some(({ references }) => references),
    tables,
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
