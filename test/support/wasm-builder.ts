// A tiny assembler for test modules: WASI commands made of byte lists, without a toolchain.
import { ByteWriter } from '../../cells/wasm/byte-writer.ts'
import { OP, TYPE } from '../../cells/wasm/opcodes.ts'

export type Code = readonly number[]

export const { i32, i64, f32, f64, v128 } = TYPE

const signed = (value: number): number[] => [...new ByteWriter().s33(value).view()]
const unsigned = (value: number): number[] => [...new ByteWriter().u32(value).view()]

/** Instructions by name; everything takes and gives byte lists. */
export const asm = {
  i32: (value: number): Code => [OP.i32Const, ...signed(value)],
  i64: (value: number): Code => [OP.i64Const, ...signed(value)],
  f32: (value: number): Code => [OP.f32Const, ...new Uint8Array(new Float32Array([value]).buffer)],
  f64: (value: number): Code => [OP.f64Const, ...new Uint8Array(new Float64Array([value]).buffer)],
  v128: (fill: number): Code => [0xfd, 12, ...Array.from({ length: 16 }, (_, i) => (fill + i * 7) & 255)],
  get: (local: number): Code => [OP.localGet, ...unsigned(local)],
  set: (local: number): Code => [OP.localSet, ...unsigned(local)],
  tee: (local: number): Code => [OP.localTee, ...unsigned(local)],
  globalGet: (global: number): Code => [OP.globalGet, ...unsigned(global)],
  globalSet: (global: number): Code => [OP.globalSet, ...unsigned(global)],
  call: (index: number): Code => [OP.call, ...unsigned(index)],
  refFunc: (index: number): Code => [OP.refFunc, ...unsigned(index)],
  returnCall: (index: number): Code => [OP.returnCall, ...unsigned(index)],
  returnCallIndirect: (type: number, table = 0): Code => [OP.returnCallIndirect, ...unsigned(type), ...unsigned(table)],
  callIndirect: (type: number, table = 0): Code => [OP.callIndirect, ...unsigned(type), ...unsigned(table)],
  block: (type: number, ...body: readonly Code[]): Code => [OP.block, ...blockType(type), ...body.flat(), OP.end],
  loop: (type: number, ...body: readonly Code[]): Code => [OP.loop, ...blockType(type), ...body.flat(), OP.end],
  if: (type: number, then: Code, otherwise?: Code): Code => [
    OP.if,
    ...blockType(type),
    ...then,
    ...(otherwise ? [OP.else, ...otherwise] : []),
    OP.end,
  ],
  /** `tag` -1 catches all. */
  try: (type: number, body: Code, ...handlers: readonly (readonly [tag: number, code: Code])[]): Code => [
    OP.try,
    ...blockType(type),
    ...body,
    ...handlers.flatMap(([tag, code]) => [...(tag < 0 ? [OP.catchAll] : [OP.catch, ...unsigned(tag)]), ...code]),
    OP.end,
  ],
  tryDelegate: (type: number, body: Code, label: number): Code => [
    OP.try,
    ...blockType(type),
    ...body,
    OP.delegate,
    ...unsigned(label),
  ],
  /** Clauses of the kinds 0 to 3: `[0 or 1, tag, label]`, `[2 or 3, label]`. */
  tryTable: (type: number, clauses: readonly (readonly number[])[], ...body: readonly Code[]): Code => [
    OP.tryTable,
    ...blockType(type),
    ...unsigned(clauses.length),
    ...clauses.flatMap(([kind = 0, ...rest]) => [kind, ...rest.flatMap(unsigned)]),
    ...body.flat(),
    OP.end,
  ],
  throw: (tag: number): Code => [OP.throw, ...unsigned(tag)],
  rethrow: (label: number): Code => [OP.rethrow, ...unsigned(label)],
  br: (label: number): Code => [OP.br, ...unsigned(label)],
  brIf: (label: number): Code => [OP.brIf, ...unsigned(label)],
  brTable: (labels: readonly number[], otherwise: number): Code => [
    OP.brTable,
    ...unsigned(labels.length),
    ...labels.flatMap(unsigned),
    ...unsigned(otherwise),
  ],
  /** Memory access with natural alignment of 1. */
  access: (op: number, offset: number, memory = 0): Code => [op, ...memarg(offset, memory)],
  v128Store: (offset: number): Code => [0xfd, 11, 0, ...unsigned(offset)],
}

