import fc from 'fast-check'
import { expect, test } from 'vitest'
import { seededRandom } from '../../../core/random.ts'
import { step } from '../../../protocols/state/detector.ts'
import {
  type DetectorEffect,
  type DetectorEvent,
  type DetectorState,
  newDetector,
} from '../../../protocols/state/detector-types.ts'
import { FAILED_KEPT_MS, LEFT_KEPT_MS, TICK_MS } from '../../../protocols/state/protocol.ts'
import type { MemberStatus } from '../../../protocols/state/types.ts'

/** A detector of peer `me` among `others`, and a clock. */
class Bench {
  state: DetectorState
  now = 0
  readonly random = seededRandom(1)
  readonly stamp = { incarnation: 1, version: 1 }

  constructor(others: readonly string[]) {
    this.state = newDetector('me', 0)
    for (const peer of ['me', ...others]) this.feed({ kind: 'record', peer, stamp: this.stamp, left: false })
    for (const peer of others) this.feed({ kind: 'connection', peer, up: true })
  }

  feed(event: DetectorEvent): readonly DetectorEffect[] {
    const result = step(this.state, event, this.now, this.random)
    this.state = result.state
    return result.effects
  }

  /** Ticks for `ms`, answering probes as `answer` says. */
  run(ms: number, answer: (peer: string) => 'alive' | 'dead' | 'never' = () => 'alive'): DetectorEffect[] {
    const all: DetectorEffect[] = []
    for (const end = this.now + ms; this.now < end; ) {
      this.now += TICK_MS
      const effects = this.feed({ kind: 'tick' })
      all.push(...effects)
      for (const effect of effects) {
        if (effect.kind !== 'probe') continue
        const outcome = answer(effect.peer)
        if (outcome !== 'never')
          all.push(...this.feed({ kind: 'probed', peer: effect.peer, outcome, silentHelpers: 0 }))
      }
    }
    return all
  }

  suspect(peer: string, confirmers: readonly string[] = []): readonly DetectorEffect[] {
    return this.feed({ kind: 'claim', about: peer, stamp: this.stamp, status: 'suspect', confirmers })
  }

  status(peer: string): MemberStatus | undefined {
    return this.state.members.get(peer)?.status
  }
}

const others = Array.from({ length: 9 }, (_, i) => `p${i}`)

test('every neighbour is probed within one turn of the rotation, and stays alive while it answers', () => {
  const bench = new Bench(others)
  const probed = new Set(bench.run(10_000).flatMap((effect) => (effect.kind === 'probe' ? [effect.peer] : [])))
  expect([...probed].sort()).toEqual(others)
  expect(others.map((peer) => bench.status(peer))).toEqual(others.map(() => 'alive'))
})

test('a lost connection is a reason to probe, not to suspect', () => {
  const bench = new Bench(others)
  const effects = bench.feed({ kind: 'connection', peer: 'p3', up: false })
  expect(effects).toEqual([expect.objectContaining({ kind: 'probe', peer: 'p3' })])
  expect(bench.status('p3')).toBe('alive')
  const [probe] = effects
  expect(probe?.kind === 'probe' && probe.helpers.length).toBe(3)
  expect(probe?.kind === 'probe' && probe.helpers).not.toContain('p3')
})

test('a silent peer is suspected, then failed: after 3 s with two confirmations, after 12 s with none', () => {
  for (const [confirmers, ms] of [
    [['p1', 'p2'], 3_000],
    [[], 12_000],
  ] as const) {
    const bench = new Bench(others)
    bench.feed({ kind: 'probed', peer: 'p3', outcome: 'dead', silentHelpers: 0 })
    bench.suspect('p3', confirmers)
    const silent = (peer: string): 'alive' | 'dead' => (peer === 'p3' ? 'dead' : 'alive')
    bench.run(ms - 2 * TICK_MS, silent)
    expect(bench.status('p3')).toBe('suspect')
    bench.run(3 * TICK_MS, silent)
    expect(bench.status('p3')).toBe('failed')
  }
})

