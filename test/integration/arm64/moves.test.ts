// Programs that move between x86-64 and arm64 in mid-call, both ways: their results are those of a program left alone.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { instrument } from '../../../cells/instrument/instrument.ts'
import { ProcessCellEngine } from '../../../cells/runtime/engine.ts'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { sha256Hex } from '../../../core/bytes.ts'
import { seededRandom } from '../../../core/random.ts'
import { randomProgram } from '../../support/random-program.ts'
import { asm, type Code, f64, i32, i64, VOID, WasmBuilder } from '../../support/wasm-builder.ts'
import { fliteModule } from '../cells/support.ts'
import { runInHops, seededStops } from '../third-party/hops.ts'
import { flite } from '../third-party/programs.ts'
import { operations, picture, recording } from '../wasi/inputs.ts'
import { type Program, sample } from '../wasi/programs.ts'
import { ARM_NODE, available, builtCells, builtUrl, NEEDED, runsOnArm } from './engines.ts'

/** `npm run test:long` moves them more often, and does the longer jobs. */
const LONG = process.env.CLOUDSKIN_LONG !== undefined
const HOPS = LONG ? 40 : 4
const TIMEOUT_MS = LONG ? 3_600_000 : 300_000

const mixed = new Uint8Array(readFileSync(new URL('mixed/mixed.wasm', import.meta.url)))
const files = (path: string, bytes: Uint8Array) => ({ files: [{ path, bytes }] })

const PROGRAMS: Readonly<Record<string, Program>> = {
  'floats, vectors, deep recursion, files': { module: mixed, args: ['mixed', '30', '5000', '/out/lines'] },
  matmul: { module: sample('matmul'), args: ['matmul', '120', '8'] },
  spectrum: {
    module: sample('spectrum'),
    args: ['spectrum', '/in/tone.wav', '/tmp/tone.csv', '512'],
    ...files('/in/tone.wav', recording(4)),
  },
  edges: {
    module: sample('edges'),
    args: ['edges', '/in/picture.ppm', '/out/edges.pgm', '3'],
    ...files('/in/picture.ppm', picture(400, 300)),
  },
  kvstore: {
    module: sample('kvstore'),
    args: ['kvstore', '/in/log.txt', '/results.txt', '20'],
    ...files('/in/log.txt', operations(3_000)),
  },
  flite: flite(LONG ? 4 : 1),
}

describe.skipIf(!available)(`between x86-64 and arm64 (${NEEDED})`, () => {
  let here: ProcessCellEngine
  let arm: ProcessCellEngine

  let ArmEngine: Awaited<ReturnType<typeof builtCells>>['ArmEngine']

  beforeAll(async () => {
    ;({ ArmEngine } = await builtCells())
  }, TIMEOUT_MS)

  // For each program: qemu gives nothing back of what it takes for the code that it has translated.
  beforeEach(async () => {
    here = new ProcessCellEngine({ fuelShare: 0.2, hostIdleMs: TIMEOUT_MS })
    arm = new ArmEngine({ fuelShare: 0.2, hostIdleMs: TIMEOUT_MS })
    await here.start()
    await arm.start()
  }, TIMEOUT_MS)

  afterEach(async () => {
    await here?.stop()
    await arm?.stop()
  })

  it.each(Object.entries(PROGRAMS))(
    '%s',
    async (_name, program) => {
      const unmoved = await runInHops(program, { between: [here], stops: [] })
      expect(unmoved.outcome.exitCode).toBe(0)
      for (const between of [
        [here, arm],
        [arm, here],
      ]) {
        const stops = seededStops(between.indexOf(arm) + 1, unmoved.polls, HOPS)
        const moved = await runInHops(program, { between, stops })
        expect(moved.outcome).toEqual(unmoved.outcome)
        // The counter is seen from outside once in a while: a short program may end before its last stop.
        expect(moved.hops).toBeGreaterThanOrEqual(HOPS / 2)
        expect(new Set(moved.hosts).size).toBe(2)
        expect(runsOnArm(arm)).toBe(true)
        expect(runsOnArm(here)).toBe(false)
      }
    },
    TIMEOUT_MS,
  )

  it(
    'floats in all their bits, where NaNs are canonical',
    async () => {
      const module = floatsInBits(LONG ? 20_000_000 : 2_000_000)
      const alone = async (on: ProcessCellEngine, program: Program) => runInHops(program, { between: [on], stops: [] })
      const native: Program = { module, args: ['bits'] }
      // Else this would show nothing.
      expect((await alone(here, native)).outcome).not.toEqual((await alone(arm, native)).outcome)
      const canonical: Program = { ...native, nan: 'canonical' }
      const unmoved = await alone(here, canonical)
      expect(unmoved.outcome).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^[a-p]{16}$/) })
      expect((await alone(arm, canonical)).outcome).toEqual(unmoved.outcome)
      const moved = await runInHops(canonical, { between: [arm, here], stops: seededStops(1, unmoved.polls, HOPS) })
      expect(moved.outcome).toEqual(unmoved.outcome)
      expect(moved.hops).toBeGreaterThanOrEqual(HOPS / 2)
    },
    TIMEOUT_MS,
  )

  it(
    'modules are instrumented to the same bytes',
    () => {
      const modules = [...['edges', 'kvstore', 'queens', 'fault'].map(sample), mixed, ...(LONG ? [fliteModule()] : [])]
      for (let seed = 1; seed <= (LONG ? 200 : 20); seed++) modules.push(randomProgram(seededRandom(seed)))
      const summary = modules.map((module) => {
        const { bytes, layoutHash } = instrument(module, { memoryMaxPages: 64 * 1024 })
        return [sha256Hex(bytes), layoutHash]
      })
      const input = JSON.stringify(modules.map((module) => Buffer.from(module).toString('base64')))
      const printed = execFileSync(ARM_NODE, ['--input-type=module', '-e', ON_ARM], { input, maxBuffer: 1 << 26 })
      expect(JSON.parse(printed.toString())).toEqual(['arm64', ...summary])
    },
    TIMEOUT_MS,
  )
})

