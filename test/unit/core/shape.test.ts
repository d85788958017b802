import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CodedError } from '../../../core/errors.ts'
import * as s from '../../../core/shape.ts'

const person = s.object({
  name: s.text(8),
  age: s.integer(0, 150),
  nick: s.optional(s.text(4)),
  tags: s.list(s.text(4), 3),
})
const event = s.union({ born: s.object({ at: s.integer() }), died: s.object({ at: s.integer(), of: s.text(16) }) })

describe('shapes', () => {
  test('reads what was written and drops unknown fields', () => {
    const bytes = s.toCbor({ name: 'Ada', age: 36, tags: ['a'], unknown: 1, nick: undefined })
    expect(s.fromCbor(bytes, person, 'X')).toEqual({ name: 'Ada', age: 36, tags: ['a'] })
  })

  test.each([
    ['too long a text', { name: 'Ada Lovelace', age: 1, tags: [] }, 'name'],
    ['a missing field', { name: 'Ada', tags: [] }, 'age'],
    ['a fraction', { name: 'Ada', age: 1.5, tags: [] }, 'age'],
    ['too many items', { name: 'Ada', age: 1, tags: ['a', 'b', 'c', 'd'] }, 'tags'],
    ['a wrong item', { name: 'Ada', age: 1, tags: ['a', 7] }, 'tags[1]'],
    ['a wrong optional', { name: 'Ada', age: 1, tags: [], nick: 'longer' }, 'nick'],
  ])('refuses %s and names the place', (_, value, place) => {
    expect(() => s.fromCbor(s.toCbor(value), person, 'BAD')).toThrow(expect.objectContaining({ code: 'BAD' }))
    expect(() => s.fromCbor(s.toCbor(value), person, 'BAD')).toThrow(place)
  })

  test('a union is read by its kind', () => {
    expect(s.fromCbor(s.toCbor({ kind: 'died', at: 1, of: 'age' }), event, 'BAD')).toEqual({
      kind: 'died',
      at: 1,
      of: 'age',
    })
    expect(() => s.fromCbor(s.toCbor({ kind: 'toString', at: 1 }), event, 'BAD')).toThrow('one of the kinds')
  })

  test('any bytes either decode or give the coded error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          s.fromCbor(bytes, person, 'BAD')
        } catch (error) {
          expect(error).toBeInstanceOf(CodedError)
        }
      }),
      { numRuns: 2000 },
    )
  })

  test('deeply nested bytes give the coded error, not a broken stack', () => {
    const bomb = new Uint8Array(1_000_000).fill(0x81)
    expect(() => s.fromCbor(bomb, person, 'BAD')).toThrow(expect.objectContaining({ code: 'BAD' }))
  })
})
