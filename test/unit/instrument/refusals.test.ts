// Every module that cannot be a cell is refused with its own code, and only then.
import { describe, expect, it } from 'vitest'
import { instrument, trackingBuild } from '../../../cells/instrument/instrument.ts'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { utf8 } from '../../../core/bytes.ts'
import { CodedError } from '../../../core/errors.ts'
import { asm, type Code, i32, VOID, v128, WasmBuilder } from '../../support/wasm-builder.ts'

const EXTERNREF = 0x6f

function refusalOf(bytes: Uint8Array, memoryMaxPages = 16): CodedError | undefined {
  try {
    instrument(bytes, { memoryMaxPages })
    return undefined
  } catch (error) {
    if (error instanceof CodedError) return error
    throw error
  }
}

const forever: Code = asm.loop(VOID, asm.br(0))

/** A command whose `_start` loops (so that it may be suspended) round `code`. */
function command(code: Code, prepare: (b: WasmBuilder) => void = () => undefined, locals: number[] = []): Uint8Array {
  const b = new WasmBuilder()
  prepare(b)
  b.func({ export: '_start', locals, code: asm.loop(VOID, code) })
  return b.build()
}

describe('refusals of whole modules', () => {
  it('takes a plain command', () => {
    expect(refusalOf(command([]))).toBeUndefined()
  })

  it.each([
    ['nothing', new Uint8Array(0)],
    ['text', utf8('#!/bin/sh\necho hello\n')],
    ['a bare header with a broken section', new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 200])],
    ['a module cut short', command([]).subarray(0, 40)],
    ['code of the wrong type', command([...asm.i32(1)])],
  ])('%s is not Wasm', (_, bytes) => {
    expect(refusalOf(bytes)?.code).toBe('CELL_NOT_WASM')
  })

  it('a library is not a command', () => {
    const b = new WasmBuilder()
    b.func({ export: 'add', code: [] })
    expect(refusalOf(b.build())?.code).toBe('CELL_NOT_A_COMMAND')
    const odd = new WasmBuilder()
    odd.func({ export: '_start', params: [i32], code: [] })
    expect(refusalOf(odd.build())?.code).toBe('CELL_NOT_A_COMMAND')
  })

  it('own asyncify, and what was instrumented before', () => {
    const b = new WasmBuilder()
    b.func({ export: '_start', code: forever })
    b.func({ export: 'asyncify_start_unwind', code: [] })
    expect(refusalOf(b.build())).toMatchObject({
      code: 'CELL_ALREADY_ASYNCIFIED',
      facts: { export: 'asyncify_start_unwind' },
    })
    const twice = instrument(command([]), { memoryMaxPages: 16 }).bytes
    expect(refusalOf(twice)?.code).toBe('CELL_ALREADY_ASYNCIFIED')
  })

  it('threads', () => {
    const shared = command([], (b) => b.memory({ min: 1, max: 2, shared: true }))
    expect(refusalOf(shared)?.code).toBe('CELL_THREADS_UNSUPPORTED')
    const atomic = command([...asm.i32(0), 0xfe, 0x10, 2, 0, OP.drop])
    expect(refusalOf(atomic)?.code).toBe('CELL_THREADS_UNSUPPORTED')
  })

  it('imports of another host', () => {
    const bytes = command([], (b) => b.import('emscripten_resize_heap', [i32], [i32], 'env'))
    expect(refusalOf(bytes)).toMatchObject({
      code: 'CELL_UNKNOWN_IMPORT',
      facts: { module: 'env', name: 'emscripten_resize_heap' },
    })
  })

  it('imports that take or give references: what they are could not be told', () => {
    for (const [params, results] of [
      [[EXTERNREF], []],
      [[], [EXTERNREF]],
    ])
      expect(refusalOf(command([], (b) => b.import('fd_close', params ?? [], results ?? [])))).toMatchObject({
        code: 'CELL_UNKNOWN_IMPORT',
        facts: { name: 'fd_close' },
      })
  })

  it('more memory at start than allowed; a cap below the declared maximum is enforced', () => {
    const bytes = command([], (b) => b.memory({ min: 3, max: 9 }))
    expect(refusalOf(bytes, 2)).toMatchObject({ code: 'CELL_MEMORY_LIMIT', facts: { initialPages: 3, maxPages: 2 } })
    const module = new WebAssembly.Module(instrument(bytes, { memoryMaxPages: 5 }).bytes)
    const instance = new WebAssembly.Instance(module, { cell: { poll: () => 0 } })
    const memory = instance.exports.memory as WebAssembly.Memory
    expect(memory.grow(2)).toBe(3)
    expect(() => memory.grow(1)).toThrow(RangeError)
  })

  it('tables for which the engine would abort the process', () => {
    expect(refusalOf(command([], (b) => b.table(1_000_000)))).toBeUndefined()
    const huge = command([], (b) => b.table(1_000_001))
    expect(refusalOf(huge)).toMatchObject({ code: 'CELL_MEMORY_LIMIT', facts: { entries: 1_000_001 } })
  })

  it('addresses of 64 bits, and typed references in segments, by what they are', () => {
    const type = [1, 4, 1, 0x60, 0, 0]
    const start = [7, 10, 1, 6, ...utf8('_start'), 0, 0]
    const code = [10, 4, 1, 2, 0, OP.end]
    const module = (memory: Code, elements: Code): Uint8Array =>
      Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...type, 3, 2, 1, 0, ...memory, ...start, ...elements, ...code])
    const wide = refusalOf(module([5, 3, 1, 4, 1], []))
    expect(wide).toMatchObject({ code: 'CELL_UNSUPPORTED_OPCODE', message: expect.stringContaining('64-bit') })
    const typed = [9, 8, 1, 5, 0x64, 0x70, 1, OP.refFunc, 0, OP.end]
    expect(refusalOf(module([], typed))).toMatchObject({
      code: 'CELL_UNSUPPORTED_OPCODE',
      facts: { op: 'type 0x64' },
    })
  })
})

