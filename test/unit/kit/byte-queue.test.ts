import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteQueue } from '../../../protocols/kit/byte-queue.ts'
import { FrameReader } from '../../../protocols/kit/framing.ts'

test('any appends and takes give what a plain list of bytes gives', () => {
  const step = fc.oneof(
    fc.record({ append: fc.uint8Array({ maxLength: 200 }) }),
    fc.record({ from: fc.nat(100), length: fc.nat(100) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = new ByteQueue()
      let model: number[] = []
      for (const one of steps) {
        if ('append' in one) {
          queue.append(one.append)
          model.push(...one.append)
        } else {
          const to = Math.min(one.from + one.length, model.length)
          const from = Math.min(one.from, to)
          expect([...queue.take(from, to)]).toEqual(model.slice(from, to))
          model = model.slice(to)
        }
        expect(queue.byteLength).toBe(model.length)
        if (model.length > 0) expect(queue.at(model.length - 1)).toBe(model.at(-1))
      }
    }),
  )
})

test('what was taken is a copy', () => {
  const queue = new ByteQueue()
  queue.append(Uint8Array.of(1, 2, 3))
  const taken = queue.take(0, 2)
  queue.append(Uint8Array.of(9, 9, 9, 9))
  expect([...taken]).toEqual([1, 2])
})

// With a list of chunks this takes minutes and a quarter of a gigabyte: the test ends by its timeout then.
test('half a million chunks of one byte, and as many messages, are taken in no time', () => {
  const reader = new FrameReader(1024)
  const bytes = 512 * 1024
  for (let i = 0; i < bytes; i++) reader.push(Uint8Array.of(1))
  let messages = 0
  while (reader.take() !== undefined) messages++
  expect(messages).toBe(bytes / 2)
})
