import { generateKeyPair } from '@libp2p/crypto/keys'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { CodedError } from '../../../core/errors.ts'
import {
  decodeCertificate,
  issueCertificate,
  MAX_LIFE_MS,
  mayDelegate,
  meshIdOf,
  ROLES,
  type Role,
  type SignedCertificate,
  verifyCertificate,
} from '../../../protocols/admission/certificate.ts'
import { signerOf } from '../../../protocols/kit/signing.ts'
import type { Signer } from '../../../protocols/kit/types.ts'

const NOW = 1_800_000_000_000
const DAY = 24 * 3_600_000
let owner: Signer
let one: Signer
let two: Signer
let three: Signer
let mesh: string

beforeAll(async () => {
  const keys = await Promise.all([0, 1, 2, 3].map(() => generateKeyPair('Ed25519')))
  ;[owner, one, two, three] = keys.map(signerOf) as [Signer, Signer, Signer, Signer]
  mesh = meshIdOf(owner.self)
})

function byOwner(peer: Signer, roles: readonly Role[] = ROLES, now = NOW): Promise<SignedCertificate> {
  return issueCertificate(owner, { mesh, peer: peer.self, roles, now })
}

function by(issuer: Signer, above: SignedCertificate, peer: Signer, roles: readonly Role[] = ROLES, now = NOW) {
  return issueCertificate(issuer, { mesh, peer: peer.self, roles, now, issuerCertificate: above })
}

const check = (certificate: SignedCertificate, peer: Signer, now = NOW) =>
  verifyCertificate(certificate, { mesh, peer: peer.self }, now)

describe('a certificate', () => {
  test('by the owner holds for thirty days and not an instant longer', async () => {
    const certificate = await byOwner(one, ['host', 'submit'])
    expect(await check(certificate, one)).toMatchObject({
      peer: one.self,
      roles: ['host', 'submit'],
      issuer: owner.self,
    })
    await expect(check(certificate, one, NOW + MAX_LIFE_MS)).resolves.toBeDefined()
    await expect(check(certificate, one, NOW + MAX_LIFE_MS + 1)).rejects.toMatchObject({ code: 'CERTIFICATE_EXPIRED' })
  })

  test('of a clock that runs a little ahead holds; one from the future does not', async () => {
    const certificate = await byOwner(one)
    await expect(check(certificate, one, NOW - 4 * 60_000)).resolves.toBeDefined()
    await expect(check(certificate, one, NOW - DAY)).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' })
  })

  test('is for one peer and one mesh', async () => {
    const certificate = await byOwner(one)
    await expect(check(certificate, two)).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' })
    const other = { mesh: meshIdOf(two.self), peer: one.self }
    await expect(verifyCertificate(certificate, other, NOW)).rejects.toMatchObject({ code: 'OTHER_MESH' })
  })

  test('by a delegate holds to a depth of three; deeper it does not, and the delegate knows', async () => {
    const first = await byOwner(one)
    const second = await by(one, first, two)
    const third = await by(two, second, three)
    await expect(check(second, two)).resolves.toBeDefined()
    await expect(check(third, three)).resolves.toBeDefined()
    expect([first, second, third].map(mayDelegate)).toEqual([true, true, false])
    await expect(check(await by(three, third, one), one)).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' })
  })

  test('by a delegate gives no more roles and no longer a life than the delegate has', async () => {
    const first = await issueCertificate(owner, {
      mesh,
      peer: one.self,
      roles: ['host', 'invite'],
      now: NOW,
      lifeMs: DAY,
    })
    const { roles, expiresAt } = await check(await by(one, first, two), two)
    expect(roles).toEqual(['host', 'invite'])
    expect(expiresAt).toBe(NOW + DAY)
  })

  test('from the future says which clocks differ', async () => {
    const certificate = await byOwner(one)
    const early = verifyCertificate(certificate, { mesh, peer: one.self }, NOW - DAY)
    await expect(early).rejects.toMatchObject({
      code: 'CERTIFICATE_INVALID',
      message: expect.stringMatching(/begins at .*Z, and the clock here says .*Z; set the clock/),
    })
  })

  test('falls with any link of its chain', async () => {
    const short = await issueCertificate(owner, { mesh, peer: one.self, roles: ROLES, now: NOW, lifeMs: DAY })
    const long = await byOwner(one)
    const second = await by(one, long, two)
    const patched = { ...second, chain: [{ bytes: short.bytes, signature: short.signature }] }
    await expect(check(patched, two)).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' })
    await expect(check({ ...second, chain: [] }, two)).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' })
    const cuckoo = await byOwner(three)
    await expect(check({ ...second, chain: [cuckoo] }, two)).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' })
  })

  test('by a member without the role "invite", or by a stranger, is nothing', async () => {
    const first = await byOwner(one, ['host', 'submit'])
    await expect(check(await by(one, first, two, ['host']), two)).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' })
    const own = await issueCertificate(two, { mesh, peer: two.self, roles: ROLES, now: NOW })
    await expect(check(own, two)).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' })
  })

  test('with any bit changed is refused with a code', async () => {
    const certificate = await by(one, await byOwner(one), two)
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.integer({ min: 0, max: 7 }),
        fc.constantFrom('bytes', 'signature'),
        async (at, bit, part) => {
          const changed = certificate[part as 'bytes' | 'signature'].slice()
          const index = at % changed.length
          changed[index] = (changed[index] ?? 0) ^ (1 << bit)
          const error: unknown = await check({ ...certificate, [part]: changed }, two).then(
            () => undefined,
            (reason: unknown) => reason,
          )
          expect(error).toBeInstanceOf(CodedError)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('decoding of anything else ends in one code', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeCertificate(bytes)
        } catch (error) {
          expect(error).toMatchObject({ code: 'CERTIFICATE_MALFORMED' })
          return
        }
        throw new Error('random bytes made a certificate')
      }),
    )
  })
})
