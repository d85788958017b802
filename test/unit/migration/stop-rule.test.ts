// When a live copy has had its last round.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { STOP_RULE } from '../../../protocols/migration/protocol.ts'
import { isTimeToStop, type Round } from '../../../protocols/migration/stop-rule.ts'

const MIB = 1 << 20
const RULE = { ...STOP_RULE, maxBytes: 1 << 30 }
const round = (bytes: number, dirtyBytes: number): Round => ({ bytes, dirtyBytes })

describe('the stop rule', () => {
  it.each<[string, Round[], number, boolean]>([
    ['nothing is copied yet', [], 0, false],
    ['nothing is copied yet, and it took ever so long', [], 1e9, false],
    ['little is left', [round(256 * MIB, 300_000)], 1000, true],
    ['much is left, and it gets less', [round(256 * MIB, 64 * MIB), round(64 * MIB, 8 * MIB)], 1000, false],
    ['the program writes as fast as it is copied', [round(64 * MIB, 8 * MIB), round(8 * MIB, 8 * MIB)], 1000, true],
    ['a first round was compressed to less than it leaves', [round(1 * MIB, 8 * MIB)], 1000, false],
    ['the time is up', [round(64 * MIB, 8 * MIB)], RULE.budgetMs, true],
    ['another round would be more than is taken in', [round(512 * MIB, 300 * MIB)], 1000, true],
  ])('when %s', (_name, rounds, elapsedMs, stops) => {
    expect(isTimeToStop(rounds, elapsedMs, RULE)).toBe(stops)
  })

  const bytes = fc.integer({ min: 0, max: 1 << 29 })

  it('ends every copy within its rounds and its bytes, whatever the program writes', () => {
    fc.assert(
      fc.property(fc.array(bytes, { minLength: 20, maxLength: 20 }), bytes, (dirty, first) => {
        const rounds: Round[] = []
        let left = first
        for (const dirtyBytes of dirty) {
          if (isTimeToStop(rounds, 0, RULE)) break
          rounds.push(round(left, Math.min(dirtyBytes, 1 << 28)))
          left = rounds.at(-1)?.dirtyBytes ?? 0
        }
        expect(rounds.length).toBeGreaterThan(0)
        expect(rounds.length).toBeLessThanOrEqual(RULE.maxRounds)
        // The stop may find twice as much as was known.
        const moved = rounds.reduce((sum, one) => sum + one.bytes, 0)
        if (rounds.length > 1) expect(moved).toBeLessThanOrEqual(RULE.maxBytes)
      }),
    )
  })

  it('stops at less where it stops at more, and later where it stops early, as far as less is not progress', () => {
    const rounds = fc.array(fc.record({ bytes, dirtyBytes: bytes }), { minLength: 1, maxLength: 10 })
    fc.assert(
      fc.property(rounds, fc.nat(100_000), fc.nat(100_000), (some, elapsedMs, laterMs) => {
        const stops = isTimeToStop(some, elapsedMs, RULE)
        if (stops) expect(isTimeToStop(some, elapsedMs + laterMs, RULE)).toBe(true)
        const small = [...some.slice(0, -1), round(some.at(-1)?.bytes ?? 0, RULE.smallBytes)]
        expect(isTimeToStop(small, elapsedMs, RULE)).toBe(true)
      }),
    )
  })
})
