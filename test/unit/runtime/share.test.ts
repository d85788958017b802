// A program sleeps to stay within its share of a processor, but not when it is about to be stopped: its stop would begin there.
import { readFileSync } from 'node:fs'
import { afterEach, expect, it, vi } from 'vitest'
import { instrument } from '../../../cells/instrument/instrument.ts'
import { Control } from '../../../cells/runtime/control.ts'
import { Program } from '../../../cells/runtime/program.ts'
import { systemClock } from '../../../core/clock.ts'
import { seededRandom } from '../../../core/random.ts'

afterEach(() => vi.restoreAllMocks())

/** Runs `queens 8` on a hundredth of a processor; `onNap` is told of each nap before it begins. */
function naps(prepare: (program: Program) => void, onNap: (program: Program) => void = () => undefined): number {
  const module = readFileSync(new URL('../../../cells/samples/wasm/queens.wasm', import.meta.url))
  const { bytes, moduleHash, layoutHash } = instrument(new Uint8Array(module), { memoryMaxPages: 64 })
  const control = new Control()
  // A millisecond passes whenever somebody looks at the clock, and as much as he wants for who sleeps.
  let now = 0
  const slept = vi.spyOn(control, 'waitForRing').mockImplementation((_rings, ms) => {
    now += ms
  })
  const program: Program = new Program({
    compiled: {
      module: new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>),
      moduleHash,
      layoutHash,
      build: 'movable',
      baselines: [],
    },
    start: {
      origin: { kind: 'launch', args: ['queens', '8', '1'], env: {}, files: [], stdin: new Uint8Array(0) },
      limits: { memoryBytes: 1 << 22, wallMs: 1e9, fuel: 1e9, outputBytes: 1 << 16, diskBytes: 1 << 16 },
      share: 0.01,
    },
    clock: { ...systemClock, mono: () => ++now },
    random: seededRandom(1),
    port: {
      control,
      takeMail: () => undefined,
      work: (isIdle) => {
        if (isIdle) onNap(program)
      },
      resumed: () => undefined,
      over: () => undefined,
      send: (_parts, bytes) => control.acknowledge(bytes),
    },
  })
  prepare(program)
  expect(program.run()).toMatchObject({ kind: 'ended', exit: { kind: 'exited', exitCode: 0 } })
  return slept.mock.calls.length
}

it('sleeps again and again', () => {
  expect(naps(() => undefined)).toBeGreaterThan(2)
})

it('does not sleep when its stop nears', () => {
  expect(naps((program) => (program.stopNears = true))).toBe(0)
})

it('is woken by the news', () => {
  expect(
    naps(
      () => undefined,
      (program) => (program.stopNears = true),
    ),
  ).toBe(0)
})
