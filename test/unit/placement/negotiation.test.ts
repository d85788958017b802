import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { negotiation, step } from '../../../protocols/placement/negotiation.ts'
import type {
  Candidate,
  Negotiation,
  NegotiationEffect,
  NegotiationEvent,
} from '../../../protocols/placement/negotiation-types.ts'
import { BID_DEADLINE_MS, LATE_BID_MS, START_DEADLINE_MS } from '../../../protocols/placement/protocol.ts'

const candidate = (peer: string, fixedMs = 100): Candidate => ({ peer, fixedMs, moduleFetchMs: 50 })
const bid = (peer: string, changes: Partial<{ backlogMs: number; hasModule: boolean; ttlMs: number }> = {}) => ({
  kind: 'bid' as const,
  peer,
  bid: { reservation: `r-${peer}`, ttlMs: 25_000, backlogMs: 0, freeSlots: 1, hasModule: true, ...changes },
})

/** Feeds events at given times and collects the effects. */
function play(state: Negotiation, ...events: readonly [at: number, event: NegotiationEvent][]) {
  let now = state
  const effects: NegotiationEffect[] = []
  for (const [at, event] of [[0, { kind: 'begin' }] as const, ...events]) {
    const next = step(now, event, at)
    now = next.state
    effects.push(...next.effects)
  }
  return { state: now, effects, of: (kind: string) => effects.filter((effect) => effect.kind === kind) }
}

const four = ['a', 'b', 'c', 'd'].map((peer) => candidate(peer))

