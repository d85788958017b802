import fc from 'fast-check'
import { expect, test } from 'vitest'
import { seededRandom } from '../../../core/random.ts'
import {
  mostLinks,
  type OverlayLink,
  type OverlayView,
  planOverlay,
  wantedLinks,
} from '../../../protocols/state/overlay.ts'

const RTT: Readonly<Record<string, number>> = { near1: 1, near2: 2, near3: 3, near4: 4, near5: 5, near6: 6 }

function view(patch: Partial<OverlayView>): OverlayView {
  return {
    links: [],
    candidates: () => [...Object.keys(RTT), ...Array.from({ length: 90 }, (_, i) => `far${i}`)],
    rttOf: (peer) => RTT[peer] ?? 100,
    peers: 97,
    opening: 0,
    improve: false,
    exchange: false,
    ...patch,
  }
}

const links = (count: number, patch: Partial<OverlayLink> = {}): OverlayLink[] =>
  Array.from({ length: count }, (_, i) => ({
    peer: `l${i}`,
    outbound: i % 2 === 0,
    rttMs: 10 + i,
    degree: 12,
    ...patch,
  }))

test.each([
  [1, 0],
  [2, 1],
  [10, 9],
  [11, 8],
  [100, 8],
  [1_000, 9],
  [10_000, 12],
])('of %i peers each wants %i links', (peers, wanted) => {
  expect(wantedLinks(peers)).toBe(wanted)
  expect(mostLinks(peers)).toBeGreaterThanOrEqual(2 * wanted)
})

test('what is missing is opened, a few at a time: first the nearest, then anybody', () => {
  const { open, close } = planOverlay(view({}), seededRandom(1))
  expect(open).toEqual(['near1', 'near2', 'near3', 'near4'])
  expect(close).toEqual([])
  const later = planOverlay(view({ links: links(4) }), seededRandom(1)).open
  expect(later).toHaveLength(4)
  expect(later.filter((peer) => peer.startsWith('far')).length).toBeGreaterThan(1)
  expect(planOverlay(view({ opening: 4 }), seededRandom(1)).open).toEqual([])
  expect(planOverlay(view({ candidates: () => [] }), seededRandom(1)).open).toEqual([])
  expect(planOverlay(view({ rttOf: () => undefined }), seededRandom(1)).open).toHaveLength(4)
})

test('a nearer neighbour is taken on when it is clearly nearer, and a random one now and then', () => {
  const full = links(8)
  expect(planOverlay(view({ links: full }), seededRandom(1)).open).toEqual([])
  expect(planOverlay(view({ links: full, improve: true }), seededRandom(1)).open).toEqual(['near1'])
  const nearAlready = links(8, { rttMs: 1.2 })
  expect(planOverlay(view({ links: nearAlready, improve: true }), seededRandom(1)).open).toEqual([])
  expect(planOverlay(view({ links: nearAlready, exchange: true }), seededRandom(1)).open).toHaveLength(1)
})

test('of too many links, one goes at a time: never a near one, nor one that its end needs, nor our own while there are others', () => {
  fc.assert(
    fc.property(fc.integer({ min: 9, max: 30 }), fc.nat(1_000), (count, seed) => {
      const { close } = planOverlay(view({ links: links(count) }), seededRandom(seed))
      expect(close).toHaveLength(count > 12 ? 1 : 0)
      for (const peer of close) {
        const at = Number(peer.slice(1))
        expect(at).toBeGreaterThanOrEqual(4)
        expect(at % 2).toBe(1)
      }
    }),
  )
  expect(planOverlay(view({ links: links(20, { degree: 8 }) }), seededRandom(1)).close).toEqual([])
})
