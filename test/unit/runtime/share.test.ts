// A program sleeps to stay within its share of a processor, but not when it is about to be stopped: its stop would begin there.
import { afterEach, expect, it, vi } from 'vitest'
import { Control } from '../../../cells/runtime/control.ts'
import type { Program } from '../../../cells/runtime/program.ts'
import { systemClock } from '../../../core/clock.ts'
import { queens } from './queens.ts'

afterEach(() => vi.restoreAllMocks())

/** Runs `queens 8` on a hundredth of a processor; `onNap` is told of each nap before it begins. */
function naps(prepare: (program: Program) => void, onNap: (program: Program) => void = () => undefined): number {
  const control = new Control()
  // A millisecond passes whenever somebody looks at the clock, and as much as he wants for who sleeps.
  let now = 0
  const slept = vi.spyOn(control, 'waitForRing').mockImplementation((_rings, ms) => {
    now += ms
  })
  const clock = { ...systemClock, mono: () => ++now }
  const work = (isIdle: boolean): void => {
    if (isIdle) onNap(program)
  }
  const program = queens({ args: ['8', '1'], share: 0.01, clock, control, port: { work } })
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
