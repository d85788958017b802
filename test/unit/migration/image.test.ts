// Images in pieces and messages as bytes: what was cut comes together, and nothing else does.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, hex } from '../../../core/bytes.ts'
import {
  beginChain,
  beginReceipt,
  finishReceipt,
  pieceMessage,
  rootOf,
  takePiece,
} from '../../../protocols/migration/image.ts'
import { keptImage } from '../../../protocols/migration/kept-image.ts'
import {
  decodeToDestination,
  decodeToSource,
  encodeMessage,
  type PieceMessage,
  type ToDestination,
  type ToSource,
} from '../../../protocols/migration/messages.ts'
import { CHUNK_BYTES, MAX_CONTEXT_BYTES, MIGRATE } from '../../../protocols/migration/protocol.ts'
import { decodeRecord, encodeRecord } from '../../../protocols/migration/records.ts'
import { IMAGE, type Image, OFFER, sent } from './samples.ts'

const filled = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed) % 256)

function assemble(pieces: readonly PieceMessage[], root: string): Image {
  let receipt = beginReceipt()
  const parts: Uint8Array[] = []
  for (const piece of pieces) {
    const next = takePiece(receipt, piece)
    receipt = next.receipt
    if (next.part !== undefined) parts.push(next.part)
  }
  return { parts, context: finishReceipt(receipt, root) }
}

async function readBack({ parts, context }: Image, root: string): Promise<Uint8Array[]> {
  const { pieces } = sent({ parts, context })
  const stored = {
    context,
    pieces: async function* () {
      yield* pieces.filter(({ of }) => of === 'part')
    },
  }
  const back: Uint8Array[] = []
  for await (const part of keptImage(stored, root, 'c').parts()) back.push(part)
  return back
}

const refused = expect.objectContaining({ code: 'MIGRATION_IMAGE_MISMATCH' })
const sizes = fc.oneof(
  fc.constantFrom(1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES),
  fc.integer({ min: 1, max: 600_000 }),
)

describe('an image in pieces', () => {
  it('comes together again, for any sizes, on the way and from the disk', async () => {
    const images = fc.record({ parts: fc.array(sizes, { maxLength: 4 }), context: fc.oneof(fc.constant(0), sizes) })
    await fc.assert(
      fc.asyncProperty(images, async ({ parts, context }) => {
        const image = { parts: parts.map((length, i) => filled(length, i)), context: filled(context, 9) }
        const { pieces, root } = sent(image)
        const back = assemble(pieces, root)
        expect(back.parts.map(hex)).toEqual(image.parts.map(hex))
        expect(Buffer.compare(back.context, image.context)).toBe(0)
        expect((await readBack(image, root)).map(hex)).toEqual(image.parts.map(hex))
      }),
      { numRuns: 15 },
    )
  })

  it('has another root for other bytes, other parts, or bytes on the other side', () => {
    const [part, none] = [filled(10, 3), new Uint8Array()]
    const roots = [
      IMAGE,
      { ...IMAGE, context: none },
      { parts: [part], context: none },
      { parts: [part.subarray(0, 5), part.subarray(5)], context: none },
      { parts: [], context: part },
    ]
    expect(new Set(roots.map((image) => sent(image).root)).size).toBe(5)
  })

  it.each<[string, (pieces: PieceMessage[]) => PieceMessage[]]>([
    ['a missing piece at the end', (pieces) => pieces.slice(0, -1)],
    ['a missing piece', (pieces) => pieces.filter((_, i) => i !== 1)],
    ['a repeated piece', (pieces) => pieces.flatMap((piece, i) => (i === 1 ? [piece, piece] : [piece]))],
    ['pieces in another order', (pieces) => [...pieces].reverse()],
    ['one piece more', (pieces) => [...pieces, { ...(pieces[0] as PieceMessage), index: pieces.length }]],
    ['other bytes', (pieces) => pieces.map((piece) => ({ ...piece, bytes: piece.bytes.map((byte) => byte ^ 1) }))],
    ['a piece that is cut short', (pieces) => pieces.map((piece) => ({ ...piece, bytes: piece.bytes.subarray(1) }))],
    ['parts that end elsewhere', (pieces) => pieces.map((piece) => ({ ...piece, more: false }))],
    ['a part without an end', (pieces) => pieces.map((piece) => ({ ...piece, more: true }))],
    ['a context that is a part', (pieces) => pieces.map((piece) => ({ ...piece, of: 'part' as const }))],
  ])('is refused with %s', (_name, change) => {
    const { pieces, root } = sent(IMAGE)
    expect(() => assemble(change([...pieces]), root)).toThrow(refused)
  })

  it.each<[string, PieceMessage['of'][], boolean[]]>([
    ['crumbs of a part', ['part', 'part'], [true, false]],
    ['crumbs of a context', ['context', 'context'], [true, false]],
    ['a context behind the context', ['context', 'context'], [false, false]],
  ])('is refused as %s, although its root is right', (_name, kinds, mores) => {
    let chain = beginChain()
    const pieces = kinds.map((of, i) => {
      const next = pieceMessage(chain, of, { bytes: filled(10, i), more: mores[i] ?? false })
      chain = next.chain
      return next.message
    })
    expect(() => assemble(pieces, rootOf(chain))).toThrow(refused)
  })

  it('is refused when its context goes on', () => {
    const { message, chain } = pieceMessage(beginChain(), 'context', { bytes: filled(CHUNK_BYTES, 1), more: true })
    expect(() => assemble([message], rootOf(chain))).toThrow(refused)
  })

  it('is refused under another root, and from the disk too', async () => {
    const root = 'f'.repeat(64)
    expect(() => assemble(sent(IMAGE).pieces, root)).toThrow(refused)
    await expect(readBack(IMAGE, root)).rejects.toMatchObject({ code: 'MIGRATION_IMAGE_LOST' })
  })

  it('is refused with more context than travels', () => {
    const context = concat(Array.from({ length: 65 }, () => filled(CHUNK_BYTES, 1)))
    const { pieces, root } = sent({ parts: [], context })
    expect(context.length).toBeGreaterThan(MAX_CONTEXT_BYTES)
    expect(() => assemble(pieces, root)).toThrow(refused)
  })
})