describe('a negotiation', () => {
  test('asks three, starts the cheapest with its own backlog, gives the others back', () => {
    const { state, of } = play(
      negotiation(four, 0, 'start'),
      [1, bid('a', { backlogMs: 80 })],
      [2, bid('b', { hasModule: false })],
      [3, bid('c', { backlogMs: 20 })],
      [4, { kind: 'started', peer: 'c', epoch: 1 }],
    )
    expect(of('offer').map((effect) => 'peer' in effect && effect.peer)).toEqual(['a', 'b', 'c'])
    expect(of('start')).toEqual([{ kind: 'start', peer: 'c', reservation: 'r-c', epoch: 1 }])
    expect(of('release')).toHaveLength(2)
    expect(state.phase).toBe('ended')
    expect(of('end')).toMatchObject([
      {
        outcome: {
          kind: 'placed',
          host: 'c',
          epoch: 1,
          costMs: 120,
          candidates: [
            { peer: 'a', outcome: 'outbid', costMs: 180 },
            { peer: 'b', outcome: 'outbid', costMs: 150 },
            { peer: 'c', outcome: 'chosen', costMs: 120 },
            { peer: 'd', outcome: 'unasked' },
          ],
        },
      },
    ])
  })

  test('judges the round at its deadline, and a bid that comes later is still a second choice', () => {
    const { of } = play(
      negotiation(four, 4, 'start'),
      [1, bid('a')],
      [BID_DEADLINE_MS, { kind: 'tick' }],
      [BID_DEADLINE_MS + 1, bid('b')],
      [BID_DEADLINE_MS + 2, { kind: 'start-refused', peer: 'a', epoch: 5, code: 'NO_SLOT', reason: 'taken' }],
      [BID_DEADLINE_MS + 3, { kind: 'started', peer: 'b', epoch: 6 }],
    )
    expect(of('start')).toMatchObject([
      { peer: 'a', epoch: 5 },
      { peer: 'b', epoch: 6 },
    ])
    expect(of('end')).toMatchObject([{ outcome: { kind: 'placed', host: 'b', epoch: 6 } }])
  })

  test('goes on to further candidates, and names each reason when nobody is left', () => {
    const refused = (peer: string) => ({ kind: 'refused' as const, peer, code: 'NO_SLOT', reason: 'full' })
    const { of } = play(
      negotiation(four, 0, 'start'),
      [1, refused('a')],
      [2, { kind: 'unreachable', peer: 'b', reason: 'no connection' }],
      [3, refused('c')],
      [4, refused('d')],
    )
    expect(of('offer')).toHaveLength(4)
    expect(of('end')).toMatchObject([
      {
        outcome: {
          kind: 'failed',
          candidates: [
            { outcome: 'refused', code: 'NO_SLOT', reason: 'full' },
            { outcome: 'unreachable', reason: 'no connection' },
            { outcome: 'refused' },
            { outcome: 'refused' },
          ],
        },
      },
    ])
  })

  test('a start without an answer is revoked and the next one has a higher epoch; its late yes changes nothing', () => {
    const at = START_DEADLINE_MS
    const { of } = play(
      negotiation([candidate('a', 1), candidate('b', 2)], 0, 'start'),
      [1, bid('a')],
      [2, bid('b')],
      [at + 2, { kind: 'tick' }],
      [at + 3, { kind: 'started', peer: 'a', epoch: 1 }],
      [at + 4, { kind: 'started', peer: 'b', epoch: 2 }],
    )
    expect(of('revoke')).toEqual([{ kind: 'revoke', peer: 'a', reservation: 'r-a', epoch: 1 }])
    expect(of('end')).toMatchObject([{ outcome: { kind: 'placed', host: 'b', epoch: 2 } }])
  })

  test('waits for late answers when nobody else is left, takes the first one, and not for ever', () => {
    const late = play(
      negotiation([candidate('a'), candidate('b')], 0, 'start'),
      [BID_DEADLINE_MS, { kind: 'tick' }],
      [BID_DEADLINE_MS + 10, bid('b')],
    )
    expect(late.of('start')).toMatchObject([{ peer: 'b' }])
    const never = play(
      negotiation([candidate('a')], 0, 'start'),
      [BID_DEADLINE_MS, { kind: 'tick' }],
      [BID_DEADLINE_MS + LATE_BID_MS, { kind: 'tick' }],
      [BID_DEADLINE_MS + LATE_BID_MS + 1, bid('a')],
    )
    expect(never.of('end')).toMatchObject([{ outcome: { kind: 'failed', candidates: [{ outcome: 'unanswered' }] } }])
    expect(never.of('release')).toEqual([{ kind: 'release', peer: 'a', reservation: 'r-a' }])
  })

  test('does not start a bid whose reservation has run out', () => {
    const { of } = play(
      negotiation([candidate('a', 1), candidate('b', 2), candidate('c', 3)], 0, 'start'),
      [0, bid('a', { ttlMs: 500 })],
      [1, bid('b')],
      [BID_DEADLINE_MS, { kind: 'tick' }],
    )
    expect(of('start')).toMatchObject([{ peer: 'b' }])
  })

  test('only reserving starts nothing and keeps the winner', () => {
    const { of } = play(negotiation([candidate('a', 1), candidate('b', 2)], 3, 'reserve'), [1, bid('a')], [2, bid('b')])
    expect(of('start')).toEqual([])
    expect(of('release')).toEqual([{ kind: 'release', peer: 'b', reservation: 'r-b' }])
    expect(of('end')).toMatchObject([{ outcome: { kind: 'placed', host: 'a', reservation: 'r-a', epoch: 3 } }])
  })

  test('without candidates it fails at once; cancelled, it gives everything back', () => {
    expect(play(negotiation([], 0, 'start')).of('end')).toMatchObject([{ outcome: { kind: 'failed' } }])
    const { of } = play(
      negotiation([candidate('a', 1), candidate('b', 2)], 0, 'start'),
      [1, bid('a')],
      [2, bid('b')],
      [3, { kind: 'cancel', reason: 'stopped' }],
    )
    expect(of('revoke')).toMatchObject([{ peer: 'a' }])
    expect(of('release')).toMatchObject([{ peer: 'b' }])
    expect(of('end')).toHaveLength(1)
  })
})

type Answer = { kind: 'bid' | 'refused' | 'unreachable' | 'silent'; afterMs: number; ttlMs: number; backlogMs: number }
type StartAnswer = { kind: 'started' | 'start-refused' | 'start-lost' | 'silent'; afterMs: number }

const answer: fc.Arbitrary<Answer> = fc.record({
  kind: fc.constantFrom('bid', 'bid', 'refused', 'unreachable', 'silent'),
  afterMs: fc.nat(8_000),
  ttlMs: fc.constantFrom(100, 2_000, 25_000),
  backlogMs: fc.nat(300),
})
const startAnswer: fc.Arbitrary<StartAnswer> = fc.record({
  kind: fc.constantFrom('started', 'start-refused', 'start-lost', 'silent'),
  afterMs: fc.nat(20_000),
})

