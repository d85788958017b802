// What cannot be made suspendable, and how that is said. Module level first, then instruction by instruction.
import { CodedError, type Facts } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import { KIND, type WasmModule } from '../wasm/module.ts'
import { TYPE } from '../wasm/opcodes.ts'
import { ABI, MAX_MEMORIES } from './abi.ts'

/** The only module that a cell may import from. */
export const WASI_MODULE = 'wasi_snapshot_preview1'

/** Entries of all tables: a large program has ten thousand, and V8 aborts the process when it has no room for them. */
export const MAX_TABLE_ENTRIES = 1_000_000

/** What can always be done about a program that cannot be suspended. */
const OR_STAY = ', or run it where it starts with --migratable=false'

/** Tags and what they carry: real programs have a handful, and a handler of all writes a clause for each. */
const MAX_TAG_PARTS = 10_000

function refuse(code: CellErrorCode, message: string, facts: Facts = {}): CodedError<CellErrorCode> {
  return new CodedError(code, message, { facts })
}

/** Throws the first reason why `module` as a whole cannot be a cell. */
export function refuseModule(module: WasmModule): void {
  const names = new Set(module.exports.map((entry) => entry.name))
  const asyncify = ['asyncify_start_unwind', 'asyncify_start_rewind'].find((name) => names.has(name))
  const reserved = module.exports.find((entry) => entry.name.startsWith(ABI.prefix))?.name
  const taken = asyncify ?? reserved
  if (taken !== undefined)
    throw refuse(
      'CELL_ALREADY_ASYNCIFIED',
      `The module exports ${taken}: submit it as the compiler made it${OR_STAY}.`,
      {
        export: taken,
      },
    )
  const shared = module.memories.some((memory) => memory.flags & 2) || module.imports.some((entry) => entry.shared)
  if (shared) throw refuse('CELL_THREADS_UNSUPPORTED', 'The module shares its memory: compile it for a single thread.')
  for (const { module: from, name, kind } of module.imports)
    if (from !== WASI_MODULE || kind !== KIND.function)
      throw refuse(
        'CELL_UNKNOWN_IMPORT',
        `The module imports ${from}.${name}, but a cell has functions of ${WASI_MODULE} only: compile it for wasm32-wasip1.`,
        { module: from, name },
      )
  for (const { module: from, name, typeIndex } of module.imports) {
    const type = module.types[typeIndex]
    if (type?.params.some(isReference) || type?.results.some(isReference))
      throw refuse('CELL_UNKNOWN_IMPORT', `The module gives references to ${from}.${name}, or takes them.`, {
        module: from,
        name,
      })
  }
  if (startFunction(module) === undefined)
    throw refuse(
      'CELL_NOT_A_COMMAND',
      'The module exports no function _start without parameters and results: link it as a command, not as a library.',
    )
  const parts = module.tags.reduce((sum, type) => sum + 1 + (module.types[type]?.params.length ?? 0), 0)
  if (parts > MAX_TAG_PARTS)
    throw refuse('CELL_UNSUPPORTED_OPCODE', `The module's tags carry ${parts} values, ${MAX_TAG_PARTS} are the most.`, {
      op: 'so many tags',
      function: -1,
    })
  const nested = module.tags.findIndex((type) => module.types[type]?.params.includes(TYPE.exnref))
  if (nested >= 0)
    throw refuse('CELL_UNSUPPORTED_OPCODE', `Exceptions of tag ${nested} carry other exceptions: compile it without.`, {
      op: 'a tag with exnref',
      function: -1,
    })
  if (module.memories.length > MAX_MEMORIES) throw notSerializable(`more than ${MAX_MEMORIES} memories`)
  const entries = tableEntries(module)
  if (entries > MAX_TABLE_ENTRIES)
    throw refuse(
      'CELL_MEMORY_LIMIT',
      `The module has tables of ${entries} entries, ${MAX_TABLE_ENTRIES} are the most.`,
      {
        entries,
      },
    )
}

/** Entries of all tables at the start. */
export function tableEntries(module: WasmModule): number {
  return module.tables.reduce((sum, { minimum }) => sum + minimum, 0)
}

/** Index of `_start`, when it is a function from nothing to nothing. */
export function startFunction(module: WasmModule): number | undefined {
  const entry = module.exports.find((item) => item.name === '_start' && item.kind === KIND.function)
  const type = entry && module.types[module.functionTypes[entry.index] ?? -1]
  return type && type.params.length + type.results.length === 0 ? entry?.index : undefined
}

export function notSerializable(what: string, at: Facts = {}): CodedError<CellErrorCode> {
  return refuse(
    'CELL_STATE_NOT_SERIALIZABLE',
    `The module uses ${what}, whose state a snapshot cannot hold: compile it without${OR_STAY}.`,
    { what, ...at },
  )
}

export function unsupported(op: string, functionIndex: number, offset: number): CodedError<CellErrorCode> {
  return refuse(
    'CELL_UNSUPPORTED_OPCODE',
    `Function ${functionIndex} may be suspended and uses ${op}, which cannot be moved yet: compile without it${OR_STAY}.`,
    { op, function: functionIndex, offset },
  )
}

export function relaxedSimd(functionIndex: number, offset: number): CodedError<CellErrorCode> {
  return refuse(
    'CELL_UNSUPPORTED_OPCODE',
    `Function ${functionIndex} uses relaxed SIMD, whose results differ between processors: compile without it, or do not ask for canonical NaNs.`,
    { op: 'relaxed SIMD', function: functionIndex, offset },
  )
}

export function isReference(type: number): boolean {
  // Also the types of null references, which no module can declare but `ref.null` can push.
  return type > 0 && type < TYPE.v128
}
