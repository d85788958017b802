// The tracking build: the same program on the same memory, which notes every page it writes to and no other.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Suspendable } from '../../../cells/instrument/driver.ts'
import { instrument, trackingBuild } from '../../../cells/instrument/instrument.ts'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { seededRandom } from '../../../core/random.ts'
import { randomProgram } from '../../support/random-program.ts'
import { runHopped, runPlain, runSwitched } from '../../support/suspension.ts'
import { asm, type Code, i32, VOID, WasmBuilder } from '../../support/wasm-builder.ts'

const LONG = process.env.CLOUDSKIN_LONG !== undefined

let lastMap: number[] = []

/** Runs `code` in the tracking build, in a function that may be suspended or in one that may not; the pages noted. */
function noted(code: Code, suspendable: boolean, build = new WasmBuilder()): number[] {
  build.memory({ min: 2, max: 4 })
  const stores = build.func({ code })
  const here = suspendable ? code : asm.call(stores)
  build.func({ export: '_start', code: [...asm.loop(VOID, []), ...here] })
  const bytes = build.build()
  const cap = { memoryMaxPages: 4 }
  const init = { budget: 0, imports: {} }
  const module = new WebAssembly.Module(instrument(bytes, cap).bytes)
  const fast = new Suspendable({ ...init, module, onPoll: () => 'unwind' })
  expect(fast.run()).toBe('suspended')
  const tracking = new Suspendable({
    module: new WebAssembly.Module(trackingBuild(bytes, cap)),
    ...init,
    onPoll: () => 'continue',
    sharesWith: fast,
  })
  tracking.takeOver(fast)
  try {
    expect(tracking.rewind()).toBe('returned')
  } finally {
    lastMap = [...tracking.dirtyMap.subarray(0, 64)].flatMap((value, page) => (value === 0 ? [] : [page]))
  }
  return lastMap
}

const values = { i32: asm.i32(-1), i64: asm.i64(-1), f32: asm.f32(1), f64: asm.f64(1), v128: asm.v128(1) }

/** Every store: how it is written with an offset, what it takes, how many bytes it changes. */
const STORES: readonly [string, (offset: number) => Code, Code, number][] = [
  ['i32.store', (offset) => asm.access(0x36, offset), values.i32, 4],
  ['i64.store', (offset) => asm.access(0x37, offset), values.i64, 8],
  ['f32.store', (offset) => asm.access(0x38, offset), values.f32, 4],
  ['f64.store', (offset) => asm.access(0x39, offset), values.f64, 8],
  ['i32.store8', (offset) => asm.access(0x3a, offset), values.i32, 1],
  ['i32.store16', (offset) => asm.access(0x3b, offset), values.i32, 2],
  ['i64.store8', (offset) => asm.access(0x3c, offset), values.i64, 1],
  ['i64.store16', (offset) => asm.access(0x3d, offset), values.i64, 2],
  ['i64.store32', (offset) => asm.access(0x3e, offset), values.i64, 4],
  ['v128.store', (offset) => asm.v128Store(offset), values.v128, 16],
  ['v128.store8_lane', (offset) => [0xfd, 88, ...asm.v128Store(offset).slice(2), 3], values.v128, 1],
  ['v128.store16_lane', (offset) => [0xfd, 89, ...asm.v128Store(offset).slice(2), 3], values.v128, 2],
  ['v128.store32_lane', (offset) => [0xfd, 90, ...asm.v128Store(offset).slice(2), 3], values.v128, 4],
  ['v128.store64_lane', (offset) => [0xfd, 91, ...asm.v128Store(offset).slice(2), 1], values.v128, 8],
]