describe('whatever is answered, in whatever order, or not at all', () => {
  test('it ends once, at most one start is the placement, and everybody else is given back', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(answer, startAnswer), { maxLength: 8 }),
        fc.constantFrom('start' as const, 'reserve' as const),
        fc.option(fc.nat(12_000)),
        (answers, purpose, cancelAt) => {
          const byPeer = new Map(answers.map((both, i) => [`p${i}`, both]))
          const candidates = [...byPeer.keys()].map((peer, i) => candidate(peer, 100 + i))
          let state = negotiation(candidates, 7, purpose)
          const queue: { at: number; event: NegotiationEvent }[] = [{ at: 0, event: { kind: 'begin' } }]
          if (cancelAt !== null) queue.push({ at: cancelAt, event: { kind: 'cancel', reason: 'enough' } })
          // what the hosts believe: reservations held, and epochs accepted
          const held = new Map<string, string>()
          const running = new Map<string, number>()
          const revoked = new Set<string>()
          const ends: NegotiationEffect[] = []
          let lastEpoch = 7
          for (let turns = 0; queue.length > 0; turns++) {
            expect(turns).toBeLessThan(500)
            queue.sort((a, b) => a.at - b.at)
            const { at, event } = queue.shift() as (typeof queue)[number]
            if (event.kind === 'bid') held.set(event.peer, event.bid.reservation)
            const next = step(state, event, at)
            state = next.state
            for (const effect of next.effects) {
              if (effect.kind === 'wake') queue.push({ at: Math.max(effect.at, at), event: { kind: 'tick' } })
              else if (effect.kind === 'end') ends.push(effect)
              else if (effect.kind === 'release') held.delete(effect.peer)
              else if (effect.kind === 'revoke') {
                held.delete(effect.peer)
                revoked.add(`${effect.peer}/${effect.epoch}`)
              } else {
                const { peer } = effect
                const [offer, start] = byPeer.get(peer) as [Answer, StartAnswer]
                if (effect.kind === 'start') {
                  expect(effect.epoch).toBeGreaterThan(lastEpoch)
                  lastEpoch = effect.epoch
                  held.delete(peer)
                  // silent and lost ones may have been accepted all the same
                  if (start.kind !== 'start-refused') running.set(peer, effect.epoch)
                  const { epoch } = effect
                  if (start.kind === 'started')
                    queue.push({ at: at + start.afterMs, event: { kind: 'started', peer, epoch } })
                  if (start.kind === 'start-refused')
                    queue.push({
                      at: at + start.afterMs,
                      event: { kind: 'start-refused', peer, epoch, code: 'X', reason: 'x' },
                    })
                  if (start.kind === 'start-lost')
                    queue.push({ at: at + start.afterMs, event: { kind: 'start-lost', peer, epoch, reason: 'x' } })
                } else if (offer.kind !== 'silent') {
                  const event: NegotiationEvent =
                    offer.kind === 'bid'
                      ? bid(peer, { ttlMs: offer.ttlMs, backlogMs: offer.backlogMs })
                      : offer.kind === 'refused'
                        ? { kind: 'refused', peer, code: 'X', reason: 'x' }
                        : { kind: 'unreachable', peer, reason: 'x' }
                  queue.push({ at: at + offer.afterMs, event })
                }
              }
            }
          }
          expect(ends).toHaveLength(1)
          const outcome = ends[0]?.kind === 'end' ? ends[0].outcome : undefined
          expect(outcome?.candidates).toHaveLength(answers.length)
          const keeper = outcome?.kind === 'placed' ? outcome.host : undefined
          if (purpose === 'start') expect([...held.keys()]).toEqual([])
          else expect([...held.keys()]).toEqual(keeper === undefined ? [] : [keeper])
          // every other host that may run it was told otherwise
          for (const [peer, epoch] of running) if (peer !== keeper) expect(revoked.has(`${peer}/${epoch}`)).toBe(true)
          if (purpose === 'start' && keeper !== undefined) {
            expect(running.get(keeper)).toBe(lastEpoch)
            expect(revoked.has(`${keeper}/${lastEpoch}`)).toBe(false)
          }
        },
      ),
      { numRuns: 500 },
    )
  })
})
