// Codes of admission: tickets, certificates, meshes.
import { CodedError, type CodeTable, type Facts } from '../../core/errors.ts'

export type AdmissionErrorCode =
  | 'TICKET_MALFORMED'
  | 'TICKET_FORGED'
  | 'TICKET_EXPIRED'
  | 'TICKET_USED'
  | 'TICKET_REVOKED'
  | 'TICKET_UNKNOWN'
  | 'CERTIFICATE_MALFORMED'
  | 'CERTIFICATE_INVALID'
  | 'CERTIFICATE_EXPIRED'
  | 'OTHER_MESH'
  | 'JOIN_NEEDS_TICKET'
  | 'INVITE_NOT_ALLOWED'
  | 'JOIN_FAILED'

export const ADMISSION_ERRORS: CodeTable<AdmissionErrorCode> = {
  TICKET_MALFORMED: 'The text is not a whole ticket: it was cut, mistyped, or never one.',
  TICKET_FORGED: 'The ticket is not signed by the peer that it names.',
  TICKET_EXPIRED: 'The ticket could be redeemed until a time that is past; ask for a new one.',
  TICKET_USED: 'The ticket was redeemed as often as it may be; ask for a new one.',
  TICKET_REVOKED: 'The ticket was revoked; ask for a new one.',
  TICKET_UNKNOWN: 'The peer that the ticket names has never issued it, or has forgotten it.',
  CERTIFICATE_MALFORMED: 'The bytes are not a membership certificate.',
  CERTIFICATE_INVALID: 'A signature, role or name in the certificate or its chain is wrong.',
  CERTIFICATE_EXPIRED: 'The certificate is past its end; the member must renew it.',
  OTHER_MESH: 'The peers belong to different meshes, or one is open and the other is not.',
  JOIN_NEEDS_TICKET: 'An address is enough only for an open mesh, or for a peer that is a member already.',
  INVITE_NOT_ALLOWED: 'This peer holds neither the owner key nor the role "invite".',
  JOIN_FAILED: 'None of the addresses in the ticket answered as the peer that issued it.',
}

export function admissionError(
  code: AdmissionErrorCode,
  message: string,
  facts: Facts = {},
): CodedError<AdmissionErrorCode> {
  return new CodedError(code, message, { facts })
}