test('one peer repeating itself is one confirmation', () => {
  const bench = new Bench(others)
  bench.feed({ kind: 'probed', peer: 'p3', outcome: 'dead', silentHelpers: 0 })
  for (let i = 0; i < 9; i++) bench.suspect('p3', ['p1'])
  bench.run(4_000, (peer) => (peer === 'p3' ? 'dead' : 'alive'))
  expect(bench.status('p3')).toBe('suspect')
})

test('a newer version refutes, an equal one does not', () => {
  const bench = new Bench(others)
  bench.feed({ kind: 'probed', peer: 'p3', outcome: 'dead', silentHelpers: 0 })
  bench.feed({ kind: 'record', peer: 'p3', stamp: bench.stamp, left: false })
  expect(bench.status('p3')).toBe('suspect')
  const effects = bench.feed({ kind: 'record', peer: 'p3', stamp: { incarnation: 1, version: 2 }, left: false })
  expect(bench.status('p3')).toBe('alive')
  // It may have been its last: look again.
  expect(effects).toContainEqual(expect.objectContaining({ kind: 'probe', peer: 'p3' }))
  bench.suspect('p3', ['p1'])
  expect(bench.status('p3')).toBe('alive')
})

test('a doubted peer refutes once per version, and only what it really said', () => {
  const bench = new Bench(others)
  const refutes = (effects: readonly DetectorEffect[]): number => effects.filter(({ kind }) => kind === 'refute').length
  const forged = { kind: 'claim', about: 'me', status: 'failed', confirmers: [] } as const
  expect(refutes(bench.feed({ ...forged, stamp: { incarnation: 2 ** 52, version: 1 } }))).toBe(0)
  expect(refutes(bench.suspect('me', ['p1']))).toBe(1)
  expect(refutes(bench.suspect('me', ['p2']))).toBe(0)
  expect(bench.state.health).toBe(1)
})

test('fresh first-hand evidence outweighs hearsay, and the doubted neighbour is told', () => {
  const bench = new Bench(others)
  bench.now = 10_000
  bench.feed({ kind: 'heard', peer: 'p3' })
  const effects = bench.suspect('p3', ['p1'])
  expect(bench.status('p3')).toBe('alive')
  expect(effects).toEqual([expect.objectContaining({ kind: 'probe', peer: 'p3', suspected: bench.stamp })])
})

test('a failure that others saw is taken over once our own probe failed', () => {
  const bench = new Bench(others)
  const failed = { kind: 'claim', about: 'p3', stamp: bench.stamp, status: 'failed', confirmers: ['p1'] } as const
  bench.feed(failed)
  expect(bench.status('p3')).toBe('suspect')
  bench.feed(failed)
  expect(bench.status('p3')).toBe('suspect')
  bench.feed({ kind: 'probed', peer: 'p3', outcome: 'dead', silentHelpers: 0 })
  bench.feed(failed)
  expect(bench.status('p3')).toBe('failed')
})

test('a stall of our own gives suspects the time back and lowers our health', () => {
  const bench = new Bench(['p1', 'p2'])
  bench.feed({ kind: 'probed', peer: 'p1', outcome: 'dead', silentHelpers: 0 })
  bench.run(1_000, () => 'never')
  bench.now += 20_000
  bench.feed({ kind: 'tick' })
  expect(bench.status('p1')).toBe('suspect')
  expect(bench.state.health).toBe(1)
  bench.feed({ kind: 'probed', peer: 'p2', outcome: 'inconclusive', silentHelpers: 0 })
  expect(bench.status('p2')).toBe('alive')
  expect(bench.state.health).toBe(2)
  expect(bench.feed({ kind: 'doubt', peer: 'p2' })).toEqual([
    expect.objectContaining({ kind: 'probe', timeoutMs: 3_000 }),
  ])
})

