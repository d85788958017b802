// Who is a member, with which roles, until when: signed by the mesh's owner, or by a member that may invite. Pure.
import { sha256Hex } from '../../core/bytes.ts'
import * as s from '../../core/shape.ts'
import { signable, verifySignature } from '../kit/signing.ts'
import type { PeerKey, Signer } from '../kit/types.ts'
import { type AdmissionErrorCode, admissionError } from './errors.ts'

export const ROLES = ['host', 'submit', 'guardian', 'invite'] as const
export type Role = (typeof ROLES)[number]

/** A certificate outlives a month of holidays and no more; members renew it long before. */
export const MAX_LIFE_MS = 30 * 24 * 3_600_000
/** Owner, a delegate, a delegate's delegate. */
const MAX_CHAIN = 3
/** Clocks of members may differ by this much. */
const SKEW_MS = 5 * 60_000
const DOMAIN = 'cloudskin-certificate-v1'
const MAX_BYTES = 4096

export interface Certificate {
  /** Hash of the owner's public key; see {@link meshIdOf}. */
  readonly mesh: string
  readonly peer: PeerKey
  readonly roles: readonly Role[]
  /** Milliseconds since the Unix epoch. */
  readonly issuedAt: number
  readonly expiresAt: number
  /** The owner key's id, or a member's with the role `invite`, whose own certificate then stands in `chain`. */
  readonly issuer: PeerKey
}

/** As it travels: the signed bytes, the signature, and the issuer's own certificate unless that is the owner. */
export interface SignedCertificate {
  readonly bytes: Uint8Array
  readonly signature: Uint8Array
  readonly chain: readonly { readonly bytes: Uint8Array; readonly signature: Uint8Array }[]
}

const signed = { bytes: s.bytes(MAX_BYTES, 1), signature: s.bytes(64, 64) }

export const signedCertificateShape: s.Shape<SignedCertificate> = s.object({
  ...signed,
  chain: s.list(s.object(signed), MAX_CHAIN),
})

const certificateShape: s.Shape<Certificate> = s.object({
  mesh: s.text(64),
  peer: s.text(128),
  roles: s.list(s.oneOf(...ROLES), ROLES.length),
  issuedAt: s.integer(),
  expiresAt: s.integer(),
  issuer: s.text(128),
})

/** A mesh is named by its owner key: nobody else can sign for it. */
export function meshIdOf(ownerKey: PeerKey): string {
  return sha256Hex(new TextEncoder().encode(`cloudskin-mesh-v1\n${ownerKey}`))
}

export function decodeCertificate(bytes: Uint8Array): Certificate {
  return s.fromCbor<Certificate, AdmissionErrorCode>(bytes, certificateShape, 'CERTIFICATE_MALFORMED')
}

export interface IssueInit {
  readonly mesh: string
  readonly peer: PeerKey
  readonly roles: readonly Role[]
  readonly now: number
  /** @default MAX_LIFE_MS */
  readonly lifeMs?: number
  /** The issuer's own certificate; absent for the owner key. */
  readonly issuerCertificate?: SignedCertificate
}

/** True when one more link below `own` still makes a chain that holds. */
export function mayDelegate(own: SignedCertificate): boolean {
  return own.chain.length + 2 <= MAX_CHAIN
}

/** Signs a certificate. A delegate cannot give roles that it has not, nor a longer life than its own. */
export async function issueCertificate(signer: Signer, init: IssueInit): Promise<SignedCertificate> {
  const own = init.issuerCertificate === undefined ? undefined : decodeCertificate(init.issuerCertificate.bytes)
  const life = Math.min(init.lifeMs ?? MAX_LIFE_MS, MAX_LIFE_MS)
  const certificate: Certificate = {
    mesh: init.mesh,
    peer: init.peer,
    roles: own === undefined ? init.roles : init.roles.filter((role) => own.roles.includes(role)),
    issuedAt: init.now,
    expiresAt: Math.min(init.now + life, own?.expiresAt ?? Number.MAX_SAFE_INTEGER),
    issuer: signer.self,
  }
  const bytes = s.toCbor(certificate)
  const { issuerCertificate: above } = init
  return {
    bytes,
    signature: await signer.sign(signable(DOMAIN, bytes)),
    chain: above === undefined ? [] : [{ bytes: above.bytes, signature: above.signature }, ...above.chain],
  }
}

/**
 * Checks the whole chain up to the owner key and resolves with the certificate.
 * Rejects with `CERTIFICATE_MALFORMED`, `CERTIFICATE_INVALID`, `CERTIFICATE_EXPIRED`, `OTHER_MESH`.
 */
export async function verifyCertificate(
  presented: SignedCertificate,
  expected: { readonly mesh: string; readonly peer: PeerKey },
  now: number,
): Promise<Certificate> {
  const links = [presented, ...presented.chain]
  if (links.length > MAX_CHAIN) throw invalid('the chain is too long')
  const certificates = links.map((link) => decodeCertificate(link.bytes))
  const [leaf] = certificates as [Certificate, ...Certificate[]]
  if (leaf.peer !== expected.peer) throw invalid(`it was issued to ${leaf.peer}, not to ${expected.peer}`)
  for (const [index, link] of links.entries()) {
    const certificate = certificates[index] as Certificate
    checkLink(certificate, certificates[index + 1], expected.mesh, now)
    if (!(await verifySignature(certificate.issuer, signable(DOMAIN, link.bytes), link.signature)))
      throw invalid(`the signature by ${certificate.issuer} is wrong`)
  }
  return leaf
}

function checkLink(certificate: Certificate, above: Certificate | undefined, mesh: string, now: number): void {
  const { issuer, issuedAt, expiresAt, roles } = certificate
  if (certificate.mesh !== mesh) throw admissionError('OTHER_MESH', 'the certificate is of another mesh')
  if (expiresAt - issuedAt > MAX_LIFE_MS) throw invalid('its times are impossible')
  if (issuedAt > now + SKEW_MS) {
    const [begins, here] = [issuedAt, now].map((at) => new Date(at).toISOString())
    throw invalid(`it begins at ${begins}, and the clock here says ${here}; set the clock that is wrong`)
  }
  if (expiresAt < now)
    throw admissionError(
      'CERTIFICATE_EXPIRED',
      `the certificate of ${certificate.peer} ended at ${new Date(expiresAt).toISOString()}`,
    )
  if (above === undefined) {
    if (meshIdOf(issuer) !== mesh) throw invalid(`${issuer} does not own the mesh, and shows no certificate of its own`)
    return
  }
  if (above.peer !== issuer) throw invalid('the chain does not fit together')
  if (!above.roles.includes('invite')) throw invalid(`${issuer} may not invite`)
  if (roles.some((role) => !above.roles.includes(role)) || expiresAt > above.expiresAt)
    throw invalid(`${issuer} gave more than it has`)
}

function invalid(why: string): ReturnType<typeof admissionError> {
  return admissionError('CERTIFICATE_INVALID', `the certificate does not hold: ${why}`)
}
