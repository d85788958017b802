import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../../core/random.ts'
import { average, updateOf } from '../../../protocols/federated/average.ts'
import { openRound, step } from '../../../protocols/federated/round.ts'
import { keyOf } from '../../../protocols/federated/round-key.ts'
import type { RoundEvent, RoundState } from '../../../protocols/federated/round-types.ts'
import { configOf, PARENT_WEIGHTS, ROUND_MS, RoundSimulation, TASK } from '../../support/round-simulation.ts'

const NAMES = ['ann', 'bob', 'cat', 'dan', 'eve', 'fay']
const seed = fc.integer({ min: 0, max: 2 ** 31 })

/** What holds whatever happens: everybody ends in time, and what was adopted is the mean of what it says it is. */
function checkInvariants(simulation: RoundSimulation): void {
  for (const { outcome, endedAt, weights, state } of simulation.survivors) {
    expect(outcome).toBeDefined()
    expect(endedAt).toBeLessThanOrEqual(ROUND_MS)
    expect(state.phase).toBe('ended')
    if (outcome?.kind === 'aborted') {
      expect(outcome.code).toBeDefined()
      continue
    }
    const contributors = outcome?.lineage?.contributors ?? []
    expect(contributors.length).toBeGreaterThanOrEqual(TASK.quorum)
    const updates = new Map(contributors.map((peer) => [peer, simulation.updateOf(peer)]))
    expect(weights).toEqual(average(TASK, PARENT_WEIGHTS, updates))
  }
}

const versions = (simulation: RoundSimulation): Set<string> =>
  new Set(simulation.survivors.flatMap(({ outcome }) => outcome?.lineage?.version ?? []))