/** Writes a hash over the bits of so many results, of which many are NaNs. */
function floatsInBits(turns: number): Uint8Array {
  const b = new WasmBuilder()
  const write = b.import('fd_write', [i32, i32, i32, i32], [i32])
  const [count, state, hash, value] = [0, 1, 2, 3]
  const mixed = (bits: Code): Code => [...asm.get(hash), ...asm.i64(5), 0x89, ...bits, 0x85, ...asm.set(hash)]
  const turn: Code = [
    ...asm.get(state),
    ...asm.i64(25214903917),
    0x7e,
    ...asm.i64(11),
    0x7c,
    ...asm.tee(state),
    // The root of any bits, less some others, by a third: as a double, and as a float.
    ...[0xbf, 0x9f, ...asm.get(state), ...asm.i64(17), 0x89, 0xbf, 0xa1, ...asm.get(state), ...asm.i64(31), 0x89, 0xbf],
    ...[0xa3, ...asm.set(value)],
    ...mixed([...asm.get(value), 0xbd]),
    ...mixed([...asm.get(value), 0xb6, 0xbc, 0xad]),
    ...asm.get(count),
    ...asm.i32(1),
    ...[0x6b, ...asm.tee(count), ...asm.brIf(0)],
  ]
  const digits = Array.from(
    { length: 16 },
    (_, k): Code => [
      ...asm.i32(k),
      ...[...asm.get(hash), ...asm.i64(4 * k), 0x88, 0xa7, ...asm.i32(15), 0x71, ...asm.i32(97), 0x6a],
      ...[0x3a, 0, 0],
    ],
  )
  const store = (at: number, word: number): Code => [...asm.i32(at), ...asm.i32(word), 0x36, 0, 0]
  const output = [...store(64, 0), ...store(68, 16), ...asm.i32(1), ...asm.i32(64), ...asm.i32(1), ...asm.i32(72)]
  b.func({
    export: '_start',
    locals: [i32, i64, i64, f64],
    code: [
      ...asm.i32(turns),
      ...asm.set(count),
      ...asm.loop(VOID, turn),
      ...digits.flat(),
      ...output,
      ...asm.call(write),
      OP.drop,
    ],
  })
  return b.build()
}

const ON_ARM = `
import { readFileSync } from 'node:fs'
import { instrument } from '${builtUrl('cells/instrument/instrument')}'
import { sha256Hex } from '${builtUrl('core/bytes')}'
const modules = JSON.parse(readFileSync(0, 'utf8')).map((text) => new Uint8Array(Buffer.from(text, 'base64')))
const summary = modules.map((module) => {
  const { bytes, layoutHash } = instrument(module, { memoryMaxPages: 64 * 1024 })
  return [sha256Hex(bytes), layoutHash]
})
console.log(JSON.stringify([process.arch, ...summary]))
`
