// Values of every type, in locals, operands, globals and grown memory, survive suspension bit for bit.
import { describe, it } from 'vitest'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { expectSame } from '../../support/suspension.ts'
import { asm, f32, f64, i32, i64, v128 } from '../../support/wasm-builder.ts'
import { ADD, type Kit, kit } from '../../support/wasm-kit.ts'

const programs: Record<string, (k: Kit) => void> = {
  'locals and operands of every type': ({ b, trace, slow }) =>
    b.func({
      export: '_start',
      locals: [i64, f32, f64, v128, i32],
      code: [
        ...asm.i64(-3_000_000_000),
        ...asm.set(0),
        // A signalling NaN with a payload: only moved, so every bit must survive.
        ...asm.i32(0x7fa12345),
        0xbe,
        ...asm.set(1),
        ...asm.f64(-0),
        ...asm.set(2),
        ...asm.v128(3),
        ...asm.set(3),
        ...asm.i32(0),
        ...asm.i64(0x0ff412345),
        ...asm.f32(1.5),
        ...asm.f64(Math.PI),
        ...asm.v128(90),
        ...asm.i32(2),
        ...asm.call(slow),
        ...asm.set(4),
        ...[
          asm.i32(0),
          asm.get(4),
          asm.access(0x36, 0),
          asm.i32(0),
          asm.get(0),
          asm.access(0x37, 8),
          asm.i32(0),
          asm.get(1),
          asm.access(0x38, 16),
          asm.i32(0),
          asm.get(2),
          asm.access(0x39, 24),
          asm.i32(0),
          asm.get(3),
          asm.v128Store(32),
        ].flat(),
        // v128 operand into its local, then everything that waited on the stack into memory
        ...asm.set(3),
        ...asm.set(2),
        ...asm.set(1),
        ...asm.set(0),
        ...asm.get(0),
        ...asm.access(0x37, 48),
        ...asm.i32(0),
        ...asm.get(1),
        ...asm.access(0x38, 56),
        ...asm.i32(0),
        ...asm.get(2),
        ...asm.access(0x39, 64),
        ...asm.i32(0),
        ...asm.get(3),
        ...asm.v128Store(80),
        ...asm.i32(1),
        ...asm.call(trace),
      ],
    }),
  'more locals and operands than one call takes to a frame or back': ({ b, trace, slow }) => {
    const count = 450
    const each = (code: (n: number) => readonly number[]): number[] =>
      Array.from({ length: count }, (_, n) => code(n)).flat()
    b.func({
      export: '_start',
      locals: Array.from({ length: count }, (_, n) => [i32, i64, f64][n % 3] ?? i32),
      code: [
        ...each((n) => [...([asm.i32(n), asm.i64(-n), asm.f64(n / 2)][n % 3] ?? []), ...asm.set(n)]),
        ...each((n) => asm.i32(n * n)),
        ...asm.i32(2),
        ...asm.call(slow),
        ...asm.call(trace),
        ...each(() => asm.call(trace)),
        ...each((n) => [...asm.i32(0), ...asm.get(n), ...asm.access([0x36, 0x37, 0x39][n % 3] ?? 0, 8 * n)]),
      ],
    })
  },
  'globals of every numeric type': ({ b, trace, slow }) => {
    const globals = [
      b.global(i32, asm.i32(1)),
      b.global(i64, asm.i64(2)),
      b.global(f32, asm.f32(3)),
      b.global(f64, asm.f64(4)),
      b.global(v128, asm.v128(5)),
    ] as const
    b.func({
      export: '_start',
      code: [
        [...asm.i32(-9), ...asm.globalSet(globals[0])],
        [...asm.i64(-1), ...asm.globalSet(globals[1])],
        [...asm.i32(0x7fa12345), 0xbe, ...asm.globalSet(globals[2])],
        [...asm.i64(0x7ff4_0000), ...asm.i64(32), 0x86, 0xbf, ...asm.globalSet(globals[3])],
        [...asm.v128(77), ...asm.globalSet(globals[4])],
        [...asm.i32(3), ...asm.call(slow), ...asm.call(trace)],
        [...asm.i32(0), ...asm.globalGet(globals[0]), ...asm.access(0x36, 0)],
        [...asm.i32(0), ...asm.globalGet(globals[1]), ...asm.access(0x37, 8)],
        [...asm.i32(0), ...asm.globalGet(globals[2]), ...asm.access(0x38, 16)],
        [...asm.i32(0), ...asm.globalGet(globals[3]), ...asm.access(0x39, 24)],
        [...asm.i32(0), ...asm.globalGet(globals[4]), ...asm.v128Store(32)],
      ].flat(),
    })
  },
  'memory that grows': ({ b, trace, slow }) => {
    const grow = [OP.memoryGrow, 0]
    b.func({
      export: '_start',
      code: [
        ...asm.i32(1),
        ...grow,
        ...asm.i32(2),
        ...asm.call(slow),
        ...ADD,
        ...asm.call(trace),
        ...asm.i32(70_000),
        ...asm.i32(5),
        ...asm.access(0x36, 0),
        ...asm.i32(2),
        ...asm.call(slow),
        ...asm.call(trace),
        OP.memorySize,
        0,
        ...asm.call(trace),
      ],
    })
  },
}

describe('state in a new instance', () => {
  for (const [name, make] of Object.entries(programs))
    it(name, () => {
      const parts = kit()
      make(parts)
      expectSame(parts.b.build())
    })
})
