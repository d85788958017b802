// Tables, segments and references that change at run time survive suspension like everything else.
import { describe, expect, it } from 'vitest'
import { Suspendable } from '../../../cells/instrument/driver.ts'
import { instrument } from '../../../cells/instrument/instrument.ts'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { expectSame } from '../../support/suspension.ts'
import { asm, type Code, f64, i32, VOID } from '../../support/wasm-builder.ts'
import { ADD, type Kit, kit } from '../../support/wasm-kit.ts'

const FUNCREF = 0x70
const EXTERNREF = 0x6f
const EXNREF = 0x69
const [NOEXTERN, NOFUNC, NOEXN] = [0x72, 0x73, 0x74]
const NULL = [OP.refNull, FUNCREF]

/** Functions `() -> i32` that answer 10, 20, 30; slowly. */
function answers({ b, slow }: Kit): number[] {
  return [10, 20, 30].map((n) =>
    b.func({ results: [i32], code: [...asm.i32(2), ...asm.call(slow), ...asm.i32(n), ...ADD] }),
  )
}

/** `trace(table[at]())` */
function calling({ b, trace }: Kit, at: number, table = 0): Code {
  return [...asm.i32(at), ...asm.callIndirect(b.type([], [i32]), table), ...asm.call(trace)]
}

function tracing({ trace }: Kit, ...code: readonly Code[]): Code {
  return [...code.flat(), ...asm.call(trace)]
}

function pause({ slow, trace }: Kit): Code {
  return [...asm.i32(3), ...asm.call(slow), ...asm.call(trace)]
}

