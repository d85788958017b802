// A program's own exceptions, in both encodings, pass over suspensions; what suspends passes its handlers by.
import { describe, expect, it } from 'vitest'
import { Suspendable } from '../../../cells/instrument/driver.ts'
import { instrument } from '../../../cells/instrument/instrument.ts'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { expectSame, runHopped, runPlain } from '../../support/suspension.ts'
import { asm, type Code, f64, i32, i64, VOID, v128 } from '../../support/wasm-builder.ts'
import { ADD, type Kit, kit } from '../../support/wasm-kit.ts'

const EXNREF = 0x69
const ALL = -1

interface Parts extends Kit {
  /** Carries an i32. */
  readonly one: number
  /** Carries an i64, a v128 and an f64. */
  readonly many: number
  /** `(i32) -> i32`: slowly throws `one` of 1, `many` of 2, nothing of 0; answers twice its argument. */
  readonly maybe: number
}

function parts(): Parts {
  const k = kit()
  const { b, slow } = k
  const one = b.tag([i32])
  const many = b.tag([i64, v128, f64])
  const is = (n: number, code: Code): Code => [...asm.get(0), ...asm.i32(n), OP.i32Eq, ...asm.if(VOID, code)]
  const maybe = b.func({
    params: [i32],
    results: [i32],
    code: [
      ...[...asm.i32(2), ...asm.call(slow), OP.drop],
      ...is(1, [...asm.i32(41), ...asm.throw(one)]),
      ...is(2, [...asm.i64(-5), ...asm.v128(9), ...asm.f64(2.5), ...asm.throw(many)]),
      ...[...asm.i32(1), ...asm.call(slow), OP.drop],
      ...[...asm.get(0), ...asm.i32(2), 0x6c],
    ],
  })
  return { ...k, one, many, maybe }
}

const tracing = ({ trace }: Kit, ...code: readonly Code[]): Code => [...code.flat(), ...asm.call(trace)]
const pause = ({ slow, trace }: Kit): Code => [...asm.i32(3), ...asm.call(slow), ...asm.call(trace)]
const dropMany: Code = [OP.drop, OP.drop, 0xa7]

/** A function `(i32) -> i32` for each way to handle what `maybe` throws; `_start` calls each with 0, 1 and 2. */
function everyCase(make: (p: Parts) => Code, locals: readonly number[] = []): Uint8Array {
  const p = parts()
  const tried = p.b.func({ params: [i32], results: [i32], locals, code: make(p) })
  const last: Code = [...asm.i32(-7)]
  const safely = (n: number): Code =>
    tracing(
      p,
      asm.i32(1000),
      asm.try(i32, [...asm.i32(n), ...asm.call(tried)], [p.one, [...pause(p), ...asm.i32(1), ...ADD]], [ALL, last]),
      ADD,
    )
  p.b.func({ export: '_start', code: [0, 1, 2].flatMap((n) => [...safely(n)]) })
  return p.b.build()
}

