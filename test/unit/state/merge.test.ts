import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sha256Hex, utf8 } from '../../../core/bytes.ts'
import { compareStamps, mergeMaps, mergeRecords, newerThan } from '../../../protocols/state/merge.ts'
import type { SignedRecord } from '../../../protocols/state/record.ts'
import { recordOf } from './fixtures.ts'

const fromPeer = (peer: string): fc.Arbitrary<SignedRecord> =>
  fc.tuple(fc.nat(2), fc.nat(2), fc.nat(2)).map(([incarnation, version, variant]) => {
    const bytes = utf8(`${peer} ${incarnation} ${version} ${variant}`)
    const record = recordOf(peer, { incarnation, version })
    return { record, bytes, signature: new Uint8Array(64), hash: sha256Hex(bytes) }
  })

const tables = fc
  .tuple(fc.option(fromPeer('a')), fc.option(fromPeer('b')), fc.option(fromPeer('c')))
  .map((records) => new Map(records.filter((record) => record !== null).map((record) => [record.record.peer, record])))

const hashes = (map: ReadonlyMap<string, SignedRecord>): string[] => [...map.values()].map(({ hash }) => hash).sort()

test('merge is commutative, associative and idempotent', () => {
  fc.assert(
    fc.property(tables, tables, tables, (a, b, c) => {
      expect(hashes(mergeMaps(a, b))).toEqual(hashes(mergeMaps(b, a)))
      expect(hashes(mergeMaps(mergeMaps(a, b), c))).toEqual(hashes(mergeMaps(a, mergeMaps(b, c))))
      expect(hashes(mergeMaps(a, a))).toEqual(hashes(a))
    }),
  )
})

test('the newer incarnation holds against any version, the newer version within one', () => {
  fc.assert(
    fc.property(fromPeer('a'), fromPeer('a'), (x, y) => {
      const order = compareStamps(x.record, y.record)
      if (order > 0) expect(mergeRecords(x, y)).toBe(x)
      if (order < 0) expect(mergeRecords(x, y)).toBe(y)
    }),
  )
  expect(compareStamps({ incarnation: 2, version: 1 }, { incarnation: 1, version: 9 })).toBeGreaterThan(0)
})

test('digest and delta bring the other side up to the merge of both', () => {
  fc.assert(
    fc.property(tables, tables, (mine, theirs) => {
      const stamps = new Map([...theirs].map(([peer, { record }]) => [peer, record]))
      const delta = newerThan(mine, stamps)
      const after = mergeMaps(theirs, new Map(delta.map((record) => [record.record.peer, record])))
      for (const [peer, signed] of mine) {
        const held = after.get(peer)
        expect(held && compareStamps(held.record, signed.record)).toBeGreaterThanOrEqual(0)
      }
      for (const { record } of delta) {
        const stamp = stamps.get(record.peer)
        if (stamp !== undefined) expect(compareStamps(record, stamp)).toBeGreaterThan(0)
      }
    }),
  )
})
