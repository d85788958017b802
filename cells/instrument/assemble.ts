// Writes the sections of the instrumented module. Data segments are referenced, not copied, until the very end.
import { utf8 } from '../../core/bytes.ts'
import { ByteWriter } from '../wasm/byte-writer.ts'
import { InstructionReader } from '../wasm/instruction-reader.ts'
import { KIND, type WasmModule } from '../wasm/module.ts'
import { OP, TYPE } from '../wasm/opcodes.ts'
import { type Range, SECTION } from '../wasm/sections.ts'
import { ABI, DIRTY_MAP_SHIFT, FRAME_BASE, MAX_FRAME_PAGES, memoryName, WASM_PAGE_BYTES } from './abi.ts'
import { Allowance } from './allowance.ts'
import type { BranchHints } from './branch-hints.ts'
import type { Helper } from './helpers.ts'
import { type Output, rewrites } from './output.ts'
import { MAX_TABLE_ENTRIES, tableEntries } from './refusals.ts'
import type { SourceFunction } from './source.ts'

export interface Section {
  readonly id: number
  readonly content: Uint8Array
}

/** Every body in the order of its index, helpers last. */
export function sectionsOf(
  output: Output,
  code: ByteWriter,
  hints: BranchHints,
  helpers: readonly Helper[],
  memoryMaxPages: number,
): Section[] {
  const { module } = output
  const rewindTypes = output.suspendable.map(({ type }) => output.typeId([], type.results))
  const helperTypes = helpers.map(({ type }) => output.typeId(type.params, type.results))
  const tagType = output.typeId([], [])
  const imported = imports(output, memoryMaxPages)
  const sections: [number, ByteWriter | Uint8Array | undefined][] = [
    [SECTION.type, types(output)],
    [SECTION.import, imported],
    [SECTION.function, functionTypes(output, [...rewindTypes, ...helperTypes])],
    [SECTION.table, tables(output)],
    [SECTION.memory, memories(output, memoryMaxPages)],
    [SECTION.tag, appended(module, SECTION.tag, 1, (w) => w.op(0).u32(tagType))],
    [SECTION.global, globals(output)],
    [SECTION.export, exportsOf(output, helpers)],
    [SECTION.element, elements(output)],
    [SECTION.dataCount, original(module, SECTION.dataCount)],
    [SECTION.custom, hints.section()],
    [SECTION.code, code],
    [SECTION.data, output.tracking ? passiveData(module) : original(module, SECTION.data)],
  ]
  return sections.flatMap(([id, content]) => {
    if (content === undefined) return []
    return [{ id, content: content instanceof ByteWriter ? content.view() : content }]
  })
}

/** The whole module in one buffer. */
export function join(sections: readonly Section[]): Uint8Array {
  const parts: Uint8Array[] = [new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])]
  for (const { id, content } of sections) parts.push(new ByteWriter(8).u8(id).u32(content.length).view(), content)
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** The rest of the instructions, those that need it rewritten. */
export function copyRenumbered(
  w: ByteWriter,
  reader: InstructionReader,
  output: Output,
  caller?: SourceFunction,
): void {
  let from = reader.at
  while (!reader.done) {
    reader.next()
    if (!rewrites(reader.op)) continue
    w.bytes(reader.bytes, from, reader.start)
    output.copy(w, reader.op, reader.a, reader.bytes, reader.start, reader.at, caller)
    from = reader.at
  }
  w.bytes(reader.bytes, from, reader.at)
}

function original(module: WasmModule, id: number): Uint8Array | undefined {
  const range = module.sections.get(id)
  return range && module.bytes.subarray(range.start, range.end)
}

/** A vector section with `count` items more. */
function appended(module: WasmModule, id: number, count: number, add: (w: ByteWriter) => void): ByteWriter {
  const content = original(module, id)
  const w = new ByteWriter((content?.length ?? 0) + 64)
  if (content === undefined) w.u32(count)
  else {
    const reader = new InstructionReader(content)
    w.u32(reader.u32() + count).bytes(content, reader.at)
  }
  add(w)
  return w
}

