// Asks the engine whether a module is valid, unless the asking itself would cost the process its memory. For every
// `br_table` V8's validator takes a bit per open block, and frees none before the function's end: 400 KB of code can
// make it take 1.5 GB, and as much as a function may have, more than any machine has. And for every function with branch
// hints, which the module need not have, it keeps a table of its own: 32 times what they take in the module.
import { CodedError } from '../../core/errors.ts'
import { ByteReader, notWasm } from './byte-reader.ts'
import { InstructionReader } from './instruction-reader.ts'
import { OP, opensBlock } from './opcodes.ts'
import { BRANCH_HINTS, SECTION, sectionsOf } from './sections.ts'

/** What the branch tables of one function may make the validator take. Compilers stay under 1 MiB. */
const MAX_TABLE_BYTES = 64 << 20
/** Smaller bodies cannot: with a quarter of their bytes in nesting and the rest in tables they take size² / 320. */
const SMALL_BODY_BYTES = 128 << 10
/** A body that cannot be read to its end is judged by its size. Takes 200 MB at most. */
const MAX_UNREAD_BODY_BYTES = 256 << 10
/** What branch hints may take: compilers write a few bytes for some of the branches. */
const MAX_HINT_BYTES = 4 << 20

/** Whether the engine takes the module. Throws `CELL_NOT_WASM` for one that is not even to be tried. */
export function isValidModule(bytes: Uint8Array): boolean {
  for (const [start, end] of largeBodies(bytes)) refuseCostly(bytes, start, end)
  if (hintBytes(bytes) > MAX_HINT_BYTES) throw notWasm('it has too many branch hints', 0)
  return WebAssembly.validate(bytes)
}

/** None of a module whose sections cannot be found: the engine will not find them either. */
function largeBodies(bytes: Uint8Array): [number, number][] {
  const found: [number, number][] = []
  eachSection(bytes, SECTION.code, (reader) => {
    for (let left = reader.u32(); left > 0; left--) {
      const length = reader.u32()
      if (length > SMALL_BODY_BYTES) found.push([reader.at, reader.at + length])
      reader.skip(length)
    }
  })
  return found
}

function hintBytes(bytes: Uint8Array): number {
  let found = 0
  eachSection(bytes, SECTION.custom, (reader, size) => {
    if (reader.name() === BRANCH_HINTS) found += size
  })
  return found
}

/** As far as they can be found and read. */
function eachSection(bytes: Uint8Array, wanted: number, read: (reader: ByteReader, size: number) => void): void {
  try {
    for (const { id, start, end } of sectionsOf(bytes))
      if (id === wanted) read(new ByteReader(bytes, start, end), end - start)
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
  }
}

function refuseCostly(bytes: Uint8Array, start: number, end: number): void {
  let depth = 1
  let cost = 0
  try {
    const reader = new InstructionReader(bytes, bodyCode(bytes, start, end), end)
    while (!reader.done) {
      reader.next()
      if (opensBlock(reader.op)) depth++
      else if (reader.op === OP.end || reader.op === OP.delegate) depth--
      else if (reader.op === OP.brTable) cost += depth / 8
      if (cost > MAX_TABLE_BYTES) break
    }
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    if (end - start > MAX_UNREAD_BODY_BYTES) throw error
  }
  if (cost > MAX_TABLE_BYTES) throw notWasm('it has too many branch tables in too deep a nest of blocks', start)
}

/** Where the instructions begin, behind the declarations of locals: a count and a type each. */
function bodyCode(bytes: Uint8Array, start: number, end: number): number {
  const reader = new ByteReader(bytes, start, end)
  for (let left = reader.u32(); left > 0; left--) {
    reader.skipLeb()
    const type = reader.u8()
    // A reference to a type that is named behind it.
    if (type === 0x63 || type === 0x64) reader.skipLeb()
  }
  return reader.at
}