describe.each([
  ['a function that may be suspended', true],
  ['one that may not', false],
])('the tracking build notes in %s', (_where, suspendable) => {
  it.each(STORES)('%s', (_name, store, value, bytes) => {
    const end = 2 * 65536
    const at = (address: number, offset: number): number[] =>
      noted([...asm.i32(address), ...value, ...store(offset)], suspendable)
    expect(at(0, 0)).toEqual([0])
    expect(at(4096 - bytes, 0)).toEqual([0])
    expect(at(4000, 96)).toEqual([1])
    if (bytes > 1) expect(at(4097 - bytes, 0)).toEqual([0, 1])
    expect(at(-bytes + end - 5000, 5000)).toEqual([31])
    // It traps where it did, and has noted nothing.
    expect(() => at(end - bytes + 1, 0)).toThrow(WebAssembly.RuntimeError)
    expect(lastMap).toEqual([])
    expect(() => at(-1, 0x7fff_ffff)).toThrow(WebAssembly.RuntimeError)
  })

  const bulk = (to: number, other: number, length: number, ...op: number[]): Code => [
    ...asm.i32(to),
    ...asm.i32(other),
    ...asm.i32(length),
    0xfc,
    ...op,
  ]
  it.each([
    ['memory.fill', [11, 0]],
    ['memory.copy', [10, 0, 0]],
  ] as const)('%s', (_name, op) => {
    const at = (to: number, length: number): number[] => noted(bulk(to, 7, length, ...op), suspendable)
    expect(at(100, 0)).toEqual([])
    expect(at(2 * 65536, 0)).toEqual([])
    expect(at(0, 1)).toEqual([0])
    expect(at(4095, 1)).toEqual([0])
    expect(at(4095, 2)).toEqual([0, 1])
    expect(at(4096 * 3 + 5, 3 * 4096)).toEqual([3, 4, 5, 6])
    expect(() => at(2 * 65536 - 4, 5)).toThrow(WebAssembly.RuntimeError)
    expect(lastMap).toEqual([])
  })

  it('nothing of a memory that grows', () => {
    expect(noted([...asm.i32(1), OP.memoryGrow, 0, OP.drop], suspendable)).toEqual([])
    const grown = [...asm.i32(1), OP.memoryGrow, 0, OP.drop, ...asm.i32(2 * 65536 + 4097), ...values.i32]
    expect(noted([...grown, ...asm.access(0x36, 0)], suspendable)).toEqual([33])
  })
})

describe('a program that switches between the builds', () => {
  it('keeps its data, which are not placed anew', () => {
    const b = new WasmBuilder()
    const trace = b.import('trace', [i32], [])
    b.data(8, [1, 2, 3, 4])
    const turn = [
      ...asm.i32(8),
      ...asm.i32(8),
      ...asm.access(0x28, 0),
      ...asm.i32(5),
      OP.i32Add,
      ...asm.access(0x36, 0),
    ]
    const again = [...asm.i32(8), ...asm.access(0x28, 0), ...asm.call(trace)]
    const count = [...asm.get(0), ...asm.i32(1), OP.i32Add, ...asm.tee(0), ...asm.i32(9), OP.i32LtS, ...asm.brIf(0)]
    b.func({ export: '_start', locals: [i32], code: asm.loop(VOID, [...turn, ...again, ...count]) })
    const bytes = b.build()
    const switched = runSwitched(bytes, { budget: () => 0, tracks: (stop) => stop % 2 === 1, maxStops: 50 })
    expect(switched.failure).toBeUndefined()
    expect(switched.trace).toEqual(runPlain(bytes).trace)
    // Four turns share a poll.
    expect(switched.hops).toBe(3)
  })

  it(
    'is the same program, whatever it is, and every page it wrote is noted',
    () => {
      let stops = 0
      fc.assert(
        fc.property(fc.integer({ min: 0, max: 0x7fffffff }), fc.integer({ min: 0, max: 4 }), (seed, most) => {
          const random = seededRandom(seed)
          const bytes = randomProgram(random)
          const plain = runPlain(bytes)
          const switched = runSwitched(bytes, {
            budget: () => random.int(most + 1),
            tracks: () => random.int(2) === 1,
            maxStops: 60,
          })
          expect(switched.failure).toBe(plain.failure)
          expect(switched.trace).toEqual(plain.trace)
          expect(Buffer.compare(switched.memory, plain.memory)).toBe(0)
          expect(switched.polls).toBe(runHopped(bytes, { budget: () => 0, maxHops: 0 }).polls)
          stops += switched.hops
        }),
        { numRuns: LONG ? 1_000 : 30 },
      )
      expect(stops).toBeGreaterThan(300)
    },
    LONG ? 600_000 : 20_000,
  )
})
