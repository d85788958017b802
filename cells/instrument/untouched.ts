// A module that is run as it is, and cannot be moved: its memories and tables are capped, nothing else is changed. Reads
// no more than it must, so that what the instrumenter does not know can still run.
import { CodedError } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import { ByteReader, notWasm } from '../wasm/byte-reader.ts'
import { ByteWriter } from '../wasm/byte-writer.ts'
import { KIND } from '../wasm/module.ts'
import { SECTION, sectionsOf } from '../wasm/sections.ts'
import { isValidModule } from '../wasm/validate.ts'
import { WASM_PAGE_BYTES } from './abi.ts'
import { Allowance } from './allowance.ts'
import { join } from './assemble.ts'
import { MAX_TABLE_ENTRIES, WASI_MODULE } from './refusals.ts'

/** In `Limits` of the binary format. */
const HAS_MAXIMUM = 1
const WIDE = 4

interface Bounds {
  readonly flags: number
  readonly minimum: number
  readonly maximum: number | undefined
}

/** What stands before and after an item's limits stays as it is. */
interface Bounded extends Bounds {
  readonly kind: number
  readonly before: Uint8Array
}

/**
 * Compiles what runs on the engine `wasi` without being instrumented. Throws as `cappedModule`, and `CELL_UNKNOWN_IMPORT`,
 * `CELL_NOT_A_COMMAND`; a `WebAssembly.CompileError` when the engine does not take it.
 */
export function untouchedModule(bytes: Uint8Array, memoryMaxPages: number): WebAssembly.Module {
  const module = new WebAssembly.Module(cappedModule(bytes, memoryMaxPages))
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    if (from === WASI_MODULE && kind === 'function') continue
    const message = `The module imports ${from}.${name}, which is no function of ${WASI_MODULE}: try --engine wasix.`
    throw new CodedError<CellErrorCode>('CELL_UNKNOWN_IMPORT', message)
  }
  const exported = WebAssembly.Module.exports(module)
  if (exported.some(({ name, kind }) => name === '_start' && kind === 'function')) return module
  const message = 'The module exports no function _start: link it as a command, not as a library.'
  throw new CodedError<CellErrorCode>('CELL_NOT_A_COMMAND', message)
}

/**
 * `bytes` with all memories together capped at `memoryMaxPages`, and all tables at a million entries, imported ones
 * included. Throws `CELL_NOT_WASM`, `CELL_MEMORY_LIMIT` when it starts with more, `CELL_UNSUPPORTED_OPCODE` for 64-bit memories.
 */
export function cappedModule(bytes: Uint8Array, memoryMaxPages: number): Uint8Array {
  if (!isValidModule(bytes)) throw notWasm('the engine does not accept it', 0)
  const sections = [...sectionsOf(bytes)].map(({ id, start, end }) => ({ id, content: bytes.subarray(start, end) }))
  const items = sections.map(({ id, content }) => itemsOf(id, content))
  const all = items.flatMap((found) => found ?? [])
  const memories = new Allowance(memoryMaxPages, minimaOf(all, KIND.memory))
  const tables = new Allowance(MAX_TABLE_ENTRIES, minimaOf(all, KIND.table))
  if (memories.exceeded) throw tooLarge('memory', memoryMaxPages * WASM_PAGE_BYTES, 'bytes')
  if (tables.exceeded) throw tooLarge('tables', MAX_TABLE_ENTRIES, 'entries')
  const grant = (item: Bounded): Bounded => {
    if (item.kind !== KIND.memory && item.kind !== KIND.table) return item
    const allowance = item.kind === KIND.memory ? memories : tables
    return { ...item, flags: item.flags | HAS_MAXIMUM, maximum: allowance.grant(item.minimum, item.maximum) }
  }
  return join(
    sections.map(({ id, content }, k) => ({ id, content: items[k] ? written(items[k].map(grant)) : content })),
  )
}

/** The items of a section that can declare memories or tables; undefined for every other section. */
function itemsOf(id: number, content: Uint8Array): Bounded[] | undefined {
  const read = id === SECTION.import ? readImport : id === SECTION.table ? readTable : readMemory
  if (id !== SECTION.import && id !== SECTION.table && id !== SECTION.memory) return undefined
  const reader = new ByteReader(content)
  const items: Bounded[] = []
  for (let left = reader.u32(); left > 0; left--) items.push(read(reader))
  return items
}

function readMemory(reader: ByteReader): Bounded {
  return { kind: KIND.memory, before: new Uint8Array(0), ...readBounds(reader) }
}

function readTable(reader: ByteReader): Bounded {
  const start = reader.at
  skipReferenceType(reader)
  const before = reader.bytes.subarray(start, reader.at)
  return { kind: KIND.table, before, ...readBounds(reader) }
}

function readImport(reader: ByteReader): Bounded {
  const start = reader.at
  reader.name()
  reader.name()
  const kind = reader.u8()
  if (kind === KIND.memory || kind === KIND.table) {
    if (kind === KIND.table) skipReferenceType(reader)
    return { kind, before: reader.bytes.subarray(start, reader.at), ...readBounds(reader) }
  }
  if (kind === KIND.global) {
    skipValueType(reader)
    reader.u8()
  } else {
    if (kind === KIND.tag) reader.u8()
    reader.u32()
  }
  return { kind, before: reader.bytes.subarray(start, reader.at), flags: 0, minimum: 0, maximum: undefined }
}

/** One byte, or a byte and the type that it refers to. */
function skipValueType(reader: ByteReader): void {
  const type = reader.u8()
  if (type === 0x63 || type === 0x64) reader.skipLeb()
}

function skipReferenceType(reader: ByteReader): void {
  if (reader.bytes[reader.at] === 0x40) throw unsupported('a table with an initial value')
  skipValueType(reader)
}

function readBounds(reader: ByteReader): Bounds {
  const flags = reader.u8()
  if (flags & WIDE) throw unsupported('64-bit addresses')
  return { flags, minimum: reader.u32(), maximum: flags & HAS_MAXIMUM ? reader.u32() : undefined }
}

function written(items: readonly Bounded[]): Uint8Array {
  const w = new ByteWriter().u32(items.length)
  for (const { kind, before, flags, minimum, maximum } of items) {
    w.bytes(before)
    if (kind === KIND.memory || kind === KIND.table)
      w.u8(flags)
        .u32(minimum)
        .u32(maximum ?? minimum)
  }
  return w.view()
}

function minimaOf(items: readonly Bounded[], kind: number): number[] {
  return items.flatMap((item) => (item.kind === kind ? [item.minimum] : []))
}

function unsupported(what: string): CodedError<CellErrorCode> {
  return new CodedError('CELL_UNSUPPORTED_OPCODE', `The module has ${what}: compile it for wasm32-wasip1.`)
}

function tooLarge(what: string, cap: number, unit: string): CodedError<CellErrorCode> {
  return new CodedError('CELL_MEMORY_LIMIT', `The module starts with more ${what} than the ${cap} ${unit} it may have.`)
}
