// Images in pieces and messages as bytes: what was cut comes together, and nothing else does.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hex } from '../../../core/bytes.ts'
import { addChunk, beginAssembly, finishAssembly, imageRoot, sizesOf } from '../../../protocols/migration/image.ts'
import {
  type ChunkMessage,
  decodeToDestination,
  decodeToSource,
  encodeMessage,
  type ToDestination,
  type ToSource,
} from '../../../protocols/migration/messages.ts'
import { CHUNK_BYTES, MAX_CONTEXT_BYTES, MIGRATE } from '../../../protocols/migration/protocol.ts'
import { decodeRecord, encodeRecord } from '../../../protocols/migration/records.ts'
import type { CellImage } from '../../../protocols/migration/types.ts'
import { chunksOf, IMAGE, OFFER } from './samples.ts'

const filled = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed) % 256)

function assemble(image: CellImage, chunks: readonly ChunkMessage[], root = imageRoot(image)): CellImage {
  let assembly = beginAssembly(sizesOf(image))
  for (const chunk of chunks) assembly = addChunk(assembly, chunk)
  return finishAssembly(assembly, root)
}

const refused = expect.objectContaining({ code: 'MIGRATION_IMAGE_MISMATCH' })
const sizes = fc.oneof(
  fc.constantFrom(0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES),
  fc.integer({ min: 0, max: 600_000 }),
)

describe('an image in pieces', () => {
  it('comes together again, for any sizes', () => {
    fc.assert(
      fc.property(sizes, sizes, (snapshotBytes, contextBytes) => {
        const image = { snapshot: filled(snapshotBytes, 1), context: filled(contextBytes, 2) }
        const back = assemble(image, chunksOf(image))
        expect(Buffer.compare(back.snapshot, image.snapshot)).toBe(0)
        expect(Buffer.compare(back.context, image.context)).toBe(0)
      }),
      { numRuns: 25 },
    )
  })

  it('has another root for other bytes, sizes, or bytes on the other side', () => {
    const part = filled(10, 3)
    const none = new Uint8Array()
    const roots = [
      IMAGE,
      { ...IMAGE, context: none },
      { snapshot: part, context: none },
      { snapshot: none, context: part },
    ]
    expect(new Set(roots.map(imageRoot)).size).toBe(4)
  })

  it.each<[string, (chunks: ChunkMessage[]) => ChunkMessage[]]>([
    ['a missing piece at the end', (chunks) => chunks.slice(0, -1)],
    ['a missing piece', (chunks) => chunks.filter((_, i) => i !== 1)],
    ['a repeated piece', (chunks) => chunks.flatMap((chunk, i) => (i === 1 ? [chunk, chunk] : [chunk]))],
    ['pieces in another order', (chunks) => [...chunks].reverse()],
    ['one piece more', (chunks) => [...chunks, { ...(chunks[0] as ChunkMessage), index: chunks.length }]],
    ['other bytes', (chunks) => chunks.map((chunk) => ({ ...chunk, bytes: chunk.bytes.map((byte) => byte ^ 1) }))],
    ['a piece that is cut short', (chunks) => chunks.map((chunk) => ({ ...chunk, bytes: chunk.bytes.subarray(1) }))],
  ])('is refused with %s', (_name, change) => {
    expect(() => assemble(IMAGE, change(chunksOf(IMAGE)))).toThrow(refused)
  })

  it('is refused under another root', () => {
    expect(() => assemble(IMAGE, chunksOf(IMAGE), 'f'.repeat(64))).toThrow(refused)
  })
})

const TO_DESTINATION: readonly ToDestination[] = [
  { kind: 'prepare', offer: OFFER },
  { kind: 'image', snapshotBytes: 300_000, contextBytes: 3 },
  { kind: 'chunk', index: 0, sha256: new Uint8Array(32).fill(1), bytes: new Uint8Array([7, 8, 9]) },
  { kind: 'complete', root: 'ab' },
  { kind: 'hand-over', cell: 'c0ffee', attempt: '00', epoch: 2, root: 'ab' },
  { kind: 'settled' },
  { kind: 'cancel', reason: 'no' },
]
const TO_SOURCE: readonly ToSource[] = [
  { kind: 'ready' },
  { kind: 'received', root: 'ab' },
  { kind: 'running', epoch: 2 },
  { kind: 'owned', epoch: 2, reason: 'later' },
  { kind: 'refuse', reason: 'no' },
]