describe('refusals of instructions', () => {
  it('a function that would grow without measure, before it has', () => {
    // Each call keeps every operand below it: 100 KB would become 3 GB.
    const many = (code: Code): Code => Array.from({ length: 20_000 }, () => code).flat()
    const spin = (b: WasmBuilder): void => void b.func({ code: asm.loop(VOID) })
    const wide = command([...many(asm.i32(1)), ...many(asm.call(0)), ...many([OP.drop])], spin)
    expect(refusalOf(wide)).toMatchObject({ code: 'CELL_UNSUPPORTED_OPCODE', facts: { op: 'so much code' } })
  })

  it('what only its build that notes stores would be too large for', { timeout: 60_000 }, () => {
    const store: Code = [...asm.i32(0), ...asm.i32(0), 0x36, 2, 0]
    const stores = new Array<Code>(240_000).fill(store).flat()
    expect(refusalOf(command(stores))).toMatchObject({ code: 'CELL_UNSUPPORTED_OPCODE', facts: { op: 'so much code' } })
    for (const locals of [49_992, 49_994]) {
      const wide = command(store, undefined, new Array<number>(locals).fill(i32))
      expect(refusalOf(wide)).toMatchObject({ code: 'CELL_UNSUPPORTED_OPCODE', facts: { op: 'so many values' } })
      const plain = command([], (b) => void b.func({ locals: new Array<number>(locals + 6).fill(i32), code: store }))
      expect(refusalOf(plain)).toMatchObject({ code: 'CELL_UNSUPPORTED_OPCODE', facts: { op: 'so many values' } })
    }
    const few = command(store, undefined, new Array<number>(49_900).fill(i32))
    expect(refusalOf(few)).toBeUndefined()
    expect(WebAssembly.validate(new Uint8Array(trackingBuild(few, { memoryMaxPages: 16 })))).toBe(true)
  })

  it('more globals than a snapshot holds', () => {
    const many = (count: number): Uint8Array =>
      command([], (b) => {
        for (let k = 0; k < count; k++) b.global(v128, asm.v128(0))
      })
    expect(refusalOf(many(65_537))).toMatchObject({ code: 'CELL_STATE_NOT_SERIALIZABLE' })
    expect(refusalOf(many(65_536))).toBeUndefined()
  })

  it('an unknown instruction set', () => {
    const reference: Code = [...asm.refFunc(0), 0x14, 0]
    expect(refusalOf(command(reference, (b) => b.elements(undefined, [0])))).toMatchObject({
      code: 'CELL_UNSUPPORTED_OPCODE',
      facts: { op: '0x14', function: 0 },
    })
  })

  /** A reference to a function of a type: `(ref null 1)`. To whom takes the first byte for all, `nop` follows. */
  const typed = [0x63, 1]
  const give: Code = [OP.refNull, 1]
  it.each([
    ['block', [OP.block, ...typed, ...give, OP.end, OP.drop]],
    ['loop', [OP.loop, ...typed, ...give, OP.end, OP.drop]],
    ['if', [...asm.i32(1), OP.if, ...typed, ...give, OP.else, ...give, OP.end, OP.drop]],
    ['try', [OP.try, ...typed, ...give, OP.end, OP.drop]],
    ['try_table', [OP.tryTable, ...typed, 0, ...give, OP.end, OP.drop]],
    ['select', [...give, ...give, ...asm.i32(1), OP.selectTyped, 1, ...typed, OP.drop]],
    ['a null of a type', [...give, OP.drop]],
    ['block, of one byte that no declaration takes', [OP.block, 0x73, OP.refNull, 0x73, OP.end, OP.drop]],
  ])('typed references: %s', (_, code) => {
    const bytes = command(code, (b) => b.import('fd_close', [i32], []) + b.type([], []))
    expect(WebAssembly.validate(new Uint8Array(bytes))).toBe(true)
    expect(refusalOf(bytes)).toMatchObject({ code: 'CELL_UNSUPPORTED_OPCODE', facts: { function: 1 } })
  })

  it('more tags than any program has', () => {
    const wide = Array.from({ length: 100 }, () => i32)
    const bytes = command([], (b) => {
      for (let k = 0; k < 100; k++) b.tag(wide)
    })
    expect(refusalOf(bytes)).toMatchObject({ code: 'CELL_UNSUPPORTED_OPCODE', facts: { op: 'so many tags' } })
  })

  it('exceptions that carry exceptions', () => {
    const bytes = command([], (b) => b.tag([0x69]))
    expect(refusalOf(bytes)).toMatchObject({ code: 'CELL_UNSUPPORTED_OPCODE', facts: { op: 'a tag with exnref' } })
  })
})
