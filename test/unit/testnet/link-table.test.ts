// The table of links against a map.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { seededRandom } from '../../../core/random.ts'
import { LinkTable } from '../../../testnet/world/link-table.ts'

it('finds what was put in last, and nothing that was taken out', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 2, max: 200 }), (seed, peers) => {
      const random = seededRandom(seed)
      const [table, map] = [new LinkTable(), new Map<string, number>()]
      const name = (own: number, peer: number): string => `${own} ${peer}`
      let most = 0
      for (let end = 0; end < 6_000; end++) {
        const [own, peer] = [random.int(peers), random.int(peers)]
        if (random.int(5) < 3) {
          table.set(own, peer, end)
          map.set(name(own, peer), end)
        } else {
          table.delete(own, peer)
          map.delete(name(own, peer))
        }
        most = Math.max(most, map.size)
      }
      for (let own = 0; own < peers; own++)
        for (let peer = 0; peer < peers; peer++)
          if (table.find(own, peer) !== (map.get(name(own, peer)) ?? -1)) throw new Error(`of ${own} and ${peer}`)
      expect(most).toBeGreaterThan(1)
    }),
    { numRuns: 30 },
  )
})
