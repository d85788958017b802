// Whatever the bytes: a module comes out, or a coded refusal. What comes out is valid.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { inspectModule } from '../../../cells/instrument/facts.ts'
import { instrument } from '../../../cells/instrument/instrument.ts'
import { ByteReader } from '../../../cells/wasm/byte-reader.ts'
import { ByteWriter } from '../../../cells/wasm/byte-writer.ts'
import { InstructionReader } from '../../../cells/wasm/instruction-reader.ts'
import { CodedError } from '../../../core/errors.ts'
import { seededRandom } from '../../../core/random.ts'
import { randomProgram } from '../../support/random-program.ts'

/** What came out, or undefined for a coded refusal; anything else is thrown on. */
function attempt(bytes: Uint8Array): Uint8Array | undefined {
  try {
    inspectModule(bytes)
    return instrument(bytes, { memoryMaxPages: 64 }).bytes
  } catch (error) {
    if (error instanceof CodedError) return undefined
    throw error
  }
}

it('damaged modules are refused or stay valid', () => {
  let taken = 0
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 1, max: 6 }), (seed, damage) => {
      const random = seededRandom(seed)
      const bytes = randomProgram(random, seed % 2 === 0)
      for (let i = 0; i < damage; i++) bytes[random.int(bytes.length)] = random.int(256)
      const out = attempt(bytes)
      if (out === undefined) return
      taken++
      expect(WebAssembly.validate(out)).toBe(true)
    }),
    // One in sixteen or so is taken.
    { numRuns: 600 },
  )
  expect(taken).toBeGreaterThan(5)
})

it('random bytes are refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (tail) => {
      const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]
      attempt(Uint8Array.from([...header, ...tail]))
      expect(attempt(tail)).toBeUndefined()
    }),
    { numRuns: 500 },
  )
})

it('instructions are read, or refused with a code, from any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      const reader = new InstructionReader(bytes)
      try {
        while (!reader.done) {
          const before = reader.at
          reader.next()
          expect(reader.at).toBeGreaterThan(before)
        }
      } catch (error) {
        expect(error).toBeInstanceOf(CodedError)
      }
      expect(reader.at).toBeLessThanOrEqual(bytes.length)
    }),
    { numRuns: 2000 },
  )
})

it('numbers and names come back as they were written', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 0xffffffff }),
      fc.integer({ min: -(2 ** 32), max: 2 ** 32 - 1 }),
      fc.string({ maxLength: 50 }).filter((text) => text.isWellFormed()),
      (unsigned, signed, text) => {
        const reader = new ByteReader(new ByteWriter(1).u32(unsigned).s33(signed).name(text).s33(signed).view())
        expect(reader.u32()).toBe(unsigned)
        expect(reader.s33()).toBe(signed)
        expect(reader.name()).toBe(text)
        reader.skipLeb()
        expect(reader.done).toBe(true)
      },
    ),
  )
})
