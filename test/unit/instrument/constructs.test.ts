// Every construct that can hold state at a site, in a small hand-made program: suspended at every k-th poll and moved
// into a new instance, it must leave the same trace and memory as when it is left alone.
import { describe, it } from 'vitest'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { expectSame } from '../../support/suspension.ts'
import { asm, type Code, i32, i64, VOID } from '../../support/wasm-builder.ts'
import { ADD, countdown, type Kit, kit, MUL, SUB } from '../../support/wasm-kit.ts'

const programs: Record<string, (k: Kit) => void> = {
  'operands below the arguments of a call': ({ b, trace, slow }) =>
    b.func({
      export: '_start',
      code: [
        ...asm.i32(1000),
        ...asm.i32(20),
        ...asm.i32(3),
        ...asm.call(slow),
        ...ADD,
        ...asm.i32(2),
        ...asm.call(slow),
        ...MUL,
        ...ADD,
        ...asm.call(trace),
      ],
    }),
  'operands below blocks, ifs and loops with calls inside': ({ b, trace, slow }) =>
    b.func({
      export: '_start',
      locals: [i32],
      code: [
        ...asm.i32(7),
        ...asm.block(
          i32,
          asm.i32(5),
          asm.if(i32, [...asm.i32(11), ...asm.i32(2), ...asm.call(slow), ...ADD], asm.i32(1)),
          asm.i32(0),
          asm.if(i32, asm.i32(99), [...asm.i32(1), ...asm.call(slow)]),
          ADD,
          asm.loop(i32, asm.get(0), asm.i32(1), ADD, asm.tee(0), asm.i32(4), [OP.i32LtS], asm.brIf(0), asm.get(0)),
          MUL,
        ),
        ...ADD,
        ...asm.call(trace),
      ],
    }),
  'block and loop parameters': ({ b, trace, slow }) => {
    const inOut = b.type([i32, i64], [i64])
    const step = b.type([i64, i32], [i64])
    b.func({
      export: '_start',
      locals: [i32, i64],
      code: [
        ...asm.i32(4),
        ...asm.i64(5),
        ...asm.block(
          inOut,
          asm.set(1),
          asm.call(slow),
          asm.set(0),
          asm.get(1),
          asm.get(0),
          // loop (param i64 i32) (result i64): sums down, with the parameters changed by the branch back
          asm.loop(
            step,
            asm.tee(0),
            asm.i32(1),
            asm.call(slow),
            ADD,
            [0xac],
            [0x7c],
            asm.get(0),
            asm.i32(1),
            SUB,
            asm.tee(0),
            asm.get(0),
            asm.i32(0),
            [0x4a],
            asm.brIf(0),
            [OP.drop],
          ),
        ),
        0xa7,
        ...asm.call(trace),
      ],
    })
  },
  'an if with parameters': ({ b, trace, slow }) => {
    const type = b.type([i32], [i32])
    b.func({
      export: '_start',
      locals: [i32],
      code: countdown(0, 0, [
        [3, 2, 1, 0].flatMap((n) => [
          ...asm.i32(100 + n),
          ...asm.i32(n),
          ...asm.i32(n & 1),
          ...asm.if(type, [...asm.call(slow), ...asm.i32(1), ...ADD], [...asm.i32(2), ...ADD, ...asm.call(slow)]),
          ...ADD,
          ...asm.call(trace),
        ]),
      ]),
    })
  },
  br_table: ({ b, trace, slow }) => {
    const pick = b.func({
      params: [i32],
      results: [i32],
      code: [
        ...asm.block(
          VOID,
          asm.block(
            VOID,
            asm.block(VOID, asm.block(VOID, asm.get(0), asm.brTable([0, 1, 2], 3)), asm.i32(2), asm.call(slow), [
              OP.return,
            ]),
            asm.i32(3),
            asm.call(slow),
            [OP.return],
          ),
          asm.get(0),
          asm.call(slow),
          asm.call(trace),
        ),
        ...asm.i32(5),
      ],
    })
    b.func({
      export: '_start',
      locals: [i32],
      code: [...asm.i32(6), ...asm.set(0), ...countdown(0, 0, [], [asm.get(0), asm.call(pick), asm.call(trace)])],
    })
  },
  'indirect calls, and arguments that are used up': ({ b, trace, slow }) => {
    const twice = b.func({
      params: [i32],
      results: [i32],
      code: [...asm.get(0), ...asm.call(slow), ...asm.get(0), ...asm.call(slow), ...ADD],
    })
    const quick = b.func({ params: [i32], results: [i32], code: asm.get(0) })
    b.table(4).elements(1, [slow, twice, quick])
    b.func({
      export: '_start',
      locals: [i32],
      code: [
        ...asm.i32(3),
        ...asm.set(0),
        ...countdown(
          0,
          0,
          [],
          [asm.i32(17), asm.get(0), asm.get(0), asm.callIndirect(b.type([i32], [i32])), ADD, asm.call(trace)],
        ),
      ],
    })
  },
  recursion: ({ b, trace }) => {
    const fib = b.nextFunction
    const smaller = (n: number): Code => [...asm.get(0), ...asm.i32(n), ...SUB, ...asm.call(fib)]
    b.func({
      params: [i32],
      results: [i32],
      code: [
        ...asm.get(0),
        ...asm.i32(2),
        OP.i32LtS,
        ...asm.if(i32, asm.get(0), [...smaller(1), ...smaller(2), ...ADD]),
      ],
    })
    b.func({ export: '_start', code: [...asm.i32(8), ...asm.call(fib), ...asm.call(trace)] })
  },
  'several results': ({ b, trace, slow }) => {
    const two = b.func({
      params: [i32],
      results: [i32, i64],
      code: [...asm.get(0), ...asm.call(slow), ...asm.get(0), ...asm.call(slow), 0xac],
    })
    const early = b.func({
      params: [i32],
      results: [i32, i64],
      locals: [i32, i64],
      code: [
        ...asm.get(0),
        ...asm.if(VOID, [...asm.get(0), ...asm.call(two), OP.return]),
        ...asm.i32(77),
        ...asm.i64(78),
      ],
    })
    b.func({
      export: '_start',
      code: [1, 0, 3].flatMap((n) => [...asm.i32(n), ...asm.call(early), 0xa7, ...ADD, ...asm.call(trace)]),
    })
  },
  'a loop that keeps its fuel in a local, beside calls': ({ b, trace, slow }) =>
    b.func({
      export: '_start',
      locals: [i32, i32, i32],
      code: [
        ...asm.i32(4),
        ...asm.set(0),
        ...countdown(0, 1, [asm.get(2), asm.call(trace)], [asm.get(1), asm.call(slow), asm.get(2), ADD, asm.set(2)]),
        ...countdown(0, 1, [asm.get(2), asm.call(trace)], [asm.get(2), asm.get(1), MUL, asm.set(2)]),
        ...asm.i32(2),
        ...asm.call(slow),
        ...asm.call(trace),
      ],
    }),
  'code after a branch that is never reached': ({ b, trace, slow }) =>
    b.func({
      export: '_start',
      code: [
        ...asm.i32(1),
        ...asm.block(
          i32,
          asm.i32(2),
          asm.call(slow),
          asm.br(0),
          asm.i32(5),
          asm.loop(VOID, asm.i32(1), asm.call(slow), [OP.drop], asm.br(0)),
          asm.if(VOID, [...asm.i32(1), ...asm.call(slow), OP.drop], [OP.nop]),
        ),
        ...ADD,
        ...asm.call(trace),
        ...asm.block(VOID, [OP.return], asm.i32(1), asm.call(slow), [OP.drop]),
      ],
    }),
  'a start section': ({ b, trace, slow }) => {
    b.start(b.func({ code: [...asm.i32(3), ...asm.call(slow), ...asm.call(trace)] }))
    b.func({ export: '_start', code: [...asm.i32(4), ...asm.call(slow), ...asm.call(trace)] })
  },
}

describe('suspending at polls and going on in a new instance', () => {
  for (const [name, make] of Object.entries(programs))
    it(name, () => {
      const parts = kit()
      make(parts)
      expectSame(parts.b.build())
    })
})
