import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../core/random.ts'
import { decide, exclusionLines, explain, recordOf, withActual, withOutcome } from '../../../node/decide/index.ts'
import type { Bid, CandidateReport } from '../../../protocols/placement/index.ts'
import { cellOf, fixed, MIB, peerOf } from './facts.ts'

const bid: Bid = { reservation: 'r', ttlMs: 1, backlogMs: 0, freeSlots: 1, hasModule: true }
const cell = cellOf({ constraints: { labels: { site: 'roadside' }, notPeers: [] } })
const labels = { site: 'roadside' }
const peers = [
  peerOf('cloud-1', { labels, modules: ['m'] }),
  peerOf('cloud-2', { labels, modules: ['m'] }),
  peerOf('edge-1'),
  peerOf('edge-2', { labels: { site: 'hall' } }),
  peerOf('edge-3', { labels, freeMemoryBytes: 32 * MIB }),
]
const decision = decide(cell, { at: 1, peers }, fixed(300, { 'cloud-2': 1000 }), seededRandom(1))
const excluded = [
  '2 of 5 peers: has not the label site=roadside: edge-1, edge-2 (site=hall)',
  '1 of 5 peers: has not the 64 MiB of memory free that the cell may take: edge-3 (32 MiB free)',
]

describe('why', () => {
  test('tells the choice, the cost of each candidate by part, what each answered, and who could not', () => {
    const candidates: CandidateReport[] = [
      { peer: 'cloud-1', outcome: 'chosen', bid, costMs: 390 },
      { peer: 'cloud-2', outcome: 'outbid', bid, costMs: 1090 },
    ]
    const placed = {
      kind: 'placed',
      host: 'cloud-1',
      epoch: 1,
      reservation: 'r',
      costMs: 390,
      bid,
      candidates,
    } as const
    const record = withActual(withOutcome(recordOf(decision, 'place'), placed), { outcome: 'finished', ms: 330 })
    expect(explain(record)).toEqual([
      'placed on cloud-1: 390 ms predicted by spec-cost; first choice, 700 ms before cloud-2',
      '  cloud-1: 390 ms = 10 ms round trip + 80 ms fetch + 0 ms wait + 300 ms run (spec-cost from 3 runs): chosen at 390 ms with its backlog',
      '  cloud-2: 1090 ms = 10 ms round trip + 80 ms fetch + 0 ms wait + 1000 ms run (spec-cost from 3 runs): bid at 1090 ms with its backlog, another was cheaper',
      ...excluded.map((line) => `  ${line}`),
      'it ran 330 ms, 300 ms were predicted: 1.10 times the prediction',
    ])
    expect(JSON.parse(JSON.stringify(record))).toEqual(record)
  })

  test('tells a second choice, and what the first one said', () => {
    const candidates: CandidateReport[] = [
      { peer: 'cloud-1', outcome: 'refused', code: 'NO_SLOT', reason: 'every slot is taken' },
      { peer: 'cloud-2', outcome: 'chosen', bid, costMs: 1090 },
    ]
    const placed = {
      kind: 'placed',
      host: 'cloud-2',
      epoch: 1,
      reservation: 'r',
      costMs: 1090,
      bid,
      candidates,
    } as const
    const lines = explain(withOutcome(recordOf(decision, 'move'), placed))
    expect(lines[0]).toBe('moved to cloud-2: 1090 ms predicted by spec-cost; instead of cloud-1')
    expect(lines[1]).toContain('refused, every slot is taken [NO_SLOT]')
  })

  test('tells that nobody could', () => {
    const none = decide(cell, { at: 1, peers: peers.slice(2) }, fixed(1), seededRandom(1))
    expect(explain(recordOf(none, 'place'))).toEqual([
      'no peer can take it',
      ...excluded.map((line) => `  ${line.replace('of 5', 'of 3')}`),
    ])
    expect(exclusionLines(none)).toHaveLength(2)
    const failed = withOutcome(recordOf(none, 'place'), {
      kind: 'failed',
      epoch: 0,
      reason: 'no candidate',
      candidates: [],
    })
    expect(explain(failed)[0]).toBe('not placed: no candidate')
  })

  test('lists some peers for every reason in a large mesh, and says how many more there are', () => {
    const many = [...Array.from({ length: 500 }, (_, i) => peerOf(`p${i}`)), peerOf('dead', { status: 'failed' })]
    const record = recordOf(decide(cell, { at: 1, peers: many }, fixed(1), seededRandom(1)), 'place')
    expect(record).toMatchObject({ peers: 501, unlisted: 437 })
    expect(record.excluded.some(({ peer }) => peer === 'dead')).toBe(true)
    expect(explain(record).at(-1)).toContain('437 more peers')
  })
})
