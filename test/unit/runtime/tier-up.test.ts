// A program that stays on its stack leaves it now and then and comes back, which changes nothing but its speed.
import { afterEach, expect, it, vi } from 'vitest'
import { Suspendable } from '../../../cells/instrument/driver.ts'
import { Control } from '../../../cells/runtime/control.ts'
import { TIER_UP_AFTER_MS, TIER_UP_AGAIN_MS, TIER_UP_FACTOR } from '../../../cells/runtime/limits.ts'
import type { OutputPart } from '../../../cells/runtime/output-batch.ts'
import type { Program, ProgramOutcome } from '../../../cells/runtime/program.ts'
import { TierUp } from '../../../cells/runtime/tier-up.ts'
import { fromUtf8 } from '../../../core/bytes.ts'
import { type Clock, systemClock } from '../../../core/clock.ts'
import { queens } from './queens.ts'

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

/** Runs `queens 9`, with a clock that gains so much whenever it is read. */
function run(stepMs: number): { outcome: ProgramOutcome; output: string; program: Program } {
  let now = 0
  const clock: Clock = { ...systemClock, mono: () => (now += stepMs) }
  const control = new Control()
  let output = ''
  const send = (parts: readonly OutputPart[], bytes: number): void => {
    output += parts.map((part) => fromUtf8(part.bytes)).join('')
    control.acknowledge(bytes)
  }
  const program = queens({ args: ['9', '3'], share: 1, clock, control, port: { send } })
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
