// Tail calls in functions that may be suspended stay tail calls, before a move and after it.
import { describe, expect, it } from 'vitest'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { expectSame, runHopped } from '../../support/suspension.ts'
import { asm, type Code, i32, i64, VOID } from '../../support/wasm-builder.ts'
import { ADD, type Kit, kit, SUB } from '../../support/wasm-kit.ts'

/** Two functions that call each other in turn, `n` times, and add up on the way; `(n, sum) -> (sum, i64)`. */
function pingPong({ b, slow }: Kit, pauses: boolean): number {
  const type = b.type([i32, i32], [i32, i64])
  const ping = b.nextFunction
  b.table(2).elements(0, [ping, ping + 1])
  const next: Code = [...asm.get(0), ...asm.i32(1), ...SUB, ...asm.get(1), ...asm.get(0), ...ADD]
  const pause: Code = pauses ? [...asm.i32(1), ...asm.call(slow), OP.drop] : []
  const done: Code = [...asm.get(0), OP.i32Eqz, ...asm.if(VOID, [...asm.get(1), ...asm.i64(77), OP.return])]
  b.func({ params: [i32, i32], results: [i32, i64], code: [...done, ...pause, ...next, ...asm.returnCall(ping + 1)] })
  b.func({
    params: [i32, i32],
    results: [i32, i64],
    // An operand that is in nobody's way waits below the arguments.
    code: [...done, ...asm.i32(9), ...next, ...asm.i32(0), ...asm.returnCallIndirect(type)],
  })
  return ping
}

function program(n: number, pauses: boolean): Uint8Array {
  const k = kit()
  const ping = pingPong(k, pauses)
  k.b.func({
    export: '_start',
    code: [...asm.i32(n), ...asm.i32(0), ...asm.call(ping), 0xa7, ...asm.call(k.trace), ...asm.call(k.trace)],
  })
  return k.b.build()
}

describe('tail calls', () => {
  it('survive suspension at every poll', () => {
    expectSame(program(9, true))
  })

  it('may be where the program starts', () => {
    const k = kit()
    const next = k.b.func({ code: [...asm.i32(3), ...asm.call(k.slow), ...asm.call(k.trace)] })
    k.b.func({
      export: '_start',
      code: [...asm.i32(2), ...asm.call(k.slow), ...asm.call(k.trace), ...asm.returnCall(next)],
    })
    expectSame(k.b.build())
  })

  it.each([
    ['unmoved', 0],
    ['moved', 100],
  ])('take no stack, however many there are: %s', (_, maxHops) => {
    const n = 2_000_000
    const hopped = runHopped(program(n, false), { budget: () => 3_000, maxHops })
    expect(hopped.failure).toBeUndefined()
    expect(hopped.trace).toEqual([77, Number(BigInt.asIntN(32, (BigInt(n) * BigInt(n + 1)) / 2n))])
    expect(hopped.hops).toBe(maxHops)
  })

  it('leave no frame behind, however often they move', () => {
    const frames: number[] = []
    const hopped = runHopped(program(400, true), { budget: () => 3, onHop: (bytes) => void frames.push(bytes) })
    expect(hopped.hops).toBeGreaterThan(100)
    expect(Math.max(...frames)).toBeLessThan(200)
  })
})
