import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../core/random.ts'
import { chooseCandidates, MAX_CANDIDATES } from '../../../node/decide/candidates.ts'
import { ASSUMED_BYTES_PER_SECOND, ASSUMED_RTT_MS } from '../../../node/decide/cost.ts'
import { candidatesOf, decide, type PeerFacts, Recent } from '../../../node/decide/index.ts'
import { cellOf, fixed, MIB, peerOf } from './facts.ts'

const random = seededRandom(1)
const decideOn = (peers: readonly PeerFacts[], cell = cellOf(), predictor = fixed(100)) =>
  decide(cell, { at: 5, peers }, predictor, random)

describe('hard filters', () => {
  const roadside = cellOf({ constraints: { labels: { site: 'roadside' }, zone: 'north', notPeers: ['enemy'] } })
  const ok = peerOf('ok', { labels: { site: 'roadside' } })
  test.each([
    ['alive', { status: 'failed' }, 'is dead or unreachable', true],
    ['alive', { status: 'suspect' }, 'has not answered for a while', true],
    ['alive', { status: 'left' }, 'has left the mesh', true],
    ['draining', { draining: true }, 'takes no new cells', true],
    ['role', { roles: ['submit'] }, 'has not the role host', false],
    ['owner', { peer: 'enemy' }, 'is excluded by the owner', false],
    ['label', { labels: {} }, 'has not the label site=roadside', false],
    ['label', { labels: { site: 'hall' } }, 'has not the label site=roadside', false],
    ['zone', { zone: 'south' }, 'is not in zone north', false],
    ['module', { freeMemoryBytes: 7 * MIB }, 'the module is too big', true],
    ['memory', { freeMemoryBytes: 63 * MIB }, 'has not the 64 MiB of memory free', true],
    ['memory', { freeMemoryBytes: 10 * MIB, memoryBytes: 32 * MIB }, 'has not the 64 MiB', false],
    ['slots', { freeSlots: 0 }, 'runs as many cells as it may', true],
    ['slots', { freeSlots: 0, slots: 0 }, 'hosts no cells', false],
    ['disk', { freeDiskBytes: 17 * MIB }, 'has not 16 MiB of disk free', true],
  ] as const)('%s: %o', (filter, change, reason, later) => {
    expect(decideOn([ok], roadside).ranked).toHaveLength(1)
    const decision = decideOn([{ ...ok, ...change }], roadside)
    expect(decision).toMatchObject({ ranked: [], excluded: [{ filter }], later })
    expect(decision.excluded[0]?.reason).toContain(reason)
  })

  test('only the peer that the owner names, and not the host to be left', () => {
    const wanted = cellOf({ constraints: { labels: {}, notPeers: [], peer: 'b' } })
    const peers = [peerOf('a'), peerOf('b')]
    expect(decideOn(peers, wanted).ranked.map(({ peer }) => peer)).toEqual(['b'])
    const exclude = [{ peer: 'b', reason: 'runs the cell now' }]
    const move = decide(wanted, { at: 0, peers }, fixed(1), random, { exclude })
    expect(move.ranked).toEqual([])
    expect(move.excluded.map(({ filter }) => filter)).toEqual(['owner', 'excluded'])
    expect(move.later).toBe(false)
  })

  test('what passes for one peer is worth a wait only if nothing else stops that peer', () => {
    const cell = cellOf({ constraints: { labels: { site: 'x' }, notPeers: [] } })
    expect(decideOn([peerOf('a', { freeSlots: 0 })], cell).later).toBe(false)
    expect(decideOn([peerOf('a', { freeSlots: 0, labels: { site: 'x' } })], cell).later).toBe(true)
    expect(decideOn([peerOf('a', { labels: { site: 'x' } })], cell).later).toBe(false)
  })

  test('labels are own properties of the record', () => {
    const cell = cellOf({ constraints: { labels: { constructor: 'x' }, notPeers: [] } })
    expect(decideOn([peerOf('a')], cell).excluded).toMatchObject([{ filter: 'label' }])
  })
})

