// The joiner's side: a ticket against a certificate, before it is a member of anything.
import { request } from '../kit/request.ts'
import type { Network } from '../kit/types.ts'
import { type SignedCertificate, verifyCertificate } from './certificate.ts'
import { certificateReplyShape } from './messages.ts'
import { JOIN } from './protocol.ts'
import type { Ticket } from './ticket.ts'

/**
 * Asks the ticket's issuer for a certificate. The network must reach it and be on the ticket's private network.
 * Rejects with `REMOTE_REFUSED` (`facts.remoteCode` is a `TICKET_*`) or the kit's codes.
 */
export async function redeemTicket(
  network: Network,
  ticket: Ticket,
  now: number,
  init: { readonly signal?: AbortSignal } = {},
): Promise<SignedCertificate> {
  const ask = { id: ticket.id, secret: ticket.secret }
  const { certificate } = await request(network, ticket.issuer, JOIN, ask, certificateReplyShape, init)
  await verifyCertificate(certificate, { mesh: ticket.mesh, peer: network.self }, now)
  return certificate
}
