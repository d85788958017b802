import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hex } from '../../../core/bytes.ts'
import { CodedError } from '../../../core/errors.ts'
import { fromCbor, type Shape, toCbor } from '../../../core/shape.ts'
import {
  answerShape,
  commitMessage,
  commitShape,
  modelAnswerShape,
  modelShape,
  readyShape,
  setOf,
  updateShape,
} from '../../../protocols/federated/messages.ts'

const head = { version: 'aa', round: 2, parent: 'bb', contributors: ['p', 'q'] }
const key = { task: 'tt', round: 3, parent: 'aa', view: 1 }
const set = new Map([
  ['p', 'h1'],
  ['q', 'h2'],
])
const messages: readonly (readonly [string, Shape<unknown>, object])[] = [
  ['ready', readyShape, { kind: 'ready', task: 'tt', head, view: 1, closesInMs: 4000, bucket: 5 }],
  ['head', readyShape, { kind: 'head', task: 'tt', head }],
  ['answer', answerShape, { joined: true, view: 1, head }],
  ['update', updateShape, { ...key, weight: 40, hash: 'hh', bytes: 5248 }],
  ['commit', commitShape, commitMessage(key, 'hold', set)],
  ['model', modelShape, { task: 'tt', version: 'aa' }],
  ['model answer', modelAnswerShape, { bytes: 5248 }],
]

describe('messages', () => {
  it('keep their bytes: a change here is a new protocol id', () => {
    const bytes = Object.fromEntries(messages.map(([name, , message]) => [name, hex(toCbor(message))]))
    expect(bytes).toMatchInlineSnapshot(`
      {
        "answer": "a36468656164a465726f756e640266706172656e746262626776657273696f6e6261616c636f6e7472696275746f72738261706171647669657701666a6f696e6564f5",
        "commit": "a66373657482a2646861736862683164706565726170a2646861736862683264706565726171647374657064686f6c64647461736b62747464766965770165726f756e640366706172656e74626161",
        "head": "a36468656164a465726f756e640266706172656e746262626776657273696f6e6261616c636f6e7472696275746f72738261706171646b696e646468656164647461736b627474",
        "model": "a2647461736b6274746776657273696f6e626161",
        "model answer": "a1656279746573191480",
        "ready": "a66468656164a465726f756e640266706172656e746262626776657273696f6e6261616c636f6e7472696275746f72738261706171646b696e64657265616479647461736b627474647669657701666275636b6574056a636c6f736573496e4d73190fa0",
        "update": "a76468617368626868647461736b62747464766965770165627974657319148065726f756e640366706172656e74626161667765696768741828",
      }
    `)
  })

  it.each(messages)('%s comes back as it was', (_, shape, message) => {
    expect(fromCbor(toCbor(message), shape, 'MESSAGE_MALFORMED')).toEqual(message)
  })

  it.each(messages)('%s: any other bytes are malformed, and nothing else', (_, shape, message) => {
    const good = toCbor(message)
    const mutated = fc
      .tuple(fc.nat({ max: good.length - 1 }), fc.integer({ min: 0, max: 255 }))
      .map(([at, value]) => good.map((byte, k) => (k === at ? value : byte)))
    void fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated, fc.anything().map(encodable)), (bytes) => {
        try {
          fromCbor(bytes, shape, 'MESSAGE_MALFORMED')
        } catch (error) {
          expect(error).toBeInstanceOf(CodedError)
        }
      }),
    )
  })

  it.each([
    ['a negative round', commitShape, { ...key, round: -1, step: 'hold', set: [] }],
    ['a view that no attempt reaches', commitShape, { ...key, view: 1e7, step: 'hold', set: [] }],
    ['an unknown step', commitShape, { ...key, step: 'decide', set: [] }],
    ['a set of hundreds', commitShape, { ...key, step: 'hold', set: Array(500).fill({ peer: 'p', hash: 'h' }) }],
    ['a tensor of terabytes', updateShape, { ...key, weight: 1, hash: 'h', bytes: 1e12 }],
    ['half a sample', updateShape, { ...key, weight: 0.5, hash: 'h', bytes: 4 }],
    [
      'a crowd of contributors',
      answerShape,
      { joined: true, view: 0, head: { ...head, contributors: Array(99).fill('p') } },
    ],
  ] as const)('refuse %s', (_, shape: Shape<unknown>, message) => {
    expect(() => fromCbor(toCbor(message), shape, 'MESSAGE_MALFORMED')).toThrow(
      expect.objectContaining({ code: 'MESSAGE_MALFORMED' }),
    )
  })

  it('name a member once: what was said first counts', () => {
    const twice = {
      ...commitMessage(key, 'agree', set),
      set: [...commitMessage(key, 'agree', set).set, { peer: 'p', hash: 'h9' }],
    }
    expect(setOf(twice)).toEqual(set)
  })
})

/** CBOR of `value`, or no bytes where there is none. */
function encodable(value: unknown): Uint8Array {
  try {
    return toCbor(value)
  } catch {
    return new Uint8Array(0)
  }
}
