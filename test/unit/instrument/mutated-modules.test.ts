// Damaged modules: whatever the damage, a valid module comes out or a refusal with a code, in bounded time and memory.
import { readdirSync, readFileSync } from 'node:fs'
import { expect, it, onTestFinished, vi } from 'vitest'
import { inspectModule } from '../../../cells/instrument/facts.ts'
import { instrument } from '../../../cells/instrument/instrument.ts'
import { decodeModule } from '../../../cells/wasm/module.ts'
import { CodedError } from '../../../core/errors.ts'
import { seededRandom } from '../../../core/random.ts'
import { mutatedModule } from '../../support/mutated-module.ts'
import { randomProgram } from '../../support/random-program.ts'

/** `npm run test:long` tries many more. */
const LONG = process.env.CLOUDSKIN_LONG !== undefined
const TRIES = LONG ? 50_000 : 1_500
const TIMEOUT_MS = LONG ? 3_600_000 : 60_000

const samples = new URL('../../../cells/samples/wasm/', import.meta.url)
const modules: Uint8Array[] = readdirSync(samples)
  .filter((name) => name.endsWith('.wasm'))
  .map((name) => new Uint8Array(readFileSync(new URL(name, samples))))
for (let seed = 1; seed <= 30; seed++) modules.push(randomProgram(seededRandom(seed)))

/** The code of the refusal, or what came out. */
function attempt(bytes: Uint8Array<ArrayBuffer>): string | Uint8Array<ArrayBuffer> {
  try {
    inspectModule(bytes)
    return new Uint8Array(instrument(bytes, { memoryMaxPages: 1024 }).bytes)
  } catch (error) {
    if (error instanceof CodedError) return error.code
    throw error
  }
}

it(
  'damaged modules are refused with a code, or stay valid',
  () => {
    const seen = new Map<string, number>()
    for (let seed = 0; seed < TRIES; seed++) {
      const random = seededRandom(seed)
      const from = modules[random.int(modules.length)] ?? new Uint8Array(0)
      const other = modules[random.int(modules.length)] ?? from
      const damaged = new Uint8Array(mutatedModule(from, other, random))
      let out: string | Uint8Array<ArrayBuffer>
      try {
        out = attempt(damaged)
      } catch (error) {
        throw new Error(`seed ${seed}: ${String(error)}`, { cause: error })
      }
      if (typeof out !== 'string') expect(WebAssembly.validate(out), `seed ${seed}`).toBe(true)
      const what = typeof out === 'string' ? out : 'taken'
      seen.set(what, (seen.get(what) ?? 0) + 1)
    }
    // The damage goes deep enough to be taken, and to be refused for more than one reason.
    expect(seen.get('taken') ?? 0).toBeGreaterThan(TRIES / 50)
    expect(seen.get('CELL_NOT_WASM') ?? 0).toBeGreaterThan(TRIES / 10)
    // Among it blocks of a type of two bytes, which are valid.
    expect(seen.get('CELL_UNSUPPORTED_OPCODE') ?? 0).toBeGreaterThan(TRIES / 150)
    expect([...seen.keys()]).toEqual(expect.arrayContaining(['CELL_NOT_A_COMMAND', 'CELL_UNKNOWN_IMPORT']))
  },
  TIMEOUT_MS,
)

it(
  'the decoder is total without the engine that looks at the bytes before it',
  () => {
    const validate = vi.spyOn(WebAssembly, 'validate').mockReturnValue(true)
    onTestFinished(() => validate.mockRestore())
    const seen = new Map<string, number>()
    for (let seed = 0; seed < TRIES; seed++) {
      const random = seededRandom(seed)
      const from = modules[random.int(modules.length)] ?? new Uint8Array(0)
      const damaged = mutatedModule(from, modules[random.int(modules.length)] ?? from, random)
      let what = 'taken'
      try {
        const { functionTypes, bodies } = decodeModule(damaged)
        // What it takes is no larger than the bytes: each entry has at least one of its own.
        expect(functionTypes.length + bodies.length).toBeLessThan(damaged.length + 2)
      } catch (error) {
        if (!(error instanceof CodedError)) throw new Error(`seed ${seed}: ${String(error)}`, { cause: error })
        what = error.code
      }
      seen.set(what, (seen.get(what) ?? 0) + 1)
    }
    expect(seen.get('taken') ?? 0).toBeGreaterThan(TRIES / 50)
    expect(seen.get('CELL_NOT_WASM') ?? 0).toBeGreaterThan(TRIES / 20)
    expect(seen.get('CELL_UNSUPPORTED_OPCODE') ?? 0).toBeGreaterThan(TRIES / 1000)
  },
  TIMEOUT_MS,
)
