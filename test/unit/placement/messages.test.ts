import { expect, test } from 'vitest'
import { fromCbor, toCbor } from '../../../core/shape.ts'
import { offerReplyShape } from '../../../protocols/placement/messages.ts'

test('a bid says what room there is, and nothing of what runs took there', () => {
  const bid = { kind: 'bid', reservation: 'a'.repeat(32), ttlMs: 1000, backlogMs: 0, freeSlots: 1, hasModule: true }
  // The prediction of a host that saw such a cell once is the time of that run.
  const told = fromCbor(toCbor({ ...bid, predictedMs: 4321.0987 }), offerReplyShape, 'MESSAGE_MALFORMED')
  expect(told).toEqual(bid)
})
