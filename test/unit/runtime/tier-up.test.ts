// A program that stays on its stack leaves it now and then and comes back, which changes nothing but its speed.
import { readFileSync } from 'node:fs'
import { afterEach, expect, it, vi } from 'vitest'
import { Suspendable } from '../../../cells/instrument/driver.ts'
import { instrument } from '../../../cells/instrument/instrument.ts'
import { Control } from '../../../cells/runtime/control.ts'
import { TIER_UP_AFTER_MS, TIER_UP_AGAIN_MS, TIER_UP_FACTOR } from '../../../cells/runtime/limits.ts'
import { Program, type ProgramOutcome } from '../../../cells/runtime/program.ts'
import { TierUp } from '../../../cells/runtime/tier-up.ts'
import { fromUtf8 } from '../../../core/bytes.ts'
import { type Clock, systemClock } from '../../../core/clock.ts'
import { seededRandom } from '../../../core/random.ts'

afterEach(() => vi.restoreAllMocks())

it('comes in pairs, further and further apart', () => {
  const tierUp = new TierUp(1000)
  const at = Array.from({ length: 4000 }, (_, ms) => ms).filter((ms) => tierUp.due(1000 + ms))
  const first = TIER_UP_AFTER_MS
  const second = first + TIER_UP_AGAIN_MS
  const third = second + TIER_UP_AFTER_MS * TIER_UP_FACTOR
  expect(at.slice(0, 4)).toEqual([first, second, third, third + TIER_UP_AGAIN_MS])
  expect(at.length).toBeLessThan(10)
})

/** Runs `queens 8`, with a clock that gains so much whenever it is read. */
function run(stepMs: number): { outcome: ProgramOutcome; output: string; program: Program } {
  const module = readFileSync(new URL('../../../cells/samples/wasm/queens.wasm', import.meta.url))
  const { bytes, moduleHash, layoutHash } = instrument(new Uint8Array(module), { memoryMaxPages: 64 })
  let now = 0
  const clock: Clock = { ...systemClock, mono: () => (now += stepMs) }
  const control = new Control()
  let output = ''
  const program = new Program({
    compiled: {
      module: new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>),
      moduleHash,
      layoutHash,
      build: 'movable',
      baselines: [],
    },
    start: {
      origin: { kind: 'launch', args: ['queens', '9', '3'], env: {}, files: [], stdin: new Uint8Array(0) },
      limits: { memoryBytes: 1 << 22, wallMs: 1e9, fuel: 1e9, outputBytes: 1 << 16, diskBytes: 1 << 16 },
      share: 1,
    },
    clock,
    random: seededRandom(1),
    port: {
      control,
      takeMail: () => undefined,
      work: () => undefined,
      resumed: () => undefined,
      over: () => undefined,
      send: (parts, bytes) => {
        output += parts.map((part) => fromUtf8(part.bytes)).join('')
        control.acknowledge(bytes)
      },
    },
  })
  return { outcome: program.run(), output, program }
}

it('returns to its stack, and gives what it gives without, for the same fuel', () => {
  const rewind = vi.spyOn(Suspendable.prototype, 'rewind')
  const still = run(0)
  expect(rewind).not.toHaveBeenCalled()
  const returning = run(10)
  expect(rewind.mock.calls.length).toBeGreaterThan(2)
  expect(returning.output).toBe(still.output)
  expect(still.output).toContain('9 queens: 352 ways')
  expect(returning.outcome).toMatchObject({ kind: 'ended', exit: { kind: 'exited', exitCode: 0 } })
  expect(returning.program.usage().fuel).toBe(still.program.usage().fuel)
})