const programs: Record<string, (k: Kit) => void> = {
  'table.set, table.get and a null': (k) => {
    const [ten = 0, twenty = 0] = answers(k)
    k.b.table(4).elements(0, [ten, twenty])
    k.b.func({
      export: '_start',
      code: [
        [...asm.i32(3), ...asm.i32(1), OP.tableGet, 0, OP.tableSet, 0],
        [...asm.i32(1), ...NULL, OP.tableSet, 0],
        pause(k),
        calling(k, 3),
        [...asm.i32(0), ...asm.refFunc(twenty), OP.tableSet, 0],
        calling(k, 0),
        tracing(k, asm.i32(1), [OP.tableGet, 0, OP.refIsNull]),
        tracing(k, asm.i32(3), [OP.tableGet, 0, OP.refIsNull]),
      ].flat(),
    })
  },
  'table.grow, fill, copy, init and size, of two tables': (k) => {
    const [ten = 0, twenty = 0, thirty = 0] = answers(k)
    k.b.table(2, 50).table(1).elements(undefined, [ten, thirty, twenty])
    k.b.func({
      export: '_start',
      code: [
        tracing(k, NULL, asm.i32(5), [0xfc, 15, 0]),
        pause(k),
        [...asm.i32(1), ...asm.i32(0), ...asm.i32(3), 0xfc, 12, 0, 0],
        pause(k),
        [1, 2, 3].flatMap((at) => [...calling(k, at)]),
        [...asm.i32(4), ...asm.refFunc(thirty), ...asm.i32(3), 0xfc, 17, 0],
        tracing(k, asm.refFunc(ten), asm.i32(4), [0xfc, 15, 1]),
        [...asm.i32(1), ...asm.i32(2), ...asm.i32(3), 0xfc, 14, 1, 0],
        pause(k),
        [1, 2, 3, 4].flatMap((at) => [...calling(k, at, 1)]),
        tracing(k, [0xfc, 16, 0]),
        tracing(k, [0xfc, 16, 1]),
        // More than its maximum: refused by the guest's own rules.
        tracing(k, NULL, asm.i32(50), [0xfc, 15, 0]),
      ].flat(),
    })
  },
  'a global that names a function, and one that can only be null': (k) => {
    const [ten = 0, twenty = 0] = answers(k)
    k.b.table(1).elements(undefined, [ten, twenty])
    const named = k.b.global(FUNCREF, asm.refFunc(ten))
    const foreign = k.b.global(EXTERNREF, [OP.refNull, EXTERNREF])
    k.b.func({
      export: '_start',
      code: [
        tracing(k, asm.globalGet(named), [OP.refIsNull]),
        [...asm.refFunc(twenty), ...asm.globalSet(named)],
        pause(k),
        [...asm.i32(0), ...asm.globalGet(named), OP.tableSet, 0],
        calling(k, 0),
        [...NULL, ...asm.globalSet(named)],
        pause(k),
        tracing(k, asm.globalGet(named), [OP.refIsNull]),
        tracing(k, asm.globalGet(foreign), [OP.refIsNull]),
      ].flat(),
    })
  },
  'references in locals and operands, as arguments and as results': (k) => {
    const [ten = 0, twenty = 0] = answers(k)
    k.b.table(2).elements(undefined, [ten, twenty])
    const both = k.b.func({
      params: [FUNCREF, EXTERNREF],
      results: [FUNCREF, EXTERNREF, f64],
      code: [...pause(k), ...asm.get(0), ...asm.get(1), ...asm.f64(1.5)],
    })
    k.b.func({
      export: '_start',
      locals: [FUNCREF, EXTERNREF],
      code: [
        [...asm.refFunc(ten), ...asm.set(0)],
        // Operands that wait: a number, a function, a null of either kind.
        [...asm.i32(7), ...asm.refFunc(twenty), OP.refNull, EXTERNREF, ...NULL],
        pause(k),
        tracing(k, [OP.refIsNull]),
        tracing(k, [OP.refIsNull]),
        asm.set(0),
        asm.call(k.trace),
        [...asm.i32(1), ...asm.get(0), OP.tableSet, 0],
        calling(k, 1),
        [...asm.refFunc(ten), ...asm.get(1), ...asm.call(both), OP.drop],
        tracing(k, [OP.refIsNull]),
        asm.set(0),
        [...asm.i32(0), ...asm.get(0), OP.tableSet, 0],
        calling(k, 0),
      ].flat(),
    })
  },
  'what is read from a global that never changes': (k) => {
    const [ten = 0] = answers(k)
    const named = k.b.global(FUNCREF, asm.refFunc(ten), false)
    const exception = k.b.global(EXNREF, [OP.refNull, EXNREF], false)
    k.b.tag([i32])
    k.b.func({
      export: '_start',
      code: [
        [...asm.globalGet(named), ...asm.globalGet(exception)],
        pause(k),
        tracing(k, [OP.refIsNull]),
        tracing(k, [OP.refIsNull]),
      ].flat(),
    })
  },
  'the null of a table of exceptions, and of nothing else': (k) => {
    k.b.tag([i32])
    k.b.table(2, 2, EXNREF)
    k.b.func({
      export: '_start',
      code: [...asm.i32(0), OP.tableGet, 0, ...pause(k), ...tracing(k, [OP.refIsNull])],
    })
  },
  'nulls of bottom types, which are chosen from, and pass a branch': (k) => {
    const [ten = 0] = answers(k)
    k.b.table(1).elements(undefined, [ten])
    const chosen = (which: number): Code => [
      ...[...asm.refFunc(ten), OP.refNull, NOFUNC, ...asm.i32(which), OP.selectTyped, 1, FUNCREF],
      ...pause(k),
      ...tracing(k, [OP.refIsNull]),
    ]
    k.b.tag([i32])
    k.b.func({
      export: '_start',
      code: [
        chosen(0),
        chosen(1),
        asm.block(FUNCREF, [OP.refNull, NOFUNC, ...asm.i32(0), ...asm.brIf(0)], pause(k)),
        tracing(k, [OP.refIsNull]),
        [OP.refNull, NOEXN, OP.refNull, NOEXTERN],
        pause(k),
        tracing(k, [OP.refIsNull]),
        tracing(k, [OP.refIsNull]),
      ].flat(),
    })
  },
}

describe('tables and references', () => {
  it.each([
    ['function', FUNCREF],
    ['exception', EXNREF],
  ])('a block has a result that never comes: a %s', (_, type) => {
    const k = kit()
    k.b.tag([i32])
    // Its arm ends in a branch further out; only the block's type says what would wait below.
    const never = asm.block(VOID, asm.block(type, asm.br(1)), pause(k), [OP.drop])
    k.b.func({ export: '_start', code: [...never, ...pause(k)] })
    expectSame(k.b.build())
  })

  for (const [name, make] of Object.entries(programs))
    it(name, () => {
      const parts = kit()
      make(parts)
      expectSame(parts.b.build())
    })
})

