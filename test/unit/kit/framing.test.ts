import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat } from '../../../core/bytes.ts'
import { CodedError } from '../../../core/errors.ts'
import { FrameReader, frameHeader } from '../../../protocols/kit/framing.ts'

const MAX = 300

/** Cuts `bytes` at the given places. */
function pieces(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return at.slice(1).map((end, index) => bytes.slice(at[index], end))
}

function drain(reader: FrameReader): Uint8Array[] {
  const out: Uint8Array[] = []
  for (let one = reader.take(); one !== undefined; one = reader.take()) out.push(one)
  return out
}

describe('framing', () => {
  test('messages come out as they went in, however the network cuts them', () => {
    const messages = fc.array(fc.uint8Array({ maxLength: MAX }), { maxLength: 8 })
    fc.assert(
      fc.property(messages, fc.array(fc.nat(), { maxLength: 12 }), (sent, cuts) => {
        const reader = new FrameReader(MAX)
        const got: Uint8Array[] = []
        for (const piece of pieces(concat(sent.flatMap((one) => [frameHeader(one.length), one])), cuts)) {
          reader.push(piece)
          got.push(...drain(reader))
        }
        expect(got).toEqual(sent)
        expect(reader.waiting).toBe(0)
      }),
    )
  })

  test('any bytes give messages within the bound, or one of two codes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        const reader = new FrameReader(MAX)
        reader.push(bytes)
        try {
          for (const message of drain(reader)) expect(message.length).toBeLessThanOrEqual(MAX)
        } catch (error) {
          expect(error).toBeInstanceOf(CodedError)
          expect(['MESSAGE_TOO_LARGE', 'MESSAGE_MALFORMED']).toContain((error as CodedError).code)
        }
      }),
    )
  })

  test('a length is judged before a byte of the message is there', () => {
    const reader = new FrameReader(MAX)
    reader.push(frameHeader(MAX + 1))
    expect(() => reader.take()).toThrow(expect.objectContaining({ code: 'MESSAGE_TOO_LARGE' }))
  })

  test.each([
    ['no end', [0x80, 0x80, 0x80, 0x80, 0x80]],
    ['padding', [0x81, 0x00]],
  ])('a length with %s is malformed', (_, bytes) => {
    const reader = new FrameReader(MAX)
    reader.push(Uint8Array.from(bytes))
    expect(() => reader.take()).toThrow(expect.objectContaining({ code: 'MESSAGE_MALFORMED' }))
  })

  test('header bytes are those of the unsigned-varint spec', () => {
    expect([...frameHeader(0)]).toEqual([0])
    expect([...frameHeader(127)]).toEqual([0x7f])
    expect([...frameHeader(128)]).toEqual([0x80, 0x01])
    expect([...frameHeader(16_384)]).toEqual([0x80, 0x80, 0x01])
    expect([...frameHeader(2 ** 34)]).toEqual([0x80, 0x80, 0x80, 0x80, 0x40])
  })
})