describe('messages', () => {
  it('have the bytes that other versions speak', () => {
    const bytes = [...TO_DESTINATION, ...TO_SOURCE].map((message) => `${message.kind} ${hex(encodeMessage(message))}`)
    expect(bytes).toMatchInlineSnapshot(`
      [
        "prepare a2646b696e646770726570617265656f66666572a96463656c6c666330666665656565706f636802666d6f64756c6578406162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616267617474656d707478203030303130323033303430353036303730383039306130623063306430653066686d616e696665737443010203697369676e61747572654204056b6d6f64756c6542797465731903e86b7265736572766174696f6e6272316d736e617073686f7442797465731a000493e0",
        "image a3646b696e6465696d6167656c636f6e746578744279746573036d736e617073686f7442797465731a000493e0",
        "chunk a4646b696e64656368756e6b6562797465734307080965696e646578006673686132353658200101010101010101010101010101010101010101010101010101010101010101",
        "complete a2646b696e6468636f6d706c65746564726f6f74626162",
        "hand-over a56463656c6c66633066666565646b696e646968616e642d6f76657264726f6f746261626565706f63680267617474656d7074623030",
        "settled a1646b696e6467736574746c6564",
        "cancel a2646b696e646663616e63656c66726561736f6e626e6f",
        "ready a1646b696e64657265616479",
        "received a2646b696e6468726563656976656464726f6f74626162",
        "running a2646b696e646772756e6e696e676565706f636802",
        "owned a3646b696e64656f776e65646565706f63680266726561736f6e656c61746572",
        "refuse a2646b696e646672656675736566726561736f6e626e6f",
      ]
    `)
  })

  it('come back as they were said', () => {
    for (const message of TO_DESTINATION) expect(decodeToDestination(encodeMessage(message))).toEqual(message)
    for (const message of TO_SOURCE) expect(decodeToSource(encodeMessage(message))).toEqual(message)
  })

  it('fit into a frame, the largest ones too', () => {
    const chunk = {
      kind: 'chunk',
      index: 2 ** 31,
      sha256: new Uint8Array(32),
      bytes: new Uint8Array(CHUNK_BYTES),
    } as const
    const prepare = { kind: 'prepare', offer: { ...OFFER, manifest: new Uint8Array(128 * 1024) } } as const
    for (const message of [chunk, prepare]) {
      const bytes = encodeMessage(message)
      expect(bytes.length).toBeLessThanOrEqual(MIGRATE.maxMessageBytes)
      expect(decodeToDestination(bytes).kind).toBe(message.kind)
    }
  })

  it('decode to a value or MESSAGE_MALFORMED, whatever the bytes are', () => {
    const valid = [...TO_DESTINATION, ...TO_SOURCE].map(encodeMessage)
    const mutated = fc
      .tuple(fc.constantFrom(...valid), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat())
      .map(([bytes, changes, length]) => {
        const copy = bytes.slice(0, length % 3 === 0 ? length % (bytes.length + 1) : bytes.length)
        for (const [at, byte] of changes) if (copy.length > 0) copy[at % copy.length] = byte
        return copy
      })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (bytes) => {
        for (const decode of [decodeToDestination, decodeToSource]) {
          try {
            decode(bytes)
          } catch (error) {
            expect(error).toMatchObject({ code: 'MESSAGE_MALFORMED' })
          }
        }
      }),
      { numRuns: 3000 },
    )
  })

  it.each([
    { kind: 'image', snapshotBytes: 1, contextBytes: MAX_CONTEXT_BYTES + 1 },
    { kind: 'image', snapshotBytes: -1, contextBytes: 0 },
    { kind: 'chunk', index: 0, sha256: new Uint8Array(31), bytes: new Uint8Array(1) },
    { kind: 'chunk', index: 0, sha256: new Uint8Array(32), bytes: new Uint8Array(0) },
    { kind: 'chunk', index: 0, sha256: new Uint8Array(32), bytes: new Uint8Array(CHUNK_BYTES + 1) },
    { kind: 'hand-over', cell: 'c', attempt: 'a', epoch: 0, root: 'r' },
    { kind: 'prepare', offer: { ...OFFER, epoch: 1.5 } },
    { kind: 'prepare', offer: { ...OFFER, attempt: 'x'.repeat(33) } },
  ] as ToDestination[])('out of bounds are malformed: %o', (message) => {
    expect(() => decodeToDestination(encodeMessage(message))).toThrow(
      expect.objectContaining({ code: 'MESSAGE_MALFORMED' }),
    )
  })
})

describe('records', () => {
  it('come back, and are corrupt or whole', () => {
    const record = {
      kind: 'source',
      phase: 'resuming',
      cell: 'c',
      attempt: 'a',
      to: 'b',
      epoch: 1,
      resumeEpoch: 3,
      root: 'r',
      at: 1.5,
    } as const
    const arrival = { kind: 'destination', phase: 'owned', from: 'a', offer: OFFER, root: 'r', at: 0 } as const
    expect(decodeRecord(encodeRecord(record))).toEqual(record)
    expect(decodeRecord(encodeRecord(arrival))).toEqual(arrival)
    const bytes = encodeRecord(arrival)
    for (let length = 0; length < bytes.length; length++)
      expect(() => decodeRecord(bytes.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'MIGRATION_JOURNAL_CORRUPT' }),
      )
  })
})