/** The guest's may grow together to what the engine has room for. */
function tables({ module, use, suspendable, referable }: Output): ByteWriter {
  const w = new ByteWriter().u32(module.tables.length + (use.references ? 2 : 1))
  const room = Math.floor((MAX_TABLE_ENTRIES - tableEntries(module)) / Math.max(1, module.tables.length))
  for (const { type, minimum, maximum } of module.tables)
    limits(w.u8(type), minimum, Math.min(maximum ?? MAX_TABLE_ENTRIES, minimum + room))
  limits(w.u8(TYPE.funcref), suspendable.length)
  if (use.references) limits(w.u8(TYPE.funcref), referable.length + 1)
  return w
}

function types(output: Output): ByteWriter {
  const w = new ByteWriter().u32(output.types.length)
  for (const { params, results } of output.types)
    w.op(0x60)
      .u32(params.length)
      .op(...params)
      .u32(results.length)
      .op(...results)
  return w
}

function functionTypes(output: Output, added: readonly number[]): ByteWriter {
  const all = output.program.functions.map(({ typeIndex }) => typeIndex).concat(added)
  const w = new ByteWriter().u32(all.length)
  for (const typeIndex of all) w.u32(typeIndex)
  return w
}

function limits(w: ByteWriter, minimum: number, maximum = minimum): void {
  w.op(1).u32(minimum).u32(maximum)
}

/** The tracking build takes the memories of the instance whose program it goes on with. */
function imports(output: Output, maxPages: number): ByteWriter {
  const poll = output.typeId([], [TYPE.i32])
  const { references } = output.use
  const reference = references ? output.typeId([TYPE.funcref], [TYPE.i32]) : 0
  const own = output.tracking ? ownMemories(output, maxPages) : []
  return appended(output.module, SECTION.import, (references ? 2 : 1) + own.length, (w) => {
    w.name(ABI.pollModule).name(ABI.pollName).op(KIND.function).u32(poll)
    if (references) w.name(ABI.pollModule).name(ABI.referenceName).op(KIND.function).u32(reference)
    for (const [index, { minimum, maximum }] of own.entries()) {
      const name = index === output.frameMemory ? ABI.frameMemory : `${ABI.guestMemory}${index}`
      limits(w.name(ABI.pollModule).name(name).op(KIND.memory), minimum, maximum)
    }
  })
}

function memories(output: Output, maxPages: number): ByteWriter {
  const mapBytes = output.module.memories.length << DIRTY_MAP_SHIFT
  const map = { minimum: mapBytes / WASM_PAGE_BYTES, maximum: mapBytes / WASM_PAGE_BYTES }
  const all = output.tracking ? [map] : ownMemories(output, maxPages)
  const w = new ByteWriter().u32(all.length)
  for (const { minimum, maximum } of all) limits(w, minimum, maximum)
  return w
}

/** The guest's, capped together, then that of the frames. */
function ownMemories({ module }: Output, maxPages: number): { minimum: number; maximum: number }[] {
  const allowance = new Allowance(
    maxPages,
    module.memories.map(({ minimum }) => minimum),
  )
  const capped = module.memories.map(({ minimum, maximum }) => {
    return { minimum, maximum: allowance.grant(minimum, maximum) }
  })
  return [...capped, { minimum: 1, maximum: MAX_FRAME_PAGES }]
}