/** Bit 6 of the alignment says that the index of a memory follows (multi-memory). */
function memarg(offset: number, memory: number): number[] {
  return memory === 0 ? [0, ...unsigned(offset)] : [64, ...unsigned(memory), ...unsigned(offset)]
}

/** Block type of no parameters and no results. */
export const VOID = -64

/** One value type as block type is given by its byte, a type index by itself, `VOID` by itself. */
function blockType(type: number): number[] {
  return type >= 0x69 && type <= 0x7f ? [type] : signed(type)
}

export interface FunctionInit {
  readonly params?: readonly number[]
  readonly results?: readonly number[]
  readonly locals?: readonly number[]
  readonly export?: string
  readonly code: Code
}

interface Segment {
  /** Undefined of a passive one. */
  readonly offset: number | undefined
  readonly functions: readonly number[]
}

/** Imports first, then functions: their indices are in the order of the calls. */
export class WasmBuilder {
  readonly #types: string[] = []
  readonly #imports: { module: string; name: string; type: number }[] = []
  readonly #functions: { type: number; init: FunctionInit }[] = []
  readonly #globals: { type: number; mutable: boolean; value: Code }[] = []
  readonly #segments: Segment[] = []
  readonly #tags: number[] = []
  readonly #exports: { name: string; kind: number; index: number }[] = []
  readonly #tables: { size: number; max: number | undefined; type: number }[] = []
  #memory: { min: number; max?: number; shared?: boolean } | undefined = { min: 1 }
  #exportedMemory = 0
  readonly #moreMemories: { min: number; max?: number }[] = []
  #start: number | undefined
  readonly #data: { offset: number | undefined; bytes: readonly number[] }[] = []

  type(params: readonly number[], results: readonly number[]): number {
    const key = `${params.join()}:${results.join()}`
    const known = this.#types.indexOf(key)
    return known >= 0 ? known : this.#types.push(key) - 1
  }

  import(
    name: string,
    params: readonly number[],
    results: readonly number[],
    module = 'wasi_snapshot_preview1',
  ): number {
    return this.#imports.push({ module, name, type: this.type(params, results) }) - 1
  }

  /** Index of the next function, for recursion. */
  get nextFunction(): number {
    return this.#imports.length + this.#functions.length
  }

  func(init: FunctionInit): number {
    const index = this.nextFunction
    this.#functions.push({ type: this.type(init.params ?? [], init.results ?? []), init })
    if (init.export !== undefined) this.export(init.export, 0, index)
    return index
  }

  tag(params: readonly number[]): number {
    return this.#tags.push(this.type(params, [])) - 1
  }

  global(type: number, value: Code, mutable = true): number {
    return this.#globals.push({ type, mutable, value }) - 1
  }

  export(name: string, kind: number, index: number): this {
    this.#exports.push({ name, kind, index })
    return this
  }

  table(size: number, max?: number, type: number = TYPE.funcref): this {
    this.#tables.push({ size, max, type })
    return this
  }

  /** Into the first table, or with no offset for `table.init`. */
  elements(offset: number | undefined, functions: readonly number[]): this {
    this.#segments.push({ offset, functions })
    return this
  }

  /** Into memory, or with no offset for `memory.init`. */
  data(offset: number | undefined, bytes: readonly number[]): this {
    this.#data.push({ offset, bytes })
    return this
  }

