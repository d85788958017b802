// Makes a command of a module that is none: its `_start` calls the functions one after the other and traces what they give.
import { ByteReader } from '../../cells/wasm/byte-reader.ts'
import { ByteWriter } from '../../cells/wasm/byte-writer.ts'
import { decodeModule, type FunctionType, type WasmModule } from '../../cells/wasm/module.ts'
import { OP, TYPE } from '../../cells/wasm/opcodes.ts'
import { SECTION } from '../../cells/wasm/sections.ts'
import { asm, type Code } from './wasm-builder.ts'

export interface CalledInit {
  /** Index of the import `(i32) -> ()` that takes what the functions give. */
  readonly trace: number
  /** A mutable i32 global that is set to `fuel` before each call. */
  readonly fuelGlobal: number
  readonly fuel: number
  /** Position of the function that is called first among those defined; the others follow, round to it. */
  readonly first: number
}

/** The module with memory 0 exported as `memory` when it has one, no other exports, and `_start`. */
export function commandCalling(bytes: Uint8Array, init: CalledInit): Uint8Array {
  const module = decodeModule(bytes)
  const start = module.functionTypes.length
  const parts: Uint8Array[] = [bytes.subarray(0, 8)]
  const put = (id: number, content: Uint8Array): void => {
    parts.push(new ByteWriter().u8(id).u32(content.length).view(), content)
  }
  const body = bodyOf(module, init)
  for (const id of ORDER) {
    const range = module.sections.get(id)
    const content = range && bytes.subarray(range.start, range.end)
    if (id === SECTION.type) put(id, appended(content, new ByteWriter().op(0x60, 0, 0).view()))
    else if (id === SECTION.function) put(id, appended(content, new ByteWriter().u32(module.types.length).view()))
    else if (id === SECTION.export) put(id, exportsOf(module, start))
    else if (id === SECTION.code) put(id, appended(content, new ByteWriter().u32(body.length).bytes(body).view()))
    else if (content !== undefined) put(id, content)
  }
  return Buffer.concat(parts)
}

const ORDER: readonly number[] = [
  SECTION.type,
  SECTION.import,
  SECTION.function,
  SECTION.table,
  SECTION.memory,
  SECTION.tag,
  SECTION.global,
  SECTION.export,
  SECTION.start,
  SECTION.element,
  SECTION.dataCount,
  SECTION.code,
  SECTION.data,
]

function appended(content: Uint8Array | undefined, item: Uint8Array): Uint8Array {
  const reader = new ByteReader(content ?? new Uint8Array([0]))
  const count = reader.u32()
  return new ByteWriter()
    .u32(count + 1)
    .bytes(reader.bytes, reader.at)
    .bytes(item)
    .view()
}

function exportsOf(module: WasmModule, start: number): Uint8Array {
  const memory = module.memories.length > 0
  const w = new ByteWriter()
    .u32(memory ? 2 : 1)
    .name('_start')
    .op(0)
    .u32(start)
  return memory ? w.name('memory').op(2, 0).view() : w.view()
}

function bodyOf(module: WasmModule, { trace, fuelGlobal, fuel, first }: CalledInit): Uint8Array {
  const w = new ByteWriter().op(0)
  const defined = module.bodies.length
  for (let k = 0; k < defined; k++) {
    const index = module.importedFunctions + ((first + k) % defined)
    const type = module.types[module.functionTypes[index] ?? -1] ?? { params: [], results: [] }
    w.op(...asm.i32(fuel), OP.globalSet).u32(fuelGlobal)
    w.op(...callOf(index, type, k, trace))
  }
  return w.op(OP.end).view()
}

function callOf(index: number, { params, results }: FunctionType, k: number, trace: number): Code {
  const args = params.flatMap((type, i) => [...argumentOf(type, k * 31 + i * 7 + 1)])
  const taken = results.toReversed().flatMap((type) => [...bitsOf(type), ...asm.call(trace)])
  return [...args, ...asm.call(index), ...taken]
}

function argumentOf(type: number, n: number): Code {
  if (type === TYPE.i32) return asm.i32(n)
  if (type === TYPE.i64) return asm.i64(n * 1_000_003)
  if (type === TYPE.f32) return asm.f32(n / 3)
  if (type === TYPE.f64) return asm.f64(n / 7)
  return type === TYPE.v128 ? asm.v128(n & 255) : [OP.refNull, type]
}

/** To an i32. */
function bitsOf(type: number): Code {
  if (type === TYPE.i32) return []
  if (type === TYPE.i64) return [0xa7]
  if (type === TYPE.f32) return [0xbc]
  if (type === TYPE.f64) return [0xbd, 0xa7]
  return type === TYPE.v128 ? [0xfd, 27, 1] : [OP.refIsNull]
}