describe('a round', () => {
  it('without faults commits one version with everybody in it, whatever order messages come in', () => {
    void fc.assert(
      fc.property(seed, fc.integer({ min: 2, max: 6 }), fc.integer({ min: 1, max: 400 }), (n, size, maxDelayMs) => {
        const random = seededRandom(n)
        const peers = NAMES.slice(0, size)
        const simulation = new RoundSimulation({ random, peers, maxDelayMs, duplicates: 0.3 })
        simulation.run()
        checkInvariants(simulation)
        for (const { outcome } of simulation.survivors)
          expect(outcome).toMatchObject({ kind: 'committed', lineage: { contributors: peers } })
        expect(versions(simulation).size).toBe(1)
      }),
      { numRuns: 60 },
    )
  })

  it('in which one peer dies at any step still commits, in one version, with those who live', () => {
    for (let at = 1; at <= 6; at++)
      for (let n = 0; n < 40; n++) {
        const deaths = new Map([['bob', at]])
        const silentDeaths = n % 2 === 1
        const init = { random: seededRandom(n), peers: NAMES.slice(0, 4), maxDelayMs: 50, duplicates: 0.2 }
        const simulation = new RoundSimulation({ ...init, deaths, silentDeaths })
        simulation.run()
        checkInvariants(simulation)
        for (const { outcome } of simulation.survivors) expect(outcome?.kind).toBe('committed')
        expect(versions(simulation).size).toBe(1)
        for (const { outcome } of simulation.survivors)
          expect(outcome?.lineage?.contributors).toEqual(expect.arrayContaining(['ann', 'cat', 'dan']))
      }
  })

  it('ends in commit or abort by its deadline for every survivor, whoever dies at whatever steps', () => {
    void fc.assert(
      fc.property(
        seed,
        fc.integer({ min: 2, max: 6 }),
        fc.array(fc.tuple(fc.constantFrom(...NAMES), fc.integer({ min: 1, max: 8 })), { maxLength: 5 }),
        fc.boolean(),
        // Beyond 1 s messages miss the deadlines of the steps they belong to.
        fc.integer({ min: 1, max: 2_000 }),
        (n, size, deaths, silentDeaths, maxDelayMs) => {
          const peers = NAMES.slice(0, size)
          const init = { random: seededRandom(n), peers, maxDelayMs, duplicates: 0.3 }
          const simulation = new RoundSimulation({ ...init, deaths: new Map(deaths), silentDeaths })
          simulation.run()
          checkInvariants(simulation)
        },
      ),
      { numRuns: 200 },
    )
  })

  it('finds together when some are in a later attempt than others', () => {
    for (let n = 0; n < 20; n++) {
      const views = new Map([
        ['ann', 2],
        ['cat', 5],
      ])
      const simulation = new RoundSimulation({
        random: seededRandom(n),
        peers: NAMES.slice(0, 4),
        views,
        maxDelayMs: 30,
      })
      simulation.run()
      checkInvariants(simulation)
      expect(versions(simulation).size).toBe(1)
      for (const { outcome, state } of simulation.survivors) {
        expect(outcome?.lineage?.contributors.length).toBe(4)
        expect(state.view).toBe(5)
      }
    }
  })

  it('of more members than a group may have runs with the same sixteen everywhere; the rest keep their version', () => {
    const peers = Array.from({ length: 20 }, (_, k) => `peer-${k}`)
    const simulation = new RoundSimulation({ random: seededRandom(1), peers, maxDelayMs: 20 })
    simulation.run()
    const committed = simulation.survivors.filter(({ outcome }) => outcome?.kind === 'committed')
    expect(committed.length).toBe(TASK.maxGroup)
    expect(versions(simulation).size).toBe(1)
    const others = simulation.survivors.filter(({ outcome }) => outcome?.kind === 'aborted')
    expect(others.every(({ outcome }) => outcome?.code === 'ROUND_FULL')).toBe(true)
  })

  it('commits where two peers reach each other only by way of a third', () => {
    for (let n = 0; n < 40; n++) {
      const size = 3 + (n % 4)
      const peers = NAMES.slice(0, size)
      // Cat reaches everybody, and nobody else anybody but cat.
      const leaves = peers.filter((peer) => peer !== 'cat')
      const cuts = new Set(leaves.flatMap((a) => leaves.map((b) => [a, b].sort().join('|'))))
      const simulation = new RoundSimulation({ random: seededRandom(n), peers, maxDelayMs: 50, duplicates: 0.2, cuts })
      simulation.run()
      checkInvariants(simulation)
      expect(versions(simulation).size).toBe(1)
      const committed = simulation.survivors.filter(({ outcome }) => outcome?.kind === 'committed')
      expect(committed.length).toBe(2)
      expect(simulation.peers.get('cat')?.outcome?.kind).toBe('committed')
    }
  })

  it('ends in time, with the mean of what it says, whatever links are missing and whoever dies', () => {
    const pair = fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(...NAMES)).map((two) => two.sort().join('|'))
    const death = fc.tuple(fc.constantFrom(...NAMES), fc.integer({ min: 1, max: 8 }))
    void fc.assert(
      fc.property(seed, fc.array(pair, { maxLength: 8 }), fc.array(death, { maxLength: 2 }), (n, cuts, deaths) => {
        const init = { random: seededRandom(n), peers: NAMES, maxDelayMs: 100, duplicates: 0.2, silentDeaths: true }
        const simulation = new RoundSimulation({ ...init, cuts: new Set(cuts), deaths: new Map(deaths) })
        simulation.run()
        checkInvariants(simulation)
      }),
      { numRuns: 150 },
    )
  })

  it('of one member aborts at once', () => {
    const { state, effects } = openRound(configOf('ann'), { view: 0, members: ['ann'] }, 0)
    expect(state.outcome).toMatchObject({ kind: 'aborted', code: 'ROUND_TOO_FEW' })
    expect(effects.at(-1)).toMatchObject({ kind: 'end' })
  })
})

/** Ann in a group with bob and cat, in the exchange. */
function exchanging(): RoundState {
  const { state } = openRound(configOf('ann'), { view: 3, members: ['bob', 'cat'] }, 0)
  const bob = step(state, { kind: 'answered', peer: 'bob', joined: true, view: 3 }, 1)
  return step(bob.state, { kind: 'answered', peer: 'cat', joined: true, view: 3 }, 2).state
}

