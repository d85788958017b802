// The output as such: deterministic, independent of the cap, untouched where nothing can be suspended.
import { describe, expect, it } from 'vitest'
import { FEATURE_CLASSES, inspectModule } from '../../../cells/instrument/facts.ts'
import { instrument } from '../../../cells/instrument/instrument.ts'
import { Output } from '../../../cells/instrument/output.ts'
import { instructionsOf } from '../../../cells/instrument/scan.ts'
import { programOf, type SourceFunction } from '../../../cells/instrument/source.ts'
import { ByteReader } from '../../../cells/wasm/byte-reader.ts'
import { decodeModule } from '../../../cells/wasm/module.ts'
import { OP } from '../../../cells/wasm/opcodes.ts'
import type { Range } from '../../../cells/wasm/sections.ts'
import { seededRandom } from '../../../core/random.ts'
import { randomProgram } from '../../support/random-program.ts'
import { asm, type Code, i32, VOID, WasmBuilder } from '../../support/wasm-builder.ts'

/** Of the section by the branch hinting proposal: function indices, and offsets in their bodies. */
function hintsOf(bytes: Uint8Array): { readonly index: number; readonly unlikely: readonly number[] }[] {
  const [section] = WebAssembly.Module.customSections(
    new WebAssembly.Module(bytes.slice()),
    'metadata.code.branch_hint',
  )
  const reader = new ByteReader(new Uint8Array(section ?? new ArrayBuffer(0)))
  return Array.from({ length: reader.u32() }, () => {
    const index = reader.u32()
    return {
      index,
      unlikely: Array.from({ length: reader.u32() }, () => {
        const offset = reader.u32()
        expect([reader.u8(), reader.u8()]).toEqual([1, 0])
        return offset
      }),
    }
  })
}

describe('instrument', () => {
  it('gives the same bytes for the same input, and the same layout for every cap', () => {
    const bytes = randomProgram(seededRandom(7))
    const a = instrument(bytes, { memoryMaxPages: 64 })
    const b = instrument(bytes.slice(), { memoryMaxPages: 64 })
    const c = instrument(bytes, { memoryMaxPages: 3 })
    expect(Buffer.compare(a.bytes, b.bytes)).toBe(0)
    expect(Buffer.compare(a.bytes, c.bytes)).not.toBe(0)
    expect(c.layoutHash).toBe(a.layoutHash)
    expect(c.moduleHash).toBe(a.moduleHash)
    expect(instrument(randomProgram(seededRandom(8)), { memoryMaxPages: 64 }).layoutHash).not.toBe(a.layoutHash)
  })

  it('leaves alone what can reach no poll, and polls only where a cycle needs it', () => {
    const b = new WasmBuilder()
    const straight: Code = [...asm.get(0), ...asm.i32(1), OP.i32Add]
    const leaf = b.func({ params: [i32], results: [i32], code: straight })
    const looping = b.func({ code: asm.loop(VOID, asm.i32(0), asm.call(leaf), [OP.drop]) })
    // Its recursive call passes the loop's poll, so its entry needs none.
    const self = b.nextFunction
    b.func({ code: asm.loop(VOID, asm.i32(0), asm.if(VOID, asm.call(self))) })
    // A cycle of two without loops: one entry poll cuts it.
    const even = b.nextFunction
    b.func({ code: [...asm.i32(0), ...asm.if(VOID, asm.call(even + 1))] })
    b.func({ code: [...asm.i32(0), ...asm.if(VOID, asm.call(even))] })
    b.func({ export: '_start', code: [...asm.call(looping), ...asm.call(self), ...asm.call(even)] })
    const bytes = b.build()
    const { stats, bytes: out } = instrument(bytes, { memoryMaxPages: 4 })
    expect(stats).toMatchObject({ functions: 6, suspendable: 5, polls: 3 })
    expect(stats.sites).toBe(3 + 3 + 3)
    const body = (module: Uint8Array): string => {
      const range = decodeModule(module).bodies[leaf]
      return Buffer.from(module.subarray(range?.start, range?.end)).toString('hex')
    }
    expect(body(out)).toBe(body(bytes))
  })

  it('runs a command that has nothing to suspend', () => {
    const b = new WasmBuilder()
    b.func({ export: '_start', code: [] })
    const { bytes, stats } = instrument(b.build(), { memoryMaxPages: 4 })
    expect(stats.suspendable).toBe(0)
    expect(WebAssembly.validate(bytes)).toBe(true)
  })
})

describe('branch hints', () => {
  it.each([false, true])('name every poll, each at a branch (exceptions: %s)', (exceptions) => {
    for (let seed = 0; seed < 20; seed++) {
      const { bytes, stats } = instrument(randomProgram(seededRandom(seed), exceptions), { memoryMaxPages: 64 })
      const { bodies, importedFunctions } = decodeModule(bytes)
      const hints = hintsOf(bytes)
      const indices = hints.map(({ index }) => index)
      expect(indices).toEqual([...new Set(indices)].sort((a, b) => a - b))
      for (const { index, unlikely } of hints) {
        const { start, end } = bodies[index - importedFunctions] as Range
        const reader = instructionsOf({ bytes, body: { start, end }, index } as SourceFunction)
        const branches: number[] = []
        while (!reader.done) {
          reader.next()
          if (reader.op === OP.if || reader.op === OP.brIf) branches.push(reader.start - start)
        }
        expect(branches).toEqual(expect.arrayContaining([...unlikely]))
      }
      const rewindCopies = new Set(decodeModule(bytes).elements.at(exceptions ? -2 : -1)?.functions)
      const fast = hints.filter(({ index }) => !rewindCopies.has(index))
      expect(fast.flatMap(({ unlikely }) => unlikely)).toHaveLength(stats.polls)
    }
  })
})

describe('inspectModule', () => {
  it('says what is there', () => {
    const b = new WasmBuilder().memory({ min: 2, max: 5 })
    b.import('fd_write', [i32, i32, i32, i32], [i32])
    b.func({ export: '_start', code: [...asm.i32(1), OP.drop, ...asm.loop(VOID), ...asm.loop(VOID)] })
    const facts = inspectModule(b.build())
    expect(facts).toMatchObject({ functions: 1, imports: ['fd_write'], memoryPages: { initial: 2, maximum: 5 } })
    const feature = (name: string): number | undefined => facts.opcodeFeatures[FEATURE_CLASSES.indexOf(name)]
    expect(facts.opcodeFeatures).toHaveLength(FEATURE_CLASSES.length)
    expect(feature('loop')).toBeCloseTo(Math.log1p(2))
    expect(feature('const')).toBeCloseTo(Math.log1p(1))
    expect(feature('call')).toBe(0)
  })
})

it('finds what a drop is noted in without going through all that are dropped', () => {
  const b = new WasmBuilder()
  b.func({ export: '_start', code: [] })
  const SEGMENTS = 500
  let looks = 0
  const dropped = Array.from({ length: SEGMENTS }, (_, segment) => ({
    op: OP.elemDrop,
    get segment() {
      looks++
      return segment
    },
  }))
  const use = { references: false, tables: [], catches: false, exceptionReferences: false, dropped }
  const output = new Output(programOf(decodeModule(b.build())), [], use, new Set(), false)
  const globals = dropped.map((_, segment) => output.droppedGlobal(OP.elemDrop, segment))
  expect(new Set(globals).size).toBe(SEGMENTS)
  expect(looks).toBeLessThan(SEGMENTS * 4)
})
