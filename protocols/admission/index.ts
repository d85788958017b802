// Admission: who is a member, and how one becomes a member.
import { AdmissionService } from './service.ts'
import type { Admission, AdmissionInit } from './types.ts'

export {
  issueCertificate,
  meshIdOf,
  ROLES,
  type Role,
  type SignedCertificate,
  signedCertificateShape,
  verifyCertificate,
} from './certificate.ts'
export { ADMISSION_ERRORS, type AdmissionErrorCode, admissionError } from './errors.ts'
export { redeemTicket } from './join.ts'
export {
  farFirst,
  looksLikeTicket,
  readTicket,
  stateOf,
  type Ticket,
  type TicketRecord,
  ticketRecordShape,
} from './ticket.ts'
export type { Admission, AdmissionGate, AdmissionInit, Membership, TicketInit, TicketStore } from './types.ts'

/** An admission service that admits nobody until it is attached and started. */
export function admission(init: AdmissionInit): Admission {
  return new AdmissionService(init)
}