it('a group that is cut to its size forgets early updates of those it leaves out', () => {
  const members = Array.from({ length: 20 }, (_, k) => `peer-${k}`)
  const answers = members.map((peer): RoundEvent => ({ kind: 'answered', peer, joined: true, view: 0 }))
  const opened = openRound(configOf('ann'), { view: 0, members }, 0).state
  const early = updateOf(new Float32Array(6), 1)
  const updates = members.map((peer): RoundEvent => ({ kind: 'update', peer, key: keyOf(opened), update: early }))
  const events = [...answers.slice(0, -1), ...updates.slice(0, -1), ...answers.slice(-1)]
  const { phase, group, updates: kept } = events.reduce((state, event) => step(state, event, 1).state, opened)
  expect(phase).toBe('exchange')
  expect([...kept.keys()].filter((peer) => !group.has(peer))).toEqual([])
})

describe('a bad message is refused with a code and changes nothing', () => {
  const good = updateOf(new Float32Array(6).fill(0.5), 10)
  const key = keyOf(exchanging())
  const update = (change: object): RoundEvent =>
    ({ kind: 'update', peer: 'bob', key, update: good, ...change }) as RoundEvent
  const cases: readonly (readonly [string, string, RoundEvent])[] = [
    ['another task', 'ROUND_OTHER_TASK', update({ key: { ...key, task: 'other' } })],
    ['another parent', 'ROUND_OTHER_PARENT', update({ key: { ...key, parent: 'other' } })],
    ['another round', 'ROUND_OTHER_PARENT', update({ key: { ...key, round: 9 } })],
    ['an earlier attempt', 'ROUND_STALE', update({ key: { ...key, view: 2 } })],
    ['a later attempt', 'ROUND_STALE', update({ key: { ...key, view: 4 } })],
    ['our own name', 'ROUND_NONE', update({ peer: 'ann' })],
    ['too few numbers', 'UPDATE_WRONG_SHAPE', update({ update: updateOf(new Float32Array(5), 1) })],
    ['too many numbers', 'UPDATE_WRONG_SHAPE', update({ update: updateOf(new Float32Array(7), 1) })],
    ['NaN', 'UPDATE_NOT_FINITE', update({ update: updateOf(new Float32Array(6).fill(Number.NaN), 1) })],
    ['infinity', 'UPDATE_NOT_FINITE', update({ update: updateOf(new Float32Array(6).fill(-Infinity), 1) })],
    ['a huge number', 'UPDATE_NOT_FINITE', update({ update: updateOf(new Float32Array(6).fill(1e30), 1) })],
    ['a weight of 0', 'UPDATE_NOT_FINITE', update({ update: { ...good, weight: 0 } })],
    ['a weight of NaN', 'UPDATE_NOT_FINITE', update({ update: { ...good, weight: Number.NaN } })],
    ['a set of a stranger', 'ROUND_NONE', { kind: 'set', peer: 'eve', key, step: 'hold', set: new Map() }],
    ['a late ready', 'ROUND_CLOSED', { kind: 'ready', peer: 'eve', key, closesInMs: 9 }],
  ]

  it.each(cases)('%s: %s', (_, code, event) => {
    const state = exchanging()
    const result = step(state, event, 3)
    expect(result.refusal?.code).toBe(code)
    expect(result.state).toBe(state)
    expect(result.effects).toEqual([])
  })

  it('a second, different update: UPDATE_DUPLICATE; the same one again is no harm', () => {
    const { state } = step(exchanging(), update({}), 3)
    expect(step(state, update({}), 4)).toEqual({ state, effects: [] })
    const other = step(state, update({ update: updateOf(new Float32Array(6), 1) }), 4)
    expect(other.refusal?.code).toBe('UPDATE_DUPLICATE')
    expect(other.state).toBe(state)
    expect(step(state, update({ update: undefined }), 4).refusal?.code).toBe('UPDATE_DUPLICATE')
  })

  it('more senders than a group may have: ROUND_FULL', () => {
    let state = exchanging()
    for (let k = 0; state.settled.size < TASK.maxGroup - 3; k++)
      state = step(state, update({ peer: `extra-${k}` }), 3).state
    const result = step(state, update({ peer: 'one-more' }), 4)
    expect(result.refusal?.code).toBe('ROUND_FULL')
    expect(result.state).toBe(state)
  })

  it('anything after the end: ROUND_NONE', () => {
    const { state } = step(exchanging(), { kind: 'cancel', code: 'ROUND_ABORTED', reason: 'stop' }, 3)
    expect(step(state, update({}), 4).refusal?.code).toBe('ROUND_NONE')
  })
})