const TO_DESTINATION: readonly ToDestination[] = [
  { kind: 'prepare', offer: OFFER },
  {
    kind: 'piece',
    index: 0,
    of: 'part',
    more: false,
    sha256: new Uint8Array(32).fill(1),
    bytes: new Uint8Array([7, 8, 9]),
  },
  { kind: 'round', round: 1 },
  { kind: 'complete', root: 'ab' },
  { kind: 'hand-over', cell: 'c0ffee', attempt: '00', epoch: 2, root: 'ab' },
  { kind: 'settled' },
]
const TO_SOURCE: readonly ToSource[] = [
  { kind: 'ready', maxImageBytes: 1 << 30 },
  { kind: 'applied', round: 1 },
  { kind: 'received', root: 'ab' },
  { kind: 'running', epoch: 2 },
  { kind: 'running', epoch: 2, hostStartedAt: 0.5 },
  { kind: 'owned', epoch: 2, reason: 'later' },
  { kind: 'refuse', reason: 'no' },
]

const PIECE = { kind: 'piece', index: 0, of: 'part', more: false, sha256: new Uint8Array(32), bytes: new Uint8Array(1) }

describe('messages', () => {
  it('have the bytes that other versions speak', () => {
    const bytes = [...TO_DESTINATION, ...TO_SOURCE].map((message) => `${message.kind} ${hex(encodeMessage(message))}`)
    expect(bytes).toMatchInlineSnapshot(`
      [
        "prepare a2646b696e646770726570617265656f66666572a96463656c6c666330666665656565706f636802666d6f64756c6578406162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616261626162616267617474656d707478203030303130323033303430353036303730383039306130623063306430653066686d616e696665737443010203697369676e61747572654204056b6d656d6f727942797465731a000493e06b6d6f64756c6542797465731903e86b7265736572766174696f6e627231",
        "piece a6626f666470617274646b696e64657069656365646d6f7265f46562797465734307080965696e646578006673686132353658200101010101010101010101010101010101010101010101010101010101010101",
        "round a2646b696e6465726f756e6465726f756e6401",
        "complete a2646b696e6468636f6d706c65746564726f6f74626162",
        "hand-over a56463656c6c66633066666565646b696e646968616e642d6f76657264726f6f746261626565706f63680267617474656d7074623030",
        "settled a1646b696e6467736574746c6564",
        "ready a2646b696e646572656164796d6d6178496d61676542797465731a40000000",
        "applied a2646b696e64676170706c69656465726f756e6401",
        "received a2646b696e6468726563656976656464726f6f74626162",
        "running a2646b696e646772756e6e696e676565706f636802",
        "running a3646b696e646772756e6e696e676565706f6368026d686f7374537461727465644174f93800",
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
    const piece = {
      kind: 'piece',
      index: 2 ** 31,
      of: 'context',
      more: true,
      sha256: new Uint8Array(32),
      bytes: new Uint8Array(CHUNK_BYTES),
    } as const
    const prepare = { kind: 'prepare', offer: { ...OFFER, manifest: new Uint8Array(128 * 1024) } } as const
    for (const message of [piece, prepare]) {
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
    { ...PIECE, sha256: new Uint8Array(31) },
    { ...PIECE, bytes: new Uint8Array(0) },
    { ...PIECE, bytes: new Uint8Array(CHUNK_BYTES + 1) },
    { ...PIECE, of: 'other' },
    { ...PIECE, index: -1 },
    { kind: 'round', round: 0 },
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
