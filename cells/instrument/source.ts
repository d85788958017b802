// The functions to transform: the guest's own, and a few made up here, in one index space.
// Source indices: imports, then defined functions, then the made-up ones.
import { ByteWriter } from '../wasm/byte-writer.ts'
import { type FunctionType, KIND, type WasmModule } from '../wasm/module.ts'
import { EMPTY_BLOCK, OP, TYPE } from '../wasm/opcodes.ts'
import type { Range } from '../wasm/sections.ts'
import { BLOCK_AGAIN, BLOCKING_IMPORTS } from './abi.ts'
import { startFunction } from './refusals.ts'

export interface SourceFunction {
  readonly index: number
  readonly type: FunctionType
  readonly typeIndex: number
  /** Where its body lies: the guest's module, or a buffer of its own. */
  readonly bytes: Uint8Array
  readonly body: Range
  /** True of a function that calls imports as they are, not the loop around them. */
  readonly callsImports: boolean
}

export interface Program {
  readonly module: WasmModule
  /** Everything with a body; `functions[0].index` is the number of imports. */
  readonly functions: readonly SourceFunction[]
  /** Source index of what `run` calls. */
  readonly entry: number
  /** The function that stands for `target` outside of wrappers: a loop round a blocking import, or itself. */
  readonly redirect: ReadonlyMap<number, number>
}

/** Adds the loops round blocking imports, and an entry that runs a start section first. */
export function programOf(module: WasmModule): Program {
  const functions: SourceFunction[] = module.bodies.map((body, i) => {
    const index = module.importedFunctions + i
    return { index, ...typeOf(module, index), bytes: module.bytes, body, callsImports: false }
  })
  const add = (typeIndex: number, callsImports: boolean, code: ByteWriter): number => {
    const index = module.importedFunctions + functions.length
    const type = module.types[typeIndex] ?? { params: [], results: [] }
    const body = { start: 0, end: code.length }
    functions.push({ index, type, typeIndex, bytes: code.view(), body, callsImports })
    return index
  }
  const redirect = new Map<number, number>()
  const imported = module.imports.filter((entry) => entry.kind === KIND.function)
  for (const [index, { name, typeIndex }] of imported.entries()) {
    const type = module.types[typeIndex]
    const answers = type?.results.length === 1 && type.results[0] === TYPE.i32
    if (type === undefined || !answers || !BLOCKING_IMPORTS.includes(name)) continue
    redirect.set(index, add(typeIndex, true, callUntilDone(index, type)))
  }
  let entry = startFunction(module) ?? 0
  if (module.start !== undefined) {
    const code = new ByteWriter().op(0, OP.call).u32(module.start).op(OP.call).u32(entry).op(OP.end)
    entry = add(module.functionTypes[entry] ?? 0, false, code)
  }
  return { module, functions, entry, redirect }
}

function typeOf(module: WasmModule, index: number): { type: FunctionType; typeIndex: number } {
  const typeIndex = module.functionTypes[index] ?? 0
  return { typeIndex, type: module.types[typeIndex] ?? { params: [], results: [] } }
}

/** `do r = import(args) while r == BLOCK_AGAIN`: the loop is where the program can be suspended. */
function callUntilDone(index: number, type: FunctionType): ByteWriter {
  const result = type.params.length
  const code = new ByteWriter().op(1, 1, TYPE.i32, OP.loop, EMPTY_BLOCK)
  for (let param = 0; param < type.params.length; param++) code.op(OP.localGet).u32(param)
  code.op(OP.call).u32(index).op(OP.localTee).u32(result)
  code.op(OP.i32Const).s33(BLOCK_AGAIN).op(OP.i32Eq, OP.brIf, 0, OP.end)
  return code.op(OP.localGet).u32(result).op(OP.end)
}