/** The data of a program that runs already: what was placed at its start is in its memory, and is dropped. */
function passiveData(module: WasmModule): ByteWriter | undefined {
  const content = original(module, SECTION.data)
  if (content === undefined) return undefined
  const reader = new InstructionReader(content)
  const count = reader.u32()
  const w = new ByteWriter(content.length + 16).u32(count)
  for (let i = 0; i < count; i++) {
    const flags = reader.u32()
    if (flags === 2) reader.u32()
    if (flags !== 1)
      do reader.next()
      while (reader.op !== OP.end)
    const bytes = reader.u32()
    const from = reader.at
    reader.skip(bytes)
    w.op(1)
    if (flags === 1) w.u32(bytes).bytes(content, from, reader.at)
    else w.u32(0)
  }
  return w
}

function constant(w: ByteWriter, output: Output, { start, end }: Range): void {
  copyRenumbered(w, new InstructionReader(output.module.bytes, start, end), output)
}

function globals(output: Output): ByteWriter {
  const own = Object.keys(output.globals).length + output.use.dropped.length
  const w = new ByteWriter().u32(output.module.globals.length + own)
  for (const { type, mutable, init } of output.module.globals) {
    w.op(type, mutable ? 1 : 0)
    constant(w, output, init)
  }
  for (const index of Object.values(output.globals))
    w.op(TYPE.i32, 1, OP.i32Const)
      .s33(index === output.globals.top ? FRAME_BASE : 0)
      .op(OP.end)
  for (const _ of output.use.dropped) w.op(TYPE.i32, 1, OP.i32Const, 0, OP.end)
  return w
}

function exportsOf(output: Output, helpers: readonly Helper[]): ByteWriter {
  const all = output.module.exports.map((entry) => ({
    ...entry,
    index: entry.kind === KIND.function ? output.functionId(entry.index) : entry.index,
  }))
  for (const [k, { exportName }] of helpers.entries())
    if (exportName !== undefined) all.push({ name: exportName, kind: KIND.function, index: output.helpers.first + k })
  all.push({ name: ABI.frames, kind: KIND.memory, index: output.frameMemory })
  for (const index of output.module.memories.keys()) all.push({ name: memoryName(index), kind: KIND.memory, index })
  if (output.tracking) all.push({ name: ABI.dirty, kind: KIND.memory, index: output.dirtyMemory })
  if (output.use.references) all.push({ name: ABI.functions, kind: KIND.table, index: output.functionTable })
  for (const [k, index] of output.use.tables.entries()) all.push({ name: ABI.table + k, kind: KIND.table, index })
  all.push({ name: ABI.top, kind: KIND.global, index: output.globals.top })
  all.push({ name: ABI.fuel, kind: KIND.global, index: output.globals.fuel })
  all.push({ name: ABI.fault, kind: KIND.global, index: output.globals.fault })
  const w = new ByteWriter().u32(all.length)
  for (const { name, kind, index } of all) w.bytes(new ByteWriter().name(name).view()).u8(kind).u32(index)
  return w
}

function elements(output: Output): ByteWriter {
  const { module } = output
  const w = new ByteWriter().u32(module.elements.length + (output.use.references ? 2 : 1))
  for (const { flags, table, offset, type, functions, expressions } of module.elements) {
    w.u32(flags)
    if ((flags & 3) === 2) w.u32(table)
    if (offset) constant(w, output, offset)
    if (type !== undefined) w.u8(type)
    w.u32(functions.length + expressions.length)
    for (const index of functions) w.u32(output.functionId(index))
    for (const expression of expressions) constant(w, output, expression)
  }
  // The rewind copies, by ordinal: how a frame finds its function.
  w.u32(2).u32(output.rewindTable).op(OP.i32Const, 0, OP.end, 0).u32(output.suspendable.length)
  for (const { index } of output.suspendable) w.u32(output.rewindId(index))
  if (!output.use.references) return w
  w.u32(2).u32(output.functionTable).op(OP.i32Const, 1, OP.end, 0).u32(output.referable.length)
  for (const index of output.referable) w.u32(index)
  return w
}

/** What the layout hash covers besides the sections: bumping the version changes it. */
export function hashedHeader(version: string): Uint8Array {
  return utf8(`cloudskin instrumenter ${version}\n`)
}