  memory(memory: { min: number; max?: number; shared?: boolean } | undefined): this {
    this.#memory = memory
    return this
  }

  /** Beside the first one; exported as `memory1` and so on. */
  anotherMemory(memory: { min: number; max?: number }): this {
    this.#moreMemories.push(memory)
    return this.export(`memory${this.#moreMemories.length}`, 2, this.#moreMemories.length)
  }

  /** Which one is exported as `memory`. @default the first */
  exportMemory(index: number): this {
    this.#exportedMemory = index
    return this
  }

  start(index: number): this {
    this.#start = index
    return this
  }

  build(): Uint8Array {
    const w = new ByteWriter().op(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)
    const bodies = this.#functions.map(({ init }) => bodyOf(init))
    const vector = (id: number, items: readonly Code[]): void => {
      if (items.length === 0) return
      const content = [...unsigned(items.length), ...items.flat()]
      w.u8(id).u32(content.length).bytes(Uint8Array.from(content))
    }
    vector(1, this.#types.map(encodeType))
    vector(
      2,
      this.#imports.map(({ module, name, type }) => [...text(module), ...text(name), 0, ...unsigned(type)]),
    )
    vector(
      3,
      this.#functions.map(({ type }) => unsigned(type)),
    )
    vector(
      4,
      this.#tables.map(({ size, max, type }) => [type, ...limits(size, max)]),
    )
    vector(5, [...(this.#memory ? [this.#memory] : []), ...this.#moreMemories].map(encodeMemory))
    vector(
      13,
      this.#tags.map((type) => [0, ...unsigned(type)]),
    )
    vector(
      6,
      this.#globals.map(({ type, mutable, value }) => [type, mutable ? 1 : 0, ...value, OP.end]),
    )
    const memory = this.#memory ? [{ name: 'memory', kind: 2, index: this.#exportedMemory }] : []
    vector(
      7,
      [...this.#exports, ...memory].map(({ name, kind, index }) => [...text(name), kind, ...unsigned(index)]),
    )
    if (this.#start !== undefined) w.u8(8).u32(unsigned(this.#start).length).u32(this.#start)
    vector(9, this.#segments.map(encodeSegment))
    if (this.#data.length > 0) w.u8(12).u32(unsigned(this.#data.length).length).u32(this.#data.length)
    vector(10, bodies)
    vector(
      11,
      this.#data.map(({ offset, bytes }) => [...placed(offset), ...unsigned(bytes.length), ...bytes]),
    )
    return w.view().slice()
  }
}

function text(value: string): number[] {
  return [...new ByteWriter().name(value).view()]
}

function encodeType(key: string): Code {
  const [params = '', results = ''] = key.split(':')
  const list = (part: string): number[] => (part === '' ? [] : part.split(',').map(Number))
  return [0x60, list(params).length, ...list(params), list(results).length, ...list(results)]
}

function encodeMemory(memory: { min: number; max?: number; shared?: boolean }): Code {
  const [flags = 0, ...rest] = limits(memory.min, memory.max)
  return [flags | (memory.shared ? 2 : 0), ...rest]
}

function limits(min: number, max: number | undefined): number[] {
  return max === undefined ? [0, ...unsigned(min)] : [1, ...unsigned(min), ...unsigned(max)]
}

/** Flags of a segment, and where it goes. */
function placed(offset: number | undefined): Code {
  return offset === undefined ? [1] : [0, ...asm.i32(offset), OP.end]
}

function encodeSegment({ offset, functions }: Segment): Code {
  const kind = offset === undefined ? [0] : []
  return [...placed(offset), ...kind, ...unsigned(functions.length), ...functions.flatMap(unsigned)]
}

function bodyOf(init: FunctionInit): Code {
  const locals = init.locals ?? []
  const body = [...unsigned(locals.length), ...locals.flatMap((type) => [1, type]), ...init.code, OP.end]
  return [...unsigned(body.length), ...body]
}
