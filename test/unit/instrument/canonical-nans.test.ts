// Canonical NaNs: every operation on floats, in all its bits, against the untouched module.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalNans } from '../../../cells/instrument/canonical-nans.ts'
import { instrument } from '../../../cells/instrument/instrument.ts'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { seededRandom } from '../../../core/random.ts'
import { randomProgram } from '../../support/random-program.ts'
import { runHopped, runPlain } from '../../support/suspension.ts'
import { asm, type Code, f32, f64, i32, i64, VOID, v128, WasmBuilder } from '../../support/wasm-builder.ts'

/** `npm run test:long` tries many more. */
const LONG = process.env.CLOUDSKIN_LONG !== undefined
const RUNS = LONG ? 2_000 : 50
const TIMEOUT_MS = LONG ? 600_000 : 20_000

interface Operation {
  readonly name: string
  readonly code: Code
  readonly from: number
  readonly to: number
  readonly operands: 1 | 2
}

const named = (names: string, first: number, type: number, operands: 1 | 2): Operation[] =>
  names.split(' ').map((name, k) => {
    return { name: `${type === f32 ? 'f32' : 'f64'}.${name}`, code: [first + k], from: type, to: type, operands }
  })
const vector = (name: string, op: number, operands: 1 | 2): Operation => {
  const code = [0xfd, ...(op < 128 ? [op] : [(op & 127) | 128, op >> 7])]
  return { name, code, from: v128, to: v128, operands }
}
const UNARY = 'ceil floor trunc nearest sqrt'
const BINARY = 'add sub mul div min max'

const OPERATIONS: readonly Operation[] = [
  ...named(UNARY, 0x8d, f32, 1),
  ...named(BINARY, 0x92, f32, 2),
  ...named(UNARY, 0x9b, f64, 1),
  ...named(BINARY, 0xa0, f64, 2),
  { name: 'f32.demote_f64', code: [0xb6], from: f64, to: f32, operands: 1 },
  { name: 'f64.promote_f32', code: [0xbb], from: f32, to: f64, operands: 1 },
  ...[0x67, 0x68, 0x69, 0x6a, 0xe3].map((op, k) => vector(`f32x4.${UNARY.split(' ')[k]}`, op, 1)),
  ...[0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9].map((op, k) => vector(`f32x4.${BINARY.split(' ')[k]}`, op, 2)),
  ...[0x74, 0x75, 0x7a, 0x94, 0xef].map((op, k) => vector(`f64x2.${UNARY.split(' ')[k]}`, op, 1)),
  ...[0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5].map((op, k) => vector(`f64x2.${BINARY.split(' ')[k]}`, op, 2)),
  vector('f32x4.demote_f64x2_zero', 0x5e, 1),
  vector('f64x2.promote_low_f32x4', 0x5f, 1),
]

const LOADS: Readonly<Record<number, Code>> = { [f32]: [0x2a, 0, 0], [f64]: [0x2b, 0, 0], [v128]: [0xfd, 0, 0, 0] }
const STORES: Readonly<Record<number, Code>> = { [f32]: [0x38, 0, 0], [f64]: [0x39, 0, 0], [v128]: [0xfd, 11, 0, 0] }

/** Takes its operands from 16 and 32 in memory, and leaves the result at 48. */
function moduleOf(code: Code, { from, to, operands }: Omit<Operation, 'code' | 'name'>): Uint8Array<ArrayBuffer> {
  const b = new WasmBuilder()
  const load = (at: number): Code => [...asm.i32(at), ...(LOADS[from] as Code)]
  const all = [...load(16), ...(operands === 2 ? load(32) : []), ...code]
  b.func({ export: '_start', code: [...asm.i32(48), ...all, ...(STORES[to] as Code)] })
  return new Uint8Array(b.build())
}

function resultOf(module: Uint8Array<ArrayBuffer>, operands: Uint8Array): DataView {
  const { memory, _start } = new WebAssembly.Instance(new WebAssembly.Module(module)).exports
  if (!(memory instanceof WebAssembly.Memory) || typeof _start !== 'function') throw new Error('not a command')
  new Uint8Array(memory.buffer).set(operands, 16)
  _start()
  return new DataView(memory.buffer, 48, 16)
}

/** Floats as the bits that they have, numbers and NaNs of all kinds among them. */
const operandBytes = fc
  .array(
    fc.oneof(
      fc.constantFrom(0x7fc00000, 0xffc00000, 0x7f800001, 0xff923456, 0x7fffffff, 0x7ff80000, 0xfff00000, 0x7f800000),
      fc.integer({ min: 0, max: 0xffffffff }),
      fc.constantFrom(0, 0x80000000, 0x3f800000, 0xbf800000, 0x40490fdb, 0x3ff00000),
    ),
    { minLength: 8, maxLength: 8 },
  )
  .map((words) => new Uint8Array(new Uint32Array(words).buffer))

/** What is no number becomes the canonical NaN. */
function canonical(view: DataView, type: 'f32' | 'f64'): string[] {
  if (type === 'f32')
    return [0, 4, 8, 12].map((at) =>
      (Number.isNaN(view.getFloat32(at, true)) ? 0x7fc00000 : view.getUint32(at, true)).toString(16),
    )
  return [0, 8].map((at) =>
    (Number.isNaN(view.getFloat64(at, true)) ? 0x7ff8000000000000n : view.getBigUint64(at, true)).toString(16),
  )
}

