import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isCoded } from '../../../core/errors.ts'
import {
  claim,
  EMPTY_LEDGER,
  type Ledger,
  release,
  reserve,
  reservedRoom,
  settle,
} from '../../../protocols/placement/reservations.ts'

const free = { slots: 2, memoryBytes: 100, diskBytes: 1000 }
const ask = { by: 'A', room: { slots: 1, memoryBytes: 40, diskBytes: 100 }, free, ttlMs: 1000, maxPerPeer: 8 }
const coded = (code: string) => expect.objectContaining({ code })

describe('the ledger of reservations', () => {
  test('says which room is missing', () => {
    const one = reserve(EMPTY_LEDGER, { ...ask, id: '1', cell: 'a' }, 0)
    const two = reserve(one, { ...ask, id: '2', cell: 'b' }, 0)
    expect(() => reserve(two, { ...ask, id: '3', cell: 'c' }, 0)).toThrow(coded('NO_SLOT'))
    const big = { ...ask.room, memoryBytes: 61 }
    expect(() => reserve(one, { ...ask, room: big, id: '3', cell: 'c' }, 0)).toThrow(coded('NO_MEMORY'))
    const wide = { ...ask.room, diskBytes: 901 }
    expect(() => reserve(one, { ...ask, room: wide, id: '3', cell: 'c' }, 0)).toThrow(coded('NO_DISK'))
    expect(() => reserve(one, { ...ask, maxPerPeer: 1, id: '3', cell: 'c' }, 0)).toThrow(coded('OVER_QUOTA'))
  })

  test('frees what expires, and nothing that was claimed', () => {
    let ledger = reserve(EMPTY_LEDGER, { ...ask, id: '1', cell: 'a' }, 0)
    ledger = reserve(ledger, { ...ask, id: '2', cell: 'b' }, 0)
    ledger = claim(ledger, '1', 'a', 999)
    expect(reservedRoom(ledger, 999).slots).toBe(2)
    expect(reservedRoom(ledger, 1000).slots).toBe(1)
    expect(() => claim(ledger, '2', 'b', 1000)).toThrow(coded('RESERVATION_GONE'))
    expect(reservedRoom(settle(ledger, '1'), 1000).slots).toBe(0)
  })

  test('a reservation serves its own cell, once, and only its peer gives it back', () => {
    const ledger = reserve(EMPTY_LEDGER, { ...ask, id: '1', cell: 'a' }, 0)
    expect(() => claim(ledger, '1', 'b', 0)).toThrow(coded('RESERVATION_GONE'))
    expect(release(ledger, '1', 'B')).toBe(ledger)
    const claimed = claim(ledger, '1', 'a', 0)
    expect(() => claim(claimed, '1', 'a', 0)).toThrow(coded('RESERVATION_GONE'))
    expect(release(claimed, '1', 'A')).toBe(claimed)
    expect(release(ledger, '1', 'A').size).toBe(0)
  })

  test('asking again for the same cell holds the room once', () => {
    let ledger: Ledger = EMPTY_LEDGER
    for (let i = 0; i < 5; i++) ledger = reserve(ledger, { ...ask, id: `${i}`, cell: 'a' }, i)
    expect([...ledger.keys()]).toEqual(['4'])
  })

  test('never promises more than there is, whatever is done in whatever order', () => {
    const action = fc.record({
      kind: fc.constantFrom('reserve', 'claim', 'release', 'settle', 'wait'),
      cell: fc.constantFrom('a', 'b', 'c', 'd'),
      by: fc.constantFrom('A', 'B'),
      pick: fc.nat(20),
      memoryBytes: fc.nat(80),
    })
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        let ledger: Ledger = EMPTY_LEDGER
        let now = 0
        for (const [i, { kind, cell, by, pick, memoryBytes }] of actions.entries()) {
          const id = [...ledger.keys()][pick] ?? 'none'
          try {
            if (kind === 'wait') now += pick * 100
            if (kind === 'reserve')
              ledger = reserve(ledger, { ...ask, id: `${i}`, cell, by, room: { ...ask.room, memoryBytes } }, now)
            if (kind === 'claim') ledger = claim(ledger, id, ledger.get(id)?.cell ?? cell, now)
            if (kind === 'release') ledger = release(ledger, id, by)
            if (kind === 'settle') ledger = settle(ledger, id)
          } catch (error) {
            if (!isCoded(error)) throw error
          }
          const taken = reservedRoom(ledger, now)
          expect(taken.slots).toBeLessThanOrEqual(free.slots)
          expect(taken.memoryBytes).toBeLessThanOrEqual(free.memoryBytes)
          expect(taken.diskBytes).toBeLessThanOrEqual(free.diskBytes)
        }
      }),
      { numRuns: 300 },
    )
  })
})