const legacy: Record<string, (p: Parts) => Code> = {
  'a handler that never suspends': ({ one, maybe }) =>
    asm.try(i32, [...asm.get(0), ...asm.call(maybe)], [one, [...asm.i32(5), ...ADD]]),
  'a handler of all that never suspends': ({ maybe }) =>
    asm.try(i32, [...asm.get(0), ...asm.call(maybe)], [ALL, asm.i32(7)]),
  'handlers that suspend, with operands below': (p) => [
    ...[...asm.i32(100), ...asm.get(0)],
    ...asm.try(
      i32,
      [...pause(p), ...asm.get(0), ...asm.call(p.maybe)],
      [p.one, [...pause(p), ...asm.i32(6), ...asm.call(p.slow), ...ADD]],
      [p.many, [...pause(p), ...dropMany, ...asm.i32(3), ...asm.call(p.slow), ...ADD]],
    ),
    ...[...ADD, ...ADD],
  ],
  'a handler that suspends and rethrows': (p) =>
    asm.try(
      i32,
      [...asm.get(0), ...asm.call(p.maybe)],
      [p.many, [...pause(p), ...asm.rethrow(0)]],
      [ALL, [...pause(p), ...asm.rethrow(0)]],
    ),
  'rethrows from within another handler': (p) =>
    asm.try(
      i32,
      [...asm.get(0), ...asm.call(p.maybe)],
      [
        ALL,
        [
          ...asm.try(
            VOID,
            [...asm.i32(2), ...asm.call(p.maybe), OP.drop],
            [p.many, [...dropMany, ...asm.call(p.trace), ...pause(p), ...asm.block(VOID, asm.rethrow(2))]],
          ),
          ...asm.i32(8),
        ],
      ],
    ),
  'parameters and results of blocks': (p) => [
    ...[...asm.get(0), ...asm.i64(5)],
    ...asm.try(
      p.b.type([i32, i64], [i64, i32]),
      [0xa7, ...ADD, ...asm.call(p.maybe), ...asm.set(0), ...asm.i64(1), ...asm.get(0), ...asm.call(p.maybe)],
      [p.one, [...pause(p), OP.drop, ...asm.i64(4), ...asm.get(0)]],
      [ALL, [...asm.i64(3), ...asm.i32(2), ...asm.call(p.slow)]],
    ),
    ...asm.call(p.trace),
    0xa7,
  ],
  'delegated exceptions': (p) =>
    asm.try(
      i32,
      [
        ...asm.try(VOID, asm.tryDelegate(VOID, [...pause(p), ...asm.get(0), ...asm.call(p.maybe), OP.drop], 1), [
          ALL,
          tracing(p, asm.i32(-1)),
        ]),
        ...asm.i32(1),
      ],
      [p.one, [...pause(p), ...asm.i32(50), ...ADD]],
    ),
  'exceptions delegated to the caller': (p) =>
    asm.try(i32, asm.tryDelegate(i32, [...asm.get(0), ...asm.call(p.maybe), ...pause(p)], 1), [
      ALL,
      [...pause(p), ...asm.i32(-1)],
    ]),
  'branches out of bodies and handlers, in a loop': (p) => [
    ...asm.i32(3),
    ...asm.set(1),
    ...asm.loop(
      VOID,
      asm.block(
        VOID,
        asm.try(
          VOID,
          [...asm.get(1), ...asm.call(p.maybe), ...asm.call(p.trace), ...asm.get(1), OP.i32Eqz, ...asm.brIf(1)],
          [p.one, [...asm.call(p.slow), ...asm.call(p.trace), ...asm.br(1)]],
          [ALL, pause(p)],
        ),
        tracing(p, asm.i32(-2)),
      ),
      [...asm.get(1), ...asm.i32(1), OP.i32Sub, ...asm.tee(1), ...asm.i32(0), OP.i32LtS, OP.i32Eqz, ...asm.brIf(0)],
    ),
    ...asm.get(0),
  ],
  'an unreached end of body and handler': (p) => [
    ...asm.try(
      VOID,
      [...asm.get(0), ...asm.call(p.maybe), OP.return],
      [p.one, [...asm.call(p.slow), OP.return]],
      [ALL, pause(p)],
    ),
    ...asm.i32(12),
  ],
}

describe('exceptions of the older encoding', () => {
  for (const [name, make] of Object.entries(legacy)) it(name, () => expectSame(everyCase(make, [i32])))
})