test('who left is not probed, nor failed, and is forgotten after an hour; who failed after a day', () => {
  const bench = new Bench(others)
  bench.feed({ kind: 'record', peer: 'p1', stamp: { incarnation: 1, version: 2 }, left: true })
  expect(bench.status('p1')).toBe('left')
  expect(bench.feed({ kind: 'connection', peer: 'p1', up: false })).toEqual([])
  bench.suspect('p1', ['p2'])
  bench.feed({ kind: 'probed', peer: 'p2', outcome: 'dead', silentHelpers: 0 })
  bench.suspect('p2', ['p3', 'p4'])
  bench.run(4_000, (peer) => (peer === 'p2' ? 'dead' : 'alive'))
  expect([bench.status('p1'), bench.status('p2')]).toEqual(['left', 'failed'])
  bench.now += LEFT_KEPT_MS
  expect(bench.feed({ kind: 'tick' })).toContainEqual({ kind: 'forget', peer: 'p1' })
  expect(bench.status('p2')).toBe('failed')
  bench.now += FAILED_KEPT_MS
  expect(bench.feed({ kind: 'tick' })).toContainEqual({ kind: 'forget', peer: 'p2' })
  expect([bench.status('p1'), bench.status('p2')]).toEqual([undefined, undefined])
})

test('a failed peer is tried again now and then, and comes back by answering', () => {
  const bench = new Bench(['p1', 'p2'])
  bench.feed({ kind: 'probed', peer: 'p1', outcome: 'dead', silentHelpers: 0 })
  bench.run(5_000, (peer) => (peer === 'p1' ? 'dead' : 'alive'))
  expect(bench.status('p1')).toBe('failed')
  const effects = bench.run(31_000)
  expect(effects).toContainEqual({ kind: 'exchange', peer: 'p1' })
  expect(bench.status('p1')).toBe('alive')
})

const events = fc.array(
  fc.tuple(
    fc.nat(500),
    fc.oneof(
      fc.constant<DetectorEvent>({ kind: 'tick' }),
      fc.constantFrom<DetectorEvent>(
        { kind: 'heard', peer: 'p1' },
        { kind: 'doubt', peer: 'p1' },
        { kind: 'connection', peer: 'p1', up: false },
        { kind: 'connection', peer: 'p1', up: true },
        { kind: 'probed', peer: 'p1', outcome: 'dead', silentHelpers: 3 },
        { kind: 'probed', peer: 'p1', outcome: 'alive', silentHelpers: 0 },
        { kind: 'probed', peer: 'p1', outcome: 'inconclusive', silentHelpers: 0 },
        {
          kind: 'claim',
          about: 'p1',
          stamp: { incarnation: 1, version: 1 },
          status: 'failed',
          confirmers: ['p2', 'p3'],
        },
        { kind: 'claim', about: 'p9', stamp: { incarnation: 1, version: 1 }, status: 'failed', confirmers: [] },
      ),
    ),
  ),
  { maxLength: 60 },
)

test('whatever happens: a newer record revives, suspicion goes with suspects, health is bounded, probes are single', () => {
  fc.assert(
    fc.property(events, (list) => {
      const bench = new Bench(others)
      let inFlight = bench.state.members.get('p1')?.probing === true
      for (const [ms, event] of list) {
        bench.now += ms
        if (event.kind === 'probed') inFlight = false
        for (const effect of bench.feed(event)) {
          if (effect.kind !== 'probe' || effect.peer !== 'p1') continue
          expect(inFlight).toBe(false)
          inFlight = true
        }
        for (const member of bench.state.members.values())
          expect(member.suspicion !== undefined).toBe(member.status === 'suspect')
        expect(bench.state.health).toBeGreaterThanOrEqual(0)
        expect(bench.state.health).toBeLessThanOrEqual(7)
        expect(bench.state.members.has('p9' as string)).toBe(false)
      }
      bench.feed({ kind: 'record', peer: 'p1', stamp: { incarnation: 1, version: 2 }, left: false })
      expect(bench.status('p1')).toBe('alive')
    }),
    { numRuns: 200 },
  )
})
