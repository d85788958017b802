// Random modules that Binaryen's fuzzer makes run the same plainly, instrumented, moved at random polls, and switched
// between the two builds.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { instrument } from '../../../cells/instrument/instrument.ts'
import { decodeModule } from '../../../cells/wasm/module.ts'
import { CodedError } from '../../../core/errors.ts'
import { type Random, seededRandom } from '../../../core/random.ts'
import { commandCalling } from '../../support/called-command.ts'
import { type Outcome, runHopped, runPlain, runSwitched } from '../../support/suspension.ts'
import { i32, WasmBuilder } from '../../support/wasm-builder.ts'
import { installed, NEEDED } from './packages.ts'

/** `npm run test:long` tries many more. */
const MODULES = process.env.CLOUDSKIN_LONG === undefined ? 100 : 3_000
/** Modules of one test. */
const BATCH = 20
const TIMEOUT_MS = 600_000
/** Of each module, commands that begin with another function. */
const COMMANDS = 2

const WASM_OPT = fileURLToPath(new URL('../../third-party/node_modules/binaryen/bin/wasm-opt', import.meta.url))
/** What the fuzzer likes and no compiler makes; `ref.as_non_null` it takes for a part of exception handling. */
const REFUSED = ['a table of exceptions that changes', 'a tag with exnref', '0xd4']
const ALWAYS = ['mutable-globals', 'sign-ext', 'nontrapping-float-to-int', 'bulk-memory']
const FEATURES = ['reference-types', 'multivalue', 'simd', 'tail-call']

describe.skipIf(!installed)(`random modules (${installed ? 'wasm-opt -ttf' : NEEDED})`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'random-modules-'))
  const at = (name: string): string => join(folder, name)
  const counts = { commands: 0, hops: 0, refused: 0 }

  beforeAll(() => {
    const b = new WasmBuilder().memory({ min: 1, max: 4 })
    b.import('trace', [i32], [])
    b.func({ code: [] })
    writeFileSync(at('initial.wasm'), b.build())
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  /** Every fifth module has all features, the others some, without exceptions: of long modules with them, half are refused. */
  function randomModule(seed: number, random: Random): Uint8Array {
    const all = seed % 5 === 0
    const features = all ? [...FEATURES, 'exception-handling'] : FEATURES.filter(() => random.int(2) === 0)
    const length = all ? 400 + random.int(1_200) : 3_000 + random.int(9_000)
    writeFileSync(
      at('input'),
      Uint8Array.from({ length }, () => random.int(256)),
    )
    const enabled = [...ALWAYS, ...features].map((name) => `--enable-${name}`)
    const shape = ['-ttf', '--initial-fuzz', at('initial.wasm'), '--fuzz-preserve-imports-exports', '--denan']
    const args = [WASM_OPT, at('input'), ...shape, '--mvp-features', ...enabled, '-o', at('out.wasm')]
    execFileSync(process.execPath, args, { stdio: 'ignore' })
    return new Uint8Array(readFileSync(at('out.wasm')))
  }

  function check(command: Uint8Array, random: Random, what: string): void {
    const plain = runPlain(command)
    // How deep a recursion may be is the engine's affair.
    if (plain.failure?.includes('call stack')) return
    counts.commands++
    const runs: Record<string, Outcome & { readonly hops: number }> = {
      unmoved: runHopped(command, { budget: () => 1_000_000, maxHops: 0 }),
      'moved at every poll': runHopped(command, { budget: () => 0, maxHops: 100 }),
      'moved at some': runHopped(command, { budget: () => random.int(4), maxHops: 100 }),
      switched: runSwitched(command, {
        budget: () => random.int(3),
        tracks: (stop) => stop % 2 === 0,
        maxStops: 50,
      }),
    }
    for (const [how, outcome] of Object.entries(runs)) {
      counts.hops += outcome.hops
      expect(outcome.failure, `${what}, ${how}`).toBe(plain.failure)
      expect(outcome.trace, `${what}, ${how}`).toEqual(plain.trace)
      expect(Buffer.compare(outcome.memory, plain.memory), `${what}, ${how}: memory`).toBe(0)
    }
  }

  function tryModule(seed: number): void {
    const random = seededRandom(seed)
    const bytes = randomModule(seed, random)
    for (let k = 0; k < COMMANDS; k++) {
      const { bodies, globals } = decodeModule(bytes)
      const called = { trace: 0, fuelGlobal: globals.length - 1, fuel: 40, first: random.int(bodies.length) }
      const command = commandCalling(bytes, called)
      try {
        instrument(command, { memoryMaxPages: 64 })
      } catch (error) {
        if (!(error instanceof CodedError) || !REFUSED.includes(String(error.facts.op ?? error.facts.what))) throw error
        counts.refused++
        return
      }
      check(command, random, `seed ${seed}, from function ${called.first}`)
    }
  }

  for (let from = 0; from < MODULES; from += BATCH)
    it(
      `${from} to ${from + BATCH - 1}`,
      () => {
        for (let seed = from; seed < from + BATCH; seed++) tryModule(seed)
      },
      TIMEOUT_MS,
    )

  it('were moved often, and seldom refused', () => {
    expect(counts.commands).toBeGreaterThan(MODULES * 1.5)
    expect(counts.hops).toBeGreaterThan(MODULES * 30)
    expect(counts.refused).toBeLessThan(MODULES / 10)
  })
})