const newer: Record<string, (p: Parts) => Code> = {
  'a tag, and all': (p) => [
    ...asm.block(
      VOID,
      asm.block(
        i32,
        asm.tryTable(
          i32,
          [
            [0, p.one, 0],
            [2, 1],
          ],
          pause(p),
          asm.get(0),
          asm.call(p.maybe),
        ),
        [...pause(p), ...asm.i32(1), ...ADD, OP.return],
      ),
      [...pause(p), OP.return],
    ),
    ...pause(p),
    ...asm.i32(-3),
  ],
  'exceptions as values that wait in locals and operands, thrown again': (p) => [
    ...asm.block(EXNREF, asm.tryTable(VOID, [[3, 0]], [...asm.get(0), ...asm.call(p.maybe), ...asm.call(p.trace)]), [
      ...asm.i32(4),
      OP.return,
    ]),
    ...asm.tee(2),
    ...pause(p),
    ...asm.set(2),
    ...tracing(p, [...asm.get(2), OP.refIsNull]),
    ...asm.block(
      p.b.type([], [i64, v128, f64, EXNREF]),
      asm.tryTable(VOID, [[1, p.many, 0]], [...asm.get(2), OP.throwRef]),
      [OP.unreachable],
    ),
    ...asm.set(2),
    ...[...pause(p), ...dropMany],
    ...[...asm.get(2), OP.refIsNull, ...ADD],
  ],
  'a null among exceptions': (p) => [
    ...[OP.refNull, EXNREF, ...asm.set(2)],
    ...pause(p),
    ...[...asm.get(2), OP.refIsNull, ...asm.get(0), ...asm.call(p.maybe), ...ADD],
  ],
  'blocks with parameters': (p) => [
    ...asm.block(
      VOID,
      asm.block(
        p.b.type([], [i32, EXNREF]),
        [...asm.get(0), ...asm.i64(9)],
        asm.tryTable(
          p.b.type([i32, i64], [i32]),
          [
            [1, p.one, 0],
            [2, 1],
          ],
          [OP.drop, ...asm.call(p.maybe), ...pause(p)],
        ),
        [OP.return],
      ),
      [OP.drop, ...pause(p), OP.return],
    ),
    ...asm.i32(17),
  ],
}

describe('exceptions of the newer encoding', () => {
  for (const [name, make] of Object.entries(newer)) it(name, () => expectSame(everyCase(make, [i32, EXNREF])))

  it('an exception that reaches the outermost caller comes out', () => {
    const p = parts()
    p.b.func({ export: '_start', code: [...asm.i32(1), ...asm.call(p.maybe), OP.drop] })
    const bytes = p.b.build()
    const plain = runPlain(bytes)
    expect(plain.failure).toMatch(/WebAssembly.Exception/)
    expect(runHopped(bytes, { budget: () => 0 }).failure).toBe(plain.failure)
    expect(() => {
      const module = new WebAssembly.Module(instrument(bytes, { memoryMaxPages: 16 }).bytes)
      const imports = { wasi_snapshot_preview1: { trace: () => undefined } }
      new Suspendable({ module, imports, onPoll: () => 'continue' }).run()
    }).toThrow(WebAssembly.Exception)
  })
})

describe('what the host throws', () => {
  it.each(['an import', 'a poll'])('is not caught by the guest: %s', (where) => {
    const { b, slow, trace } = kit()
    const call: Code = where === 'an import' ? [...asm.i32(3), ...asm.call(trace)] : [...asm.i32(9), ...asm.call(slow)]
    const dropped: Code = where === 'an import' ? [] : [OP.drop]
    b.func({
      export: '_start',
      code: asm.loop(VOID, asm.try(VOID, [...call, ...dropped], [ALL, []]), asm.br(0)),
    })
    const module = new WebAssembly.Module(instrument(b.build(), { memoryMaxPages: 16 }).bytes)
    const failure = new Error('enough')
    let times = 0
    const fail = (): never => {
      times++
      throw failure
    }
    const cell = new Suspendable({
      module,
      imports: { wasi_snapshot_preview1: { trace: fail } },
      onPoll: () => (where === 'a poll' ? fail() : 'continue'),
      budget: 4,
    })
    expect(() => cell.run()).toThrow(failure)
    expect(times).toBe(1)
  })
})