const raw = (view: DataView, type: 'f32' | 'f64'): string[] =>
  type === 'f32'
    ? [0, 4, 8, 12].map((at) => view.getUint32(at, true).toString(16))
    : [0, 8].map((at) => view.getBigUint64(at, true).toString(16))

const lanesOf = ({ name, to }: Operation): 'f32' | 'f64' => (to === f32 || name.startsWith('f32x4') ? 'f32' : 'f64')

describe('an operation on floats', () => {
  it.each(OPERATIONS.map((operation) => [operation.name, operation] as const))(
    '%s',
    { timeout: TIMEOUT_MS },
    (_, operation) => {
      const plain = moduleOf(operation.code, operation)
      const changed = new Uint8Array(canonicalNans(plain))
      let nans = 0
      fc.assert(
        fc.property(operandBytes, (operands) => {
          const lanes = lanesOf(operation)
          const expected = canonical(resultOf(plain, operands), lanes)
          expect(raw(resultOf(changed, operands), lanes)).toEqual(expected)
          if (expected.some((bits) => bits === '7fc00000' || bits === '7ff8000000000000')) nans++
        }),
        { numRuns: RUNS },
      )
      expect(nans).toBeGreaterThan(RUNS / 20)
    },
  )
})

describe('what follows an operation', () => {
  const both = { from: f64, to: f64, operands: 2 } as const
  const add: Code = [0xa0]
  const size = (code: Code): number => canonicalNans(moduleOf(code, both)).length - moduleOf(code, both).length

  it('spares it, where it takes no notice of which NaN it is', () => {
    const one = size(add)
    // The square root of the sum; the sum as an integer and back.
    expect(size([...add, 0x9f])).toBe(one)
    expect(size([...add, 0xb0, 0xb9])).toBeLessThan(one)
    // The absolute value is an operation on bits.
    expect(size([...add, 0x99])).toBe(one)
    expect(size([...add, 0x99, 0x9f])).toBeGreaterThan(one + 10)
  })

  it('sees the canonical one, whichever way it looks', () => {
    const seen = (look: Code): string => {
      const b = new WasmBuilder()
      const callee = b.func({ params: [f64], results: [f64], code: asm.get(0) })
      expect(callee).toBe(0)
      const made: Code = [...asm.i32(16), ...(LOADS[f64] as Code), ...asm.i32(16), ...(LOADS[f64] as Code), 0xa3]
      b.func({ export: '_start', locals: [f64, i64], code: [...asm.i32(48), ...made, ...look] })
      return resultOf(new Uint8Array(canonicalNans(b.build())), new Uint8Array(16))
        .getBigUint64(0, true)
        .toString(16)
    }
    const store: Code = [0x39, 0, 0]
    // Zero by zero: negative on x86-64, positive on arm64.
    expect(seen(store)).toBe('7ff8000000000000')
    expect(seen([0xbd, 0x37, 0, 0])).toBe('7ff8000000000000')
    expect(seen([...asm.set(0), ...asm.get(0), ...store])).toBe('7ff8000000000000')
    expect(seen([...asm.call(0), ...store])).toBe('7ff8000000000000')
    expect(seen([0x9a, ...store])).toBe('fff8000000000000')
    expect(seen([...asm.f64(-1), 0xa6, ...store])).toBe('fff8000000000000')
    expect(seen([...asm.set(0), ...asm.block(f64, asm.get(0)), ...store])).toBe('7ff8000000000000')
  })
})

describe('a program with canonical NaNs', () => {
  it('can be moved as any other', { timeout: TIMEOUT_MS }, () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x7fffffff }), (seed) => {
        const random = seededRandom(seed)
        const bytes = new Uint8Array(canonicalNans(randomProgram(random, seed % 2 === 0)))
        expect(WebAssembly.validate(bytes)).toBe(true)
        const plain = runPlain(bytes)
        const hopped = runHopped(bytes, { budget: () => random.int(4), maxHops: 20 })
        expect(hopped.trace).toEqual(plain.trace)
        expect(hopped.failure).toBe(plain.failure)
      }),
      { numRuns: RUNS },
    )
  })

  it('is instrumented as the module that it is made of, and laid out differently', () => {
    const bytes = moduleOf([0xa0], { from: f64, to: f64, operands: 2 })
    const native = instrument(bytes, { memoryMaxPages: 4 })
    const made = instrument(bytes, { memoryMaxPages: 4, nan: 'canonical' })
    expect(made.moduleHash).toBe(native.moduleHash)
    expect(made.layoutHash).not.toBe(native.layoutHash)
    expect(made.layoutHash).toBe(instrument(new Uint8Array(canonicalNans(bytes)), { memoryMaxPages: 4 }).layoutHash)
  })

  it('leaves code without floats as it is', () => {
    const b = new WasmBuilder()
    b.func({ export: '_start', code: [...asm.loop(VOID, asm.i32(0), [OP.drop])], locals: [i32] })
    const bytes = b.build()
    expect(Buffer.compare(canonicalNans(bytes), bytes)).toBe(0)
  })

  it('is refused with relaxed SIMD, whose numbers differ too', () => {
    const relaxedMin: Code = [0xfd, 0x8d, 2]
    const bytes = moduleOf(relaxedMin, { from: v128, to: v128, operands: 2 })
    expect(() => canonicalNans(bytes)).toThrow(expect.objectContaining({ code: 'CELL_UNSUPPORTED_OPCODE' }))
    expect(() => instrument(bytes, { memoryMaxPages: 4 })).not.toThrow()
  })
})