describe('what members said', () => {
  const update = (n: number) => updateOf(new Float32Array(6).fill(n), 10)
  const mine = update(1)
  const bobs = update(2)

  function holding(): RoundState {
    let state = exchanging()
    const key = keyOf(state)
    for (const event of [
      { kind: 'trained', update: mine },
      { kind: 'update', peer: 'bob', key, update: bobs },
      { kind: 'update', peer: 'cat', key, update: undefined },
    ] as const)
      state = step(state, event, 3).state
    expect(state.phase).toBe('hold')
    return state
  }

  it('counts for those who hold the same: one that was sent another form of an update is left behind', () => {
    const state = holding()
    const key = keyOf(state)
    const set = new Map(state.holds.get('ann'))
    const other = new Map(set).set('bob', update(3).hash)
    const events: RoundEvent[] = [
      { kind: 'set', peer: 'cat', key, step: 'agree', set: other },
      { kind: 'set', peer: 'cat', key, step: 'hold', set: other },
      { kind: 'set', peer: 'bob', key, step: 'hold', set },
    ]
    const agreeing = events.reduce((at, event) => step(at, event, 4).state, state)
    expect(agreeing.phase).toBe('agree')
    expect([...agreeing.agrees]).toEqual([['ann', set]])
    const late = step(agreeing, { kind: 'set', peer: 'cat', key, step: 'agree', set: other }, 5)
    expect(late.refusal?.code).toBe('ROUND_NONE')
    const { lineage } = step(agreeing, { kind: 'set', peer: 'bob', key, step: 'agree', set }, 6).state
    expect(lineage?.contributors).toEqual(['ann', 'bob'])
  })

  it('is taken back by a member that leaves, so that one with a bad link spoils no round', () => {
    const state = holding()
    const key = keyOf(state)
    const poor = step(state, { kind: 'set', peer: 'cat', key, step: 'hold', set: new Map() }, 4)
    const left = step(poor.state, { kind: 'leave', peer: 'cat', key }, 5)
    const bob = step(
      left.state,
      { kind: 'set', peer: 'bob', key, step: 'hold', set: new Map(state.holds.get('ann')) },
      6,
    )
    expect(bob.state.phase).toBe('agree')
    expect([...(bob.state.agrees.get('ann') ?? [])].length).toBe(2)
  })

  it('whose result no other peer would take aborts', () => {
    const huge = updateOf(new Float32Array(6).fill(1e6), 10)
    let state = exchanging()
    const key = keyOf(state)
    for (const event of [
      { kind: 'trained', update: huge },
      { kind: 'update', peer: 'bob', key, update: huge },
      { kind: 'leave', peer: 'cat', key },
    ] as const)
      state = step(state, event, 3).state
    const set = new Map(state.holds.get('ann'))
    for (const what of ['hold', 'agree'] as const)
      state = step(state, { kind: 'set', peer: 'bob', key, step: what, set }, 4).state
    expect(state.outcome).toMatchObject({ kind: 'aborted', code: 'UPDATE_NOT_FINITE' })
  })

  it('a version that cannot be stored leaves the peer at its parent', () => {
    const state = holding()
    const key = keyOf(state)
    const set = new Map(state.holds.get('ann'))
    const events: RoundEvent[] = [
      { kind: 'set', peer: 'bob', key, step: 'hold', set },
      { kind: 'set', peer: 'cat', key, step: 'hold', set },
      { kind: 'set', peer: 'bob', key, step: 'agree', set },
      { kind: 'set', peer: 'cat', key, step: 'agree', set },
    ]
    const adopting = events.reduce((at, event) => step(at, event, 4).state, state)
    expect(adopting.phase).toBe('adopt')
    const failed = step(adopting, { kind: 'adopt-failed', reason: 'disk full' }, 5)
    expect(failed.state.outcome).toMatchObject({ kind: 'aborted', code: 'ROUND_ADOPT_FAILED', reason: 'disk full' })
    const late = step(adopting, { kind: 'tick' }, adopting.endsAt)
    expect(late.state.outcome).toMatchObject({ kind: 'aborted', code: 'ROUND_ADOPT_FAILED' })
  })
})
