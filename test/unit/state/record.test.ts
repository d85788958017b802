import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CodedError } from '../../../core/errors.ts'
import { toCbor } from '../../../core/shape.ts'
import { signable } from '../../../protocols/kit/signing.ts'
import { STATE_DOMAIN } from '../../../protocols/state/protocol.ts'
import { decodeRecord, encodeRecord, verifyRecord } from '../../../protocols/state/record.ts'
import { newSigner, recordOf, signed } from './fixtures.ts'

test('a signed record survives the wire', async () => {
  const signer = await newSigner()
  const sent = await signed(signer, {
    name: 'cabinet-7',
    labels: { site: 'roadside' },
    free: { cpu: 0.25, memoryBytes: 2 ** 33, diskBytes: 7, slots: 3 },
    calibration: { fib: 12.5 },
    cells: [{ id: 'a', phase: 'running' }],
    model: { version: 'ff', round: 3 },
    left: true,
  })
  const got = decodeRecord(sent.bytes, sent.signature)
  expect(got.hash).toBe(sent.hash)
  expect(encodeRecord(got.record)).toEqual(sent.bytes)
  expect(got.record.labels.site).toBe('roadside')
  expect(await verifyRecord(got)).toBe(true)
})

test('a record of another peer, another domain or with one bit changed is not verified', async () => {
  const [mallory, alice] = await Promise.all([newSigner(), newSigner()])
  const bytes = encodeRecord(recordOf(alice.self))
  const byMallory = await mallory.sign(signable(STATE_DOMAIN, bytes))
  expect(await verifyRecord(decodeRecord(bytes, byMallory))).toBe(false)
  const otherDomain = await alice.sign(signable('cloudskin-manifest-v1', bytes))
  expect(await verifyRecord(decodeRecord(bytes, otherDomain))).toBe(false)
  const good = await signed(alice, { name: 'good' })
  const tampered = good.bytes.slice()
  const at = Buffer.from(tampered).indexOf('good')
  tampered[at] = 'f'.charCodeAt(0)
  expect(await verifyRecord(decodeRecord(tampered, good.signature))).toBe(false)
})

test('fields that a later version adds are dropped from the record and kept in the bytes', async () => {
  const signer = await newSigner()
  const bytes = toCbor({ ...recordOf(signer.self), battery: 0.5 })
  const got = decodeRecord(bytes, await signer.sign(signable(STATE_DOMAIN, bytes)))
  expect('battery' in got.record).toBe(false)
  expect(got.bytes).toBe(bytes)
  expect(await verifyRecord(got)).toBe(true)
})

test('what no peer would accept is not encoded', () => {
  const labels = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`label-${i}`, 'x'.repeat(256)]))
  const cells = Array.from({ length: 256 }, (_, i) => ({ id: `${i}`.padStart(64, '0'), phase: 'running' }))
  expect(() => encodeRecord(recordOf('p', { labels, cells }))).toThrow(
    expect.objectContaining({ code: 'STATE_RECORD_INVALID' }),
  )
  expect(() => encodeRecord(recordOf('p', { fuelShare: 1.5 }))).toThrow(
    expect.objectContaining({ code: 'STATE_RECORD_INVALID' }),
  )
})

test('decoding any bytes gives a record or STATE_RECORD_MALFORMED', () => {
  const valid = encodeRecord(recordOf('p'))
  const cut = fc.nat(valid.length - 1).map((length) => valid.slice(0, length))
  const flipped = fc.tuple(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, mask]) => {
    const bytes = valid.slice()
    bytes[at] = (bytes[at] ?? 0) ^ mask
    return bytes
  })
  const long = fc.constant(new Uint8Array(40_000))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), cut, flipped, long), (bytes) => {
      try {
        decodeRecord(bytes, new Uint8Array(64))
      } catch (error) {
        expect(error).toBeInstanceOf(CodedError)
        expect(error).toHaveProperty('code', 'STATE_RECORD_MALFORMED')
      }
    }),
  )
  expect(() => decodeRecord(valid.slice(0, -1), new Uint8Array(64))).toThrow(CodedError)
})
