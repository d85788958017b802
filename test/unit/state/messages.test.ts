import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { CodedError } from '../../../core/errors.ts'
import { Verifier } from '../../../protocols/kit/signing.ts'
import type { Signer } from '../../../protocols/kit/types.ts'
import { signClaim } from '../../../protocols/state/claim.ts'
import { Decoder, EMPTY, Encoder, type Message, outgoing, sizeOf } from '../../../protocols/state/messages.ts'
import type { SignedRecord } from '../../../protocols/state/record.ts'
import { newSigner, signed } from './fixtures.ts'

const { verify } = new Verifier()
let signers: Signer[] = []
let held: SignedRecord[] = []
beforeAll(async () => {
  signers = await Promise.all(Array.from({ length: 6 }, newSigner))
  held = await Promise.all(
    signers.map((signer, i) =>
      signed(signer, { version: i * 100, incarnation: 2 ** (i * 8), measuredAt: 2 ** (i * 8) }),
    ),
  )
})

const incarnationOf = (peer: string): number => held.find((record) => record.peer === peer)?.incarnation ?? 0

async function messageOf(picks: readonly number[], seqs: readonly number[], flags: number): Promise<Message> {
  const at = (i: number): SignedRecord => held[i % held.length] as SignedRecord
  const names = picks.map(at)
  const named = names.map(({ peer, incarnation, version }) => ({ peer, incarnation, version }))
  const claims = names
    .slice(0, 2)
    .map((about) =>
      signClaim({ about: about.peer, incarnation: about.incarnation, version: about.version }, signers[0] as Signer),
    )
  const peers = names.map(({ peer }) => peer)
  const part = <T>(bit: number, value: readonly T[]): readonly T[] => ((flags & (1 << bit)) === 0 ? [] : value)
  return {
    haves: part(0, named),
    gone: part(1, peers),
    wants: part(
      2,
      named.map((one) => ({ ...one, version: 0 })),
    ),
    bodies: part(
      3,
      names.map((record, i) => outgoing(record, i % 2 === 0)),
    ),
    claims: part(4, await Promise.all(claims)),
    links: (flags & 32) === 0 ? undefined : peers,
    pings: part(6, seqs),
    acks: part(7, seqs),
    asks: part(
      8,
      names.map(({ peer }, i) => ({ seq: seqs[i] ?? 0, about: peer })),
    ),
    founds: part(
      9,
      seqs.map((seq) => ({ seq, alive: seq % 2 === 0 })),
    ),
    urgent: seqs.length % 2 === 1,
    bye: (flags & 1024) !== 0,
  }
}

/** What of a message can be compared. */
const plain = (message: Message): unknown => ({
  ...message,
  bodies: message.bodies.map(({ peer, incarnation, version }) => ({ peer, incarnation, version })),
  claims: message.claims.map(({ verify: _verify, ...claim }) => ({ ...claim, signature: [...claim.signature] })),
})

test('messages survive the wire, names are introduced once, and sizes are known without encoding', async () => {
  const one = fc.tuple(
    fc.array(fc.nat(5), { maxLength: 30 }),
    fc.array(fc.integer({ min: 0, max: 2 ** 32 }), { maxLength: 30 }),
    fc.nat(2047),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(one, { maxLength: 5 }), async (several) => {
      const encoder = new Encoder(incarnationOf)
      const measuring = new Encoder(incarnationOf)
      const decoder = new Decoder(verify)
      for (const [picks, seqs, flags] of several) {
        const message = await messageOf(picks, seqs, flags)
        const bytes = encoder.encode(message)
        expect(sizeOf(message, measuring, incarnationOf)).toBe(bytes.length)
        const got = decoder.decode(bytes)
        expect(plain(got)).toEqual(plain(message))
        for (const claim of got.claims) claim.verify()
        for (const body of got.bodies)
          expect(body.open(held.find(({ peer }) => peer === body.peer))?.hash).toBeDefined()
      }
    }),
    { numRuns: 60 },
  )
})

test('two lives of one peer are told apart within one message, and a mention costs a few bytes', () => {
  const [a] = held as [SignedRecord]
  const encoder = new Encoder(() => 5)
  const haves = [5, 6].map((incarnation) => ({ peer: a.peer, incarnation, version: 9 }))
  const bytes = encoder.encode({ ...EMPTY, haves })
  expect(new Decoder(verify).decode(bytes).haves).toEqual(haves)
  expect(encoder.encode({ ...EMPTY, haves }).length).toBeLessThan(10)
  expect(encoder.encode(EMPTY).length).toBe(1)
})

test('what was never introduced, odd lists and any damage are MESSAGE_MALFORMED', async () => {
  const message = await messageOf([0, 1, 2, 3], [1, 2, 3, 4], 2047)
  const bytes = new Encoder(incarnationOf).encode(message)
  const encoder = new Encoder(incarnationOf)
  encoder.encode(message)
  expect(() => new Decoder(verify).decode(encoder.encode(message))).toThrow('never introduced')
  const damage = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 3 })
  fc.assert(
    fc.property(damage, fc.nat(bytes.length), (changes, length) => {
      const copy = Uint8Array.from(bytes).subarray(0, length)
      for (const [at, value] of changes) if (at < length) copy[at] = value
      try {
        const got = new Decoder(verify).decode(copy)
        for (const claim of got.claims) claim.verify()
        for (const body of got.bodies) body.open(undefined)
      } catch (error) {
        expect(error).toBeInstanceOf(CodedError)
        expect((error as CodedError).code).toMatch(/^(MESSAGE_MALFORMED|STATE_(RECORD|CLAIM)_(MALFORMED|FORGED))$/)
      }
    }),
    { numRuns: 300 },
  )
})
