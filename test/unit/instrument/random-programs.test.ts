// Random programs run the same alone and in hops, whatever the polls at which they are moved.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { seededRandom } from '../../../core/random.ts'
import { randomProgram } from '../../support/random-program.ts'
import { runHopped, runPlain, runSwitched } from '../../support/suspension.ts'

/** `npm run test:long` tries many more. */
const LONG = process.env.CLOUDSKIN_LONG !== undefined
const TIMEOUT_MS = LONG ? 600_000 : 20_000

it.each([
  ['random programs', false],
  ['random programs with exceptions and tail calls', true],
])(
  '%s survive suspension at random polls, and go from one build to the other',
  (_, exceptions) => {
    let hops = 0
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x7fffffff }), fc.integer({ min: 0, max: 4 }), (seed, most) => {
        const random = seededRandom(seed)
        const bytes = randomProgram(random, exceptions)
        expect(WebAssembly.validate(bytes)).toBe(true)
        const plain = runPlain(bytes)
        const hopped = runHopped(bytes, { budget: () => random.int(most + 1), maxHops: 50 })
        expect(hopped.failure).toBe(plain.failure)
        expect(hopped.trace).toEqual(plain.trace)
        expect(Buffer.compare(hopped.memory, plain.memory)).toBe(0)
        const still = runHopped(bytes, { budget: () => 0, maxHops: 0 })
        expect(hopped.polls).toBe(still.polls)
        const budget = (): number => random.int(most + 1)
        const switched = runSwitched(bytes, { budget, tracks: (stop) => stop % 2 === 0, maxStops: 20 })
        expect(switched.failure).toBe(plain.failure)
        expect(switched.trace).toEqual(plain.trace)
        hops += hopped.hops
      }),
      { numRuns: LONG ? 1_000 : 30 },
    )
    expect(hops).toBeGreaterThan(300)
  },
  TIMEOUT_MS,
)
