// Loops without calls: short ones share a poll among turns, and the fuel is in a local until they are left.
import { describe, expect, it } from 'vitest'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { expectSame, runHopped } from '../../support/suspension.ts'
import { asm, type Code, i32, VOID, WasmBuilder } from '../../support/wasm-builder.ts'
import { ADD, countdown, SUB } from '../../support/wasm-kit.ts'

interface Parts {
  readonly b: WasmBuilder
  readonly trace: number
}

function command(make: (parts: Parts) => void): Uint8Array {
  const b = new WasmBuilder()
  const trace = b.import('trace', [i32], [])
  make({ b, trace })
  return b.build()
}

/** A function that sums, in a loop with `pad` bytes of nothing, and leaves it in the way that `leave` says. */
function summing(pad: number, leave: Code, results: readonly number[], after: Code): (parts: Parts) => number {
  return ({ b }) =>
    b.func({
      params: [i32],
      results: [...results],
      locals: [i32, i32],
      code: [
        ...asm.block(
          VOID,
          asm.loop(
            VOID,
            new Array<number>(pad).fill(OP.nop),
            [...asm.get(1), ...asm.get(2), ...ADD, ...asm.set(1)],
            [...asm.get(2), ...asm.i32(1), ...ADD, ...asm.set(2)],
            leave,
            asm.br(0),
          ),
        ),
        ...after,
      ],
    })
}

const atEnd = [...asm.get(2), ...asm.get(0), 0x4e]
const sum = asm.get(1)
const WAYS: Readonly<Record<string, (pad: number) => (parts: Parts) => number>> = {
  'a branch': (pad) => summing(pad, [...atEnd, ...asm.brIf(1)], [i32], sum),
  'a return': (pad) => summing(pad, [...atEnd, ...asm.if(VOID, [...sum, OP.return])], [i32], [OP.unreachable]),
  'a branch with a value': (pad) => summing(pad, [...sum, ...atEnd, ...asm.brIf(2), OP.drop], [i32], [OP.unreachable]),
  'a branch table': (pad) => summing(pad, [...atEnd, ...asm.brTable([0], 1)], [i32], sum),
}

describe('a loop without calls', () => {
  for (const [how, make] of Object.entries(WAYS))
    for (const pad of [0, 40, 90])
      it(`of ${pad} bytes and more, left by ${how}`, () =>
        expectSame(
          command((parts) => {
            const f = make(pad)(parts)
            const calls = [1, 2, 3, 4, 5, 9, 17].flatMap((n) => [
              ...asm.i32(n),
              ...asm.call(f),
              ...asm.call(parts.trace),
            ])
            parts.b.func({ export: '_start', code: calls })
          }),
        ))

  it('counts in a local through a nest of loops', () =>
    expectSame(
      command(({ b, trace }) => {
        const inner = countdown(1, 2, [], [[...asm.get(3), ...asm.get(2), ...ADD, ...asm.set(3)]])
        const nest = countdown(0, 1, [asm.get(3)], [inner, [...asm.get(1), ...asm.i32(0), ...SUB, OP.drop]])
        const f = b.func({ params: [i32], results: [i32], locals: [i32, i32, i32], code: nest })
        b.func({ export: '_start', code: [...asm.i32(6), ...asm.call(f), ...asm.call(trace)] })
      }),
    ))

  it.each([
    [0, 4],
    [40, 2],
    [90, 1],
  ])('with %i bytes more shares a poll among %i turns', (pad, turns) => {
    const bytes = command((parts) => {
      const f = summing(pad, [...atEnd, ...asm.brIf(1)], [i32], sum)(parts)
      parts.b.func({ export: '_start', code: [...asm.i32(1000), ...asm.call(f), ...asm.call(parts.trace)] })
    })
    expect(runHopped(bytes, { budget: () => 10, maxHops: 0 }).polls).toBe(1000 / turns)
  })
})
