// A WebAssembly module taken apart: what its sections declare, and where its code and data lie. Copies no bytes.
import { CodedError } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import { ByteReader, notWasm } from './byte-reader.ts'
import { InstructionReader } from './instruction-reader.ts'
import { OP } from './opcodes.ts'
import { type Range, SECTION, sectionsOf } from './sections.ts'
import { isValidModule } from './validate.ts'
import { readValueType, unsupportedType } from './value-type.ts'

export const KIND = { function: 0, table: 1, memory: 2, global: 3, tag: 4 } as const

export interface FunctionType {
  readonly params: readonly number[]
  readonly results: readonly number[]
}

export interface ImportEntry {
  readonly module: string
  readonly name: string
  readonly kind: number
  /** Type index, of functions only; else -1. */
  readonly typeIndex: number
  /** True of a memory that threads share. */
  readonly shared: boolean
}

export interface Limits {
  /** Bit 0: a maximum is given; bit 1: shared; bit 2: 64-bit. */
  readonly flags: number
  readonly minimum: number
  readonly maximum: number | undefined
}

export interface TableEntry {
  /** Of its elements. */
  readonly type: number
  readonly minimum: number
  readonly maximum: number | undefined
}

export interface GlobalEntry {
  readonly type: number
  readonly mutable: boolean
  readonly init: Range
}

export interface ExportEntry {
  readonly name: string
  readonly kind: number
  readonly index: number
}

export interface ElementSegment {
  readonly flags: number
  readonly table: number
  readonly offset: Range | undefined
  /** The element kind or type byte, where the encoding has one. */
  readonly type: number | undefined
  /** Function indices, or with bit 2 of `flags` constant expressions. */
  readonly functions: readonly number[]
  readonly expressions: readonly Range[]
}

export interface WasmModule {
  readonly bytes: Uint8Array
  readonly sections: ReadonlyMap<number, Range>
  readonly types: readonly FunctionType[]
  readonly imports: readonly ImportEntry[]
  /** Type index of every function, imported ones first. */
  readonly functionTypes: readonly number[]
  readonly importedFunctions: number
  readonly tables: readonly TableEntry[]
  readonly memories: readonly Limits[]
  /** Type index of every tag. */
  readonly tags: readonly number[]
  readonly globals: readonly GlobalEntry[]
  readonly exports: readonly ExportEntry[]
  readonly start: number | undefined
  readonly elements: readonly ElementSegment[]
  /** Function bodies, local declarations included, size prefix excluded. */
  readonly bodies: readonly Range[]
}

/** Validates with the engine and takes the module apart. Throws `CELL_NOT_WASM`, and refusals of unknown encodings. */
export function decodeModule(bytes: Uint8Array): WasmModule {
  if (!isValidModule(bytes)) throw notWasm('the engine does not accept it', 0)
  const sections = findSections(bytes)
  const open = (id: number): ByteReader | undefined => {
    const range = sections.get(id)
    return range && new ByteReader(bytes, range.start, range.end)
  }
  const imports = vector(open(SECTION.import), readImport)
  const functionImports = imports.filter((entry) => entry.kind === KIND.function)
  const imported = functionImports.map((entry) => entry.typeIndex)
  return {
    bytes,
    sections,
    types: vector(open(SECTION.type), readFunctionType),
    imports,
    functionTypes: imported.concat(vector(open(SECTION.function), (reader) => reader.u32())),
    importedFunctions: imported.length,
    tables: vector(open(SECTION.table), readTable),
    memories: vector(open(SECTION.memory), readLimits),
    tags: vector(open(SECTION.tag), readTag),
    globals: vector(open(SECTION.global), readGlobal),
    exports: vector(open(SECTION.export), readExport),
    start: open(SECTION.start)?.u32(),
    elements: vector(open(SECTION.element), readElement),
    bodies: vector(open(SECTION.code), readBody),
  }
}

function findSections(bytes: Uint8Array): Map<number, Range> {
  const sections = new Map<number, Range>()
  for (const { id, start, end } of sectionsOf(bytes)) if (id !== SECTION.custom) sections.set(id, { start, end })
  return sections
}

function vector<T>(reader: ByteReader | undefined, item: (reader: ByteReader) => T): T[] {
  if (reader === undefined) return []
  const out: T[] = []
  for (let left = reader.u32(); left > 0; left--) out.push(item(reader))
  return out
}

function readFunctionType(reader: ByteReader): FunctionType {
  const form = reader.u8()
  if (form !== 0x60) throw unsupportedType(form, -1, reader.at - 1)
  return { params: vector(reader, readValueType), results: vector(reader, readValueType) }
}

function wideAddresses(flags: number, offset: number): CodedError<CellErrorCode> {
  return new CodedError(
    'CELL_UNSUPPORTED_OPCODE',
    'The module has a memory or table with 64-bit addresses: compile it for wasm32-wasip1.',
    { facts: { op: `limits 0x${flags.toString(16)}`, function: -1, offset } },
  )
}

function readLimits(reader: ByteReader): Limits {
  const flags = reader.u8()
  if (flags > 3) throw wideAddresses(flags, reader.at - 1)
  return { flags, minimum: reader.u32(), maximum: flags & 1 ? reader.u32() : undefined }
}

function readTable(reader: ByteReader): TableEntry {
  const type = readValueType(reader)
  const { minimum, maximum } = readLimits(reader)
  return { type, minimum, maximum }
}

function readImport(reader: ByteReader): ImportEntry {
  const entry = { module: reader.name(), name: reader.name(), kind: reader.u8(), typeIndex: -1, shared: false }
  if (entry.kind === KIND.function) entry.typeIndex = reader.u32()
  else if (entry.kind === KIND.table) readTable(reader)
  else if (entry.kind === KIND.memory) entry.shared = (readLimits(reader).flags & 2) !== 0
  else {
    reader.u8()
    reader.skipLeb()
  }
  return entry
}

function readConstant(reader: ByteReader): Range {
  const start = reader.at
  const instructions = new InstructionReader(reader.bytes, start, reader.end)
  do instructions.next()
  while (instructions.op !== OP.end)
  reader.at = instructions.at
  return { start, end: reader.at }
}

function readGlobal(reader: ByteReader): GlobalEntry {
  return { type: readValueType(reader), mutable: reader.u8() === 1, init: readConstant(reader) }
}

function readExport(reader: ByteReader): ExportEntry {
  return { name: reader.name(), kind: reader.u8(), index: reader.u32() }
}

function readElement(reader: ByteReader): ElementSegment {
  const flags = reader.u32()
  // Bit 0: passive or declarative; bit 1: explicit table or declarative; bit 2: expressions instead of indices.
  const table = (flags & 3) === 2 ? reader.u32() : 0
  const offset = flags & 1 ? undefined : readConstant(reader)
  const type = flags & 3 ? (flags & 4 ? readValueType(reader) : reader.u8()) : undefined
  const functions = flags & 4 ? [] : vector(reader, (item) => item.u32())
  const expressions = flags & 4 ? vector(reader, readConstant) : []
  return { flags, table, offset, type, functions, expressions }
}

function readTag(reader: ByteReader): number {
  reader.u8()
  return reader.u32()
}

function readBody(reader: ByteReader): Range {
  const size = reader.u32()
  const start = reader.at
  reader.skip(size)
  return { start, end: reader.at }
}
