// Tickets: short-lived, signed texts by which a device joins. Whoever holds one can use it, so it goes by a private way. Pure.
import { base32 } from 'multiformats/bases/base32'
import { sha256, utf8 } from '../../core/bytes.ts'
import * as s from '../../core/shape.ts'
import { signable, verifySignature } from '../kit/signing.ts'
import type { PeerKey, Signer } from '../kit/types.ts'
import { ROLES, type Role } from './certificate.ts'
import { type AdmissionErrorCode, admissionError } from './errors.ts'

const PREFIX = 'cst1'
const DOMAIN = 'cloudskin-ticket-v1'
/** A host with many interfaces has more addresses than a joiner needs. */
const MAX_ADDRESSES = 16
const MAX_ADDRESS_CHARS = 256
/** Room for that many addresses of that length in base32, and for the rest. */
const MAX_TEXT = 8192

export interface Ticket {
  readonly mesh: string
  /** The pre-shared key of the mesh's private network, 32 bytes. */
  readonly psk: Uint8Array
  readonly issuer: PeerKey
  /** Multiaddrs of the issuer. */
  readonly addresses: readonly string[]
  /** 16 hex digits: names the ticket in lists. */
  readonly id: string
  /** 16 random bytes: what the issuer wants to see. */
  readonly secret: Uint8Array
  readonly roles: readonly Role[]
  readonly expiresAt: number
}

const ticketShape: s.Shape<Ticket> = s.object({
  mesh: s.text(64),
  psk: s.bytes(32, 32),
  issuer: s.text(128),
  addresses: s.list(s.text(MAX_ADDRESS_CHARS), MAX_ADDRESSES),
  id: s.text(16),
  secret: s.bytes(16, 16),
  roles: s.list(s.oneOf(...ROLES), ROLES.length),
  expiresAt: s.integer(),
})

const envelopeShape = s.object({ bytes: s.bytes(MAX_TEXT), signature: s.bytes(64, 64), sum: s.bytes(4, 4) })

/** Of more addresses than a ticket holds, those that work on this host alone are left out first. */
export async function writeTicket(ticket: Ticket, signer: Signer): Promise<string> {
  const fitting = ticket.addresses.filter((address) => address.length <= MAX_ADDRESS_CHARS)
  const bytes = s.toCbor({ ...ticket, addresses: farFirst(fitting).slice(0, MAX_ADDRESSES) })
  const signature = await signer.sign(signable(DOMAIN, bytes))
  return PREFIX + base32.encode(s.toCbor({ bytes, signature, sum: checksum(bytes) })).slice(1)
}

/** Total; rejects with `TICKET_MALFORMED`, `TICKET_FORGED` or, past its end, `TICKET_EXPIRED`. */
export async function readTicket(text: string, now: number): Promise<Ticket> {
  const code: AdmissionErrorCode = 'TICKET_MALFORMED'
  const compact = text.trim()
  if (!compact.startsWith(PREFIX) || compact.length > MAX_TEXT)
    throw admissionError(
      code,
      `this is not a ticket: tickets begin with ${PREFIX}; "cloudskin invite create" makes one`,
    )
  let raw: Uint8Array
  try {
    raw = base32.decode(`b${compact.slice(PREFIX.length)}`)
  } catch {
    throw admissionError(code, 'the ticket has characters that no ticket has; copy it again, whole')
  }
  let envelope: s.Infer<typeof envelopeShape>
  try {
    envelope = s.fromCbor(raw, envelopeShape, code)
  } catch {
    throw admissionError(code, 'the ticket was cut, or never was one; copy it again, whole')
  }
  if (Buffer.compare(envelope.sum, checksum(envelope.bytes)) !== 0)
    throw admissionError(code, 'the ticket was garbled on its way; copy it again, whole')
  const ticket = s.fromCbor(envelope.bytes, ticketShape, code)
  if (!(await verifySignature(ticket.issuer, signable(DOMAIN, envelope.bytes), envelope.signature)))
    throw admissionError('TICKET_FORGED', 'the ticket is not signed by the peer that it names')
  if (ticket.expiresAt < now)
    throw admissionError(
      'TICKET_EXPIRED',
      `the ticket could be used until ${new Date(ticket.expiresAt).toISOString()}; ask for a new one`,
    )
  return ticket
}

export function looksLikeTicket(text: string): boolean {
  return text.trim().startsWith(PREFIX)
}

/** Multiaddrs in the order in which they are worth telling: those that work on this host alone come last. */
export function farFirst(addresses: readonly string[]): string[] {
  const isLoopback = (address: string): boolean => /^\/ip4\/127\.|^\/ip6\/::1\//.test(address)
  return [...addresses.filter((address) => !isLoopback(address)), ...addresses.filter(isLoopback)]
}

/** Tells a garbled ticket from a forged one. */
function checksum(bytes: Uint8Array): Uint8Array {
  return sha256(utf8('ticket'), bytes).slice(0, 4)
}

/** What the issuer keeps of a ticket: never the secret itself. */
export interface TicketRecord {
  readonly id: string
  readonly secretHash: Uint8Array
  readonly roles: readonly Role[]
  readonly createdAt: number
  readonly expiresAt: number
  readonly uses: number
  readonly usedBy: readonly PeerKey[]
  readonly revoked: boolean
}

export const ticketRecordShape: s.Shape<TicketRecord> = s.object({
  id: s.text(16),
  secretHash: s.bytes(32, 32),
  roles: s.list(s.oneOf(...ROLES), ROLES.length),
  createdAt: s.integer(),
  expiresAt: s.integer(),
  uses: s.integer(1, 1000),
  usedBy: s.list(s.text(128), 1000),
  revoked: s.boolean,
})

export function secretHash(secret: Uint8Array): Uint8Array {
  return sha256(utf8('ticket-secret\n'), secret)
}

/**
 * What redeeming makes of the record: the same peer may ask again, since an answer can be lost.
 * Throws `TICKET_UNKNOWN`, `TICKET_REVOKED`, `TICKET_EXPIRED`, `TICKET_USED`.
 */
export function redeem(record: TicketRecord | undefined, secret: Uint8Array, peer: PeerKey, now: number): TicketRecord {
  if (record === undefined || Buffer.compare(record.secretHash, secretHash(secret)) !== 0)
    throw admissionError('TICKET_UNKNOWN', 'this peer has not issued the ticket, or has forgotten it')
  if (record.revoked) throw admissionError('TICKET_REVOKED', `ticket ${record.id} was revoked`)
  if (record.expiresAt < now) throw admissionError('TICKET_EXPIRED', `ticket ${record.id} is past its end`)
  if (record.usedBy.includes(peer)) return record
  if (record.usedBy.length >= record.uses)
    throw admissionError(
      'TICKET_USED',
      `ticket ${record.id} was redeemed ${record.uses === 1 ? 'already' : `${record.uses} times`}`,
    )
  return { ...record, usedBy: [...record.usedBy, peer] }
}

export function stateOf(record: TicketRecord, now: number): 'open' | 'used' | 'expired' | 'revoked' {
  if (record.revoked) return 'revoked'
  if (record.usedBy.length >= record.uses) return 'used'
  return record.expiresAt < now ? 'expired' : 'open'
}
