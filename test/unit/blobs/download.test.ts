import fc from 'fast-check'
import { expect, test } from 'vitest'
import { corrupted, newDownload, next, received } from '../../../protocols/blobs/download.ts'
import { needsCredit, owesCredit } from '../../../protocols/blobs/messages.ts'
import { CREDIT_CHUNKS, WINDOW_CHUNKS } from '../../../protocols/blobs/protocol.ts'

test('every holder is asked once, in order, and continues where the last one stopped', () => {
  let download = newDownload(['a', 'b', 'a', 'c'])
  const asked: [string, number][] = []
  for (let turn = next(download); turn !== undefined; turn = next(download)) {
    asked.push([turn.attempt.holder, turn.download.offset])
    download = received(turn.download, turn.attempt.holder, 10)
  }
  expect(asked).toEqual([
    ['a', 0],
    ['b', 10],
    ['c', 20],
  ])
})

test('whatever goes wrong, at most two attempts per holder, and a corrupt whole starts afresh', () => {
  const holders = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'))
  fc.assert(
    fc.property(holders, fc.array(fc.tuple(fc.nat(2), fc.boolean())), (peers, outcomes) => {
      let download = newDownload(peers)
      const asked: string[] = []
      for (let turn = next(download); turn !== undefined; turn = next(download)) {
        const [bytes, corrupt] = outcomes[asked.length] ?? [0, false]
        asked.push(turn.attempt.holder)
        download = turn.download
        if (turn.attempt.alone) expect(download.offset).toBe(0)
        if (bytes > 0) download = received(download, turn.attempt.holder, bytes)
        if (corrupt) {
          download = corrupted(download)
          expect(download.offset).toBe(0)
        }
      }
      for (const peer of peers) expect(asked.filter((other) => other === peer).length).toBeLessThanOrEqual(2)
      expect(new Set(asked)).toEqual(new Set(peers))
    }),
  )
})

test('every credit that the sender waits for is given, none is left over, and the window bounds what is in flight', () => {
  for (let total = 0; total < 60; total++) {
    let owed = 0
    for (let index = 0; index < total; index++) if (owesCredit(index, total)) owed++
    let needed = 0
    for (let index = 0; index < total; index++) {
      if (needsCredit(index)) needed++
      expect(index - needed * CREDIT_CHUNKS).toBeLessThan(WINDOW_CHUNKS)
    }
    expect(owed).toBe(needed)
  }
})
