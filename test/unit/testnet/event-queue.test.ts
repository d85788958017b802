// The simulator's events against a list that is searched each time.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { seededRandom } from '../../../core/random.ts'
import { EventQueue } from '../../../testnet/simulator/event-queue.ts'

const ORDERS = 600

it('gives events in the order of their times, then of their making, and none that was cancelled', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 0, max: 9 }), (seed, takes) => {
      const random = seededRandom(seed)
      const queue = new EventQueue()
      const fired: number[] = []
      const cancels: (() => void)[] = []
      let waiting: { readonly at: number; readonly id: number }[] = []
      const checkNext = (): void => {
        const [next] = [...waiting].sort((a, b) => a.at - b.at || a.id - b.id)
        expect(queue.nextAt).toBe(next?.at)
        const taken = queue.take()
        expect(taken?.at).toBe(next?.at)
        taken?.fire()
        if (next !== undefined) expect(fired.at(-1)).toBe(next.id)
        waiting = waiting.filter((event) => event !== next)
      }
      for (let k = 0; k < ORDERS; k++) {
        const what = random.int(20)
        if (what < takes) checkNext()
        else if (what < (k < ORDERS / 2 ? 18 : 11)) {
          const [at, id] = [random.int(50), cancels.length]
          cancels.push(queue.add(at, () => fired.push(id)))
          waiting.push({ at, id })
        } else {
          // Also those that fired, or were cancelled before.
          const id = random.int(Math.max(1, cancels.length))
          cancels[id]?.()
          waiting = waiting.filter((event) => event.id !== id)
        }
      }
      while (waiting.length > 0) checkNext()
      checkNext()
    }),
    { numRuns: 60 },
  )
})

it('clears away what was cancelled when that is most of it', () => {
  const random = seededRandom(5)
  const queue = new EventQueue()
  const times = Array.from({ length: 400_000 }, () => random.int(100))
  const cancels = times.map((at) => queue.add(at, () => undefined))
  for (const cancel of cancels.slice(0, 220_000)) cancel()
  for (const at of times.slice(220_000).sort((a, b) => a - b))
    if (queue.take()?.at !== at) throw new Error(`not the one due at ${at}`)
  expect(queue.take()).toBeUndefined()
})
