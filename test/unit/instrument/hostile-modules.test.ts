// Modules made to cost: nests, tables, counts at the limits of the engine. What comes out is valid, or refused with a code.
import { describe, expect, it } from 'vitest'
import { inspectModule } from '../../../cells/instrument/facts.ts'
import { instrument } from '../../../cells/instrument/instrument.ts'
import { ByteWriter } from '../../../cells/wasm/byte-writer.ts'
import { EMPTY_BLOCK, OP } from '../../../cells/wasm/opcodes.ts'
import { isValidModule } from '../../../cells/wasm/validate.ts'
import { concat } from '../../../core/bytes.ts'
import { CodedError } from '../../../core/errors.ts'

const LOOP = [OP.loop, EMPTY_BLOCK, OP.br, 0, OP.end]
const times = (count: number, code: readonly number[]): Uint8Array => {
  const out = new Uint8Array(count * code.length)
  for (let i = 0; i < count; i++) out.set(code, i * code.length)
  return out
}

/** A command of functions without parameters, the first of them its `_start`. */
function command(bodies: readonly Uint8Array[], table?: number): Uint8Array<ArrayBuffer> {
  const section = (id: number, content: ByteWriter): Uint8Array =>
    new ByteWriter().u8(id).u32(content.length).bytes(content.view()).view()
  const code = new ByteWriter().u32(bodies.length)
  for (const body of bodies) code.u32(body.length).bytes(body)
  return new Uint8Array(
    concat([
      Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0),
      section(1, new ByteWriter().op(1, 0x60, 0, 0)),
      section(3, new ByteWriter().u32(bodies.length).bytes(new Uint8Array(bodies.length))),
      ...(table === undefined ? [] : [section(4, new ByteWriter().op(1, 0x70, 0).u32(table))]),
      section(7, new ByteWriter().u32(1).name('_start').op(0, 0)),
      section(10, code),
    ]),
  )
}

const body = (...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array =>
  concat([[0], ...parts, [OP.end]].map((part) => Uint8Array.from(part)))
const nest = (depth: number, inside: readonly number[], after: readonly number[] = []): Uint8Array =>
  body(times(depth, [OP.block, EMPTY_BLOCK]), inside, times(depth, [OP.end, ...after]))

function outcome(module: Uint8Array<ArrayBuffer>): string {
  try {
    inspectModule(module)
    return WebAssembly.validate(new Uint8Array(instrument(module, { memoryMaxPages: 64 }).bytes)) ? 'valid' : 'invalid'
  } catch (error) {
    if (error instanceof CodedError) return error.code
    throw error
  }
}

describe('a hostile module', () => {
  it.each([
    ['a deep nest round a loop', () => command([nest(30_000, LOOP)])],
    ['a deep nest with calls at all levels', () => command([nest(10_000, LOOP, [OP.call, 0])])],
    ['a deep nest of loops', () => command([body(times(30_000, [OP.loop, EMPTY_BLOCK]), times(30_000, [OP.end]))])],
    ['more loops in a row than a branch table has entries', () => command([body(times(70_000, LOOP))])],
    ['a long chain of calls', () => command(Array.from({ length: 30_000 }, (_, i) => callOf((i + 1) % 30_000)))],
    ['handlers in handlers', () => command([tries(2_000)])],
  ])('comes out valid: %s', { timeout: 60_000 }, (_name, make) => {
    expect(outcome(make())).toBe('valid')
  })

  it.each([
    ['branch tables in a deep nest', 'CELL_NOT_WASM', () => command([bomb(60_000)])],
    ['the same behind what cannot be read', 'CELL_UNSUPPORTED_OPCODE', () => command([bomb(60_000, [0x27])])],
    ['branch hints for functions that it has not', 'CELL_NOT_WASM', () => hinted(command([body(LOOP)]), 1_000_000)],
    ['as many functions as the engine takes', 'CELL_UNSUPPORTED_OPCODE', () => command(copies(1_000_000))],
    [
      'more calls in a row than one body can save',
      'CELL_UNSUPPORTED_OPCODE',
      () => command([body(times(300_000, [OP.call, 0]))]),
    ],
    ['a table as large as the engine takes', 'CELL_MEMORY_LIMIT', () => command([body(LOOP)], 10_000_000)],
  ])('is refused: %s', { timeout: 60_000 }, (_name, code, make) => {
    expect(outcome(make())).toBe(code)
  })

  it('may have branch tables, and nests, each in plenty', () => {
    const inRow = times(100_000, [OP.i32Const, 0, OP.brTable, 0, 0])
    const module = command([body([OP.block, EMPTY_BLOCK], inRow, [OP.end]), nest(100_000, [OP.nop])])
    expect(isValidModule(module)).toBe(true)
    expect(outcome(hinted(command([body(LOOP)]), 1_000))).toBe('valid')
  })
})

/** With a hint in each of so many functions that need not be there. */
function hinted(module: Uint8Array, functions: number): Uint8Array<ArrayBuffer> {
  const content = new ByteWriter(1 << 22).name('metadata.code.branch_hint').u32(functions)
  for (let index = 0; index < functions; index++) content.u32(index).op(1, 2, 1, 0)
  const section = new ByteWriter(16).u8(0).u32(content.length).view()
  return new Uint8Array(concat([module.subarray(0, 8), section, content.view(), module.subarray(8)]))
}

/** Every table makes V8's validator take a bit for each block that is open. */
function bomb(count: number, before: readonly number[] = []): Uint8Array {
  const tables = times(count, [OP.i32Const, 0, OP.brTable, 0, 0, OP.end])
  return body(times(count, [OP.block, EMPTY_BLOCK]), before, tables)
}

function tries(depth: number): Uint8Array {
  return body(times(depth, [OP.try, EMPTY_BLOCK]), times(depth, [OP.call, 0]), times(depth, [OP.catchAll, OP.end]))
}

function copies(count: number): Uint8Array[] {
  const one = body()
  return Array.from({ length: count }, () => one)
}

function callOf(index: number): Uint8Array {
  return body(new ByteWriter().op(OP.call).u32(index).view())
}
