// The few messages of admission.
import * as s from '../../core/shape.ts'
import { signedCertificateShape } from './certificate.ts'

/** `mesh` is `open` for a peer without admission. `certificate` is absent then. */
export const helloShape = s.object({
  mesh: s.text(64),
  agent: s.text(64),
  certificate: s.optional(signedCertificateShape),
})
export type Hello = s.Infer<typeof helloShape>

export const joinShape = s.object({ id: s.text(16), secret: s.bytes(16, 16) })

export const certificateReplyShape = s.object({ certificate: signedCertificateShape })