describe('dropped segments', () => {
  /** Drops a data and an element segment, waits, and uses one that must be gone: `what`. */
  function using(what: Code): Uint8Array {
    const k = kit()
    const [ten = 0] = answers(k)
    k.b.table(1).elements(undefined, [ten]).elements(undefined, [ten]).data(undefined, [1, 2]).data(undefined, [3, 4])
    const dropAside = k.b.func({ code: [0xfc, 9, 1] })
    k.b.func({
      export: '_start',
      code: [
        [...asm.i32(100), ...asm.i32(0), ...asm.i32(2), 0xfc, 8, 0, 0],
        asm.call(dropAside),
        [0xfc, 13, 1],
        pause(k),
        tracing(k, asm.i32(100), [0x2f, 0, 0]),
        // What was not dropped is still there.
        [...asm.i32(100), ...asm.i32(0), ...asm.i32(2), 0xfc, 8, 0, 0],
        [...asm.i32(0), ...asm.i32(0), ...asm.i32(1), 0xfc, 12, 0, 0],
        calling(k, 0),
        what,
        pause(k),
      ].flat(),
    })
    return k.b.build()
  }

  it.each([
    ['none', [...asm.i32(100), ...asm.i32(0), ...asm.i32(0), 0xfc, 8, 1, 0], undefined],
    ['data', [...asm.i32(100), ...asm.i32(0), ...asm.i32(1), 0xfc, 8, 1, 0], /memory access out of bounds/],
    ['elements', [...asm.i32(0), ...asm.i32(0), ...asm.i32(1), 0xfc, 12, 1, 0], /out of bounds/],
  ] as const)('stay dropped in a new instance: %s', (_, what, failure) => {
    const bytes = using(what)
    if (failure === undefined) return expectSame(bytes)
    const module = new WebAssembly.Module(instrument(bytes, { memoryMaxPages: 16 }).bytes)
    const trace: number[] = []
    const fresh = (): Suspendable =>
      new Suspendable({
        module,
        imports: { wasi_snapshot_preview1: { trace: (value: number) => void trace.push(value) } },
        onPoll: () => 'unwind',
        budget: 1,
      })
    let cell = fresh()
    const run = (): void => {
      let outcome = cell.run()
      while (outcome === 'suspended') {
        const next = fresh()
        next.putGlobals(cell.takeGlobals())
        next.putFrames(cell.takeFrames())
        new Uint8Array(next.memory.buffer).set(new Uint8Array(cell.memory.buffer))
        cell = next
        outcome = cell.rewind()
      }
    }
    expect(run).toThrow(failure)
    expect(trace).toEqual([9, 0x0201, 16])
  })
})

describe('tables in a snapshot', () => {
  const k = kit()
  const [ten = 0] = answers(k)
  k.b.table(2, 9).elements(0, [ten])
  k.b.func({ export: '_start', code: [...asm.i32(0), ...asm.refFunc(ten), OP.tableSet, 0, ...pause(k)] })
  const module = new WebAssembly.Module(instrument(k.b.build(), { memoryMaxPages: 16 }).bytes)
  const cell = (): Suspendable =>
    new Suspendable({
      module,
      imports: { wasi_snapshot_preview1: { trace: () => undefined } },
      onPoll: () => 'unwind',
      budget: 0,
    })

  it.each([
    ['cut short', (words: number[]) => words.slice(0, -1)],
    ['too long', (words: number[]) => [...words, 0]],
    ['smaller than the module says', () => [1, 0]],
    ['larger than it may be', () => [10, ...new Array<number>(10).fill(0)]],
    ['a function that is none', ([size = 0, ...rest]: number[]) => [size, 99, ...rest.slice(1)]],
    ['a size beyond its bytes', () => [0xffffffff]],
  ])('are refused: %s', (_, damage) => {
    const from = cell()
    expect(from.run()).toBe('suspended')
    const words = new Uint32Array(from.takeGlobals().slice().buffer)
    expect([...words]).toEqual([2, 1, 0])
    const damaged = new Uint8Array(Uint32Array.from(damage([...words])).buffer)
    expect(() => cell().putGlobals(damaged)).toThrow(expect.objectContaining({ code: 'SNAPSHOT_MALFORMED' }))
  })
})

it('a module without such state gets no table, no import and no export for it', () => {
  const k = kit()
  k.b.func({ export: '_start', code: pause(k) })
  const { bytes } = instrument(k.b.build(), { memoryMaxPages: 16 })
  const module = new WebAssembly.Module(bytes)
  expect(WebAssembly.Module.imports(module).map(({ name }) => name)).toEqual(['trace', 'poll'])
  expect(WebAssembly.Module.exports(module).filter(({ kind }) => kind === 'table')).toEqual([])
})
