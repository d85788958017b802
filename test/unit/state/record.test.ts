import { decode, encode } from 'cborg'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CodedError } from '../../../core/errors.ts'
import { signable, Verifier } from '../../../protocols/kit/signing.ts'
import type { Signer } from '../../../protocols/kit/types.ts'
import { STATE_DOMAIN } from '../../../protocols/state/protocol.ts'
import { bodyOf, encodeRecord, type SignedRecord, signRecord } from '../../../protocols/state/record.ts'
import type { StateRecord } from '../../../protocols/state/types.ts'
import { newSigner, recordOf, signed } from './fixtures.ts'

const { verify } = new Verifier()

const FULL: Partial<StateRecord> = {
  name: 'cabinet-7',
  labels: { site: 'roadside' },
  measuredAt: 1_234,
  free: { cpu: 0.25, memoryBytes: 2 ** 33, diskBytes: 7, slots: 3 },
  load: { backlogMs: 70, running: 2, load1: 1.25 },
  calibration: { fib: 12.5 },
  cells: [{ id: 'a', phase: 'running' }],
  model: { version: 'ff', round: 3 },
  coordinate: [1, -2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
  left: true,
}

/** As it would be read by somebody who holds `held`. */
function read(sent: SignedRecord, held?: SignedRecord, withCold = true): SignedRecord | undefined {
  const { hot, signature, cold } = sent
  return bodyOf(sent, { hot, signature, ...(withCold ? { cold } : {}) }, verify).open(held)
}

const sealed = (signer: Signer, record: StateRecord, before?: SignedRecord): Promise<SignedRecord> =>
  signRecord({ record, urgent: true, before }, signer)

test('a signed record survives the wire', async () => {
  const signer = await newSigner()
  const sent = await sealed(signer, recordOf(signer.self, FULL))
  const got = read(sent)
  expect(got).toEqual(sent)
  expect(got?.record).toEqual(recordOf(signer.self, FULL))
})

test('a refresh carries the hot part alone, and means what the whole would', async () => {
  const signer = await newSigner()
  const first = await sealed(signer, recordOf(signer.self, { ...FULL, left: true }))
  const later = recordOf(signer.self, { name: 'cabinet-7', version: 2, free: { ...recordOf('').free, slots: 1 } })
  const { left: _left, coordinate: _coordinate, ...rest } = recordOf(signer.self, FULL)
  const second = await sealed(signer, { ...rest, version: 2, free: later.free, measuredAt: 9 }, first)
  expect(second.coldVersion).toBe(1)
  const got = read(second, read(first), false)
  expect(got).toEqual(second)
  expect(got?.record).not.toHaveProperty('left')
  const third = await sealed(signer, { ...second.record, version: 3, name: 'moved' }, second)
  expect(third.coldVersion).toBe(3)
  // Without the cold part that it names, it is of no use, and no offence.
  expect(read(third, got, false)).toBeUndefined()
  expect(read(third, got)?.record.name).toBe('moved')
  expect(second.hot.length + second.signature.length).toBeLessThan(200)
})

test('a record of another peer, another domain or with one bit changed is not taken', async () => {
  const [mallory, alice] = await Promise.all([newSigner(), newSigner()])
  const record = recordOf(alice.self)
  const good = await signed(alice)
  const forged = expect.objectContaining({ code: 'STATE_RECORD_FORGED' })
  const malformed = expect.objectContaining({ code: 'STATE_RECORD_MALFORMED' })
  const byMallory = await mallory.sign(signable(STATE_DOMAIN, good.hot))
  expect(() => read({ ...good, signature: byMallory })).toThrow(forged)
  const otherDomain = await alice.sign(signable('cloudskin-manifest-v1', good.hot))
  expect(() => read({ ...good, signature: otherDomain })).toThrow(forged)
  expect(() => read({ ...good, peer: mallory.self })).toThrow(forged)
  const other = await sealed(alice, { ...record, name: 'other' })
  expect(() => read({ ...good, cold: other.cold })).toThrow(malformed)
  expect(() => read({ ...good, hot: other.hot, cold: other.cold })).toThrow(forged)
  expect(() => read({ ...good, version: 2 })).toThrow(malformed)
  expect(() => read({ ...good, incarnation: 0 })).toThrow(malformed)
})

test('fields that a later version adds are dropped from the record and kept in the bytes', async () => {
  const signer = await newSigner()
  const plain = await signed(signer)
  const hot = encode({ ...decode(plain.hot), battery: 0.5 })
  const signature = await signer.sign(signable(STATE_DOMAIN, hot))
  const got = read({ ...plain, hot, signature })
  expect(got?.record).toEqual(plain.record)
  expect(got?.hot).toBe(hot)
})

test('what no peer would accept is not encoded', () => {
  const invalid = expect.objectContaining({ code: 'STATE_RECORD_INVALID' })
  const encoded = (patch: Partial<StateRecord>) => (): unknown =>
    encodeRecord({ record: recordOf('p', patch), urgent: false, before: undefined })
  const labels = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`label-${i}`, 'x'.repeat(256)]))
  const cells = Array.from({ length: 256 }, (_, i) => ({ id: `${i}`.padStart(64, '0'), phase: 'running' }))
  expect(encoded({ labels, cells })).toThrow(invalid)
  expect(encoded({ fuelShare: 1.5 })).toThrow(invalid)
  expect(encoded({ free: { cpu: 2, memoryBytes: 0, diskBytes: 0, slots: 0 } })).toThrow(invalid)
  expect(encoded({ version: 2 ** 31 })).toThrow(invalid)
})

test('opening any bytes gives a record or a code', async () => {
  const signer = await newSigner()
  const valid = await signed(signer, FULL)
  const damaged = (bytes: Uint8Array): fc.Arbitrary<Uint8Array> =>
    fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat(bytes.length - 1).map((length) => bytes.subarray(0, length)),
      fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, mask]) => {
        const copy = Uint8Array.from(bytes)
        copy[at] = (copy[at] ?? 0) ^ mask
        return copy
      }),
      fc.constant(new Uint8Array(40_000)),
      fc.constant(bytes),
    )
  const codes = ['STATE_RECORD_MALFORMED', 'STATE_RECORD_FORGED']
  fc.assert(
    fc.property(damaged(valid.hot), damaged(valid.cold), (hot, cold) => {
      try {
        const got = bodyOf(valid, { hot, signature: valid.signature, cold }, verify).open(undefined)
        expect(got?.record).toEqual(valid.record)
      } catch (error) {
        expect(error).toBeInstanceOf(CodedError)
        expect(codes).toContain((error as CodedError).code)
      }
    }),
  )
  expect(() => read({ ...valid, hot: valid.hot.subarray(0, -1) })).toThrow(CodedError)
})