describe('candidates', () => {
  test('are self, the nearest, holders of the module and some at random, never more than eight', () => {
    const peers = Array.from({ length: 100 }, (_, i) => peerOf(`p${i}`, { rttMs: 100 + i, self: i === 50 }))
    const marked = peers.map((peer, i) => (i === 70 || i === 80 ? { ...peer, modules: ['m'] } : peer))
    const names = chooseCandidates(cellOf(), marked, random).map(({ peer }) => peer)
    expect(names).toHaveLength(MAX_CANDIDATES)
    for (const name of ['p50', 'p0', 'p1', 'p2', 'p70', 'p80']) expect(names).toContain(name)
  })

  test('are different peers, all of them when they are few, and everybody has a chance', () => {
    const seen = new Set<string>()
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 30 }), fc.integer(), (count, seed) => {
        const peers = Array.from({ length: count }, (_, i) => peerOf(`p${i}`))
        const chosen = chooseCandidates(cellOf(), peers, seededRandom(seed))
        expect(new Set(chosen).size).toBe(chosen.length)
        expect(chosen).toHaveLength(Math.min(count, MAX_CANDIDATES))
        if (count > 20) for (const { peer } of chosen) seen.add(peer)
      }),
    )
    expect(seen.size).toBeGreaterThan(20)
  })

  test('a decision among 5,000 peers predicts for eight of them only', () => {
    let predictions = 0
    const predictor = { predict: () => ({ ms: ++predictions, by: 'model' as const }) }
    const peers = Array.from({ length: 5000 }, (_, i) => peerOf(`p${i}`))
    const decision = decideOn(peers, cellOf(), predictor)
    expect(predictions).toBe(MAX_CANDIDATES)
    expect(decision).toMatchObject({ unconsidered: 4992, decidedBy: 'model' })
  })
})

describe('cost', () => {
  test('is round trip, fetch, wait and run; nothing travels to oneself', () => {
    const mesh = {
      at: 0,
      peers: [
        peerOf('self', { self: true, rttMs: 0, backlogMs: 7 }),
        peerOf('near', { modules: ['m'] }),
        peerOf('far', { rttMs: 200 }),
      ],
      bytesPerSecond: (peer: string) => (peer === 'near' ? 1_000_000 : undefined),
    }
    const { ranked } = decide(cellOf(), mesh, fixed(300, { self: 2000 }), random)
    expect(ranked.map(({ peer, cost }) => [peer, cost])).toEqual([
      ['far', { rttMs: 200, fetchMs: (3_000_000 / ASSUMED_BYTES_PER_SECOND) * 1000, waitMs: 0, runMs: 300 }],
      ['near', { rttMs: 10, fetchMs: 1000, waitMs: 0, runMs: 300 }],
      ['self', { rttMs: 0, fetchMs: 0, waitMs: 7, runMs: 2000 }],
    ])
    for (const { cost, totalMs } of ranked)
      expect(totalMs).toBeCloseTo(cost.rttMs + cost.fetchMs + cost.waitMs + cost.runMs)
  })

  test('a link that was never measured counts as a slow one', () => {
    const { rttMs: _, ...unmeasured } = peerOf('a')
    expect(decideOn([unmeasured]).ranked[0]?.cost.rttMs).toBe(ASSUMED_RTT_MS)
  })

  test('own placements that a peer cannot know of yet count as its backlog, for a while', () => {
    const recent = new Recent()
    const at = (now: number) =>
      decide(cellOf(), { at: 0, peers: [peerOf('a')], recent: (peer) => recent.at(peer, now) }, fixed(100), random)
        .ranked[0]?.cost.waitMs
    recent.note('a', 400, 0)
    expect(at(1)).toBe(0)
    recent.note('a', 600, 0)
    expect(at(1)).toBe(500)
    expect(at(2_999)).toBe(500)
    expect(at(3_000)).toBe(0)
  })

  test('a candidate has apart what its bid says afresh', () => {
    const decision = decideOn([peerOf('a', { backlogMs: 50 }), peerOf('b', { backlogMs: 50, modules: ['m'] })])
    const both = candidatesOf(decision)
    // 1 MB of input at 100 Mbit/s, the round trip, the run
    for (const { fixedMs, moduleFetchMs } of both) {
      expect(fixedMs).toBeCloseTo(80 + 10 + 100)
      expect(moduleFetchMs).toBeCloseTo(160)
    }
    for (const { totalMs, hasModule } of decision.ranked) expect(totalMs).toBeCloseTo(hasModule ? 240 : 400)
  })
})
