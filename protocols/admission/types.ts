// What a peer is in its mesh, and what admission needs to keep.
import type { Logger } from '@libp2p/interface'
import type { Clock } from '../../core/clock.ts'
import type { Startable } from '../../core/lifecycle.ts'
import type { Random } from '../../core/random.ts'
import type { Network, PeerKey, Signer } from '../kit/types.ts'
import type { Role, SignedCertificate } from './certificate.ts'
import type { TicketRecord } from './ticket.ts'

/** Membership as it is kept in the home. */
export type Membership =
  | { readonly kind: 'open' }
  | {
      readonly kind: 'closed'
      readonly mesh: string
      /** Secret of the private network, 32 bytes. */
      readonly psk: Uint8Array
      readonly certificate: SignedCertificate
    }

/** Keeps tickets; `put` is durable when it resolves. */
export interface TicketStore {
  put(record: TicketRecord): Promise<void>
  get(id: string): Promise<TicketRecord | undefined>
  list(): Promise<readonly TicketRecord[]>
}

export interface TicketInit {
  readonly ttlMs: number
  readonly roles: readonly Role[]
  /** Devices that may use it. @default 1 */
  readonly uses?: number
  readonly addresses: readonly string[]
}

export interface Admission extends Startable {
  /** Given to the network before it starts. */
  readonly gate: AdmissionGate
  /** Serves on `network`; before `start`. */
  attach(network: Network): void
  readonly roles: readonly Role[]
  /** Roles that an admitted peer has shown; everything in an open mesh. */
  rolesOf(peer: PeerKey): readonly Role[]
  createTicket(init: TicketInit): Promise<{ readonly text: string; readonly record: TicketRecord }>
  listTickets(): Promise<readonly TicketRecord[]>
  /** Rejects with `TICKET_UNKNOWN`. What was redeemed already stays so. */
  revokeTicket(id: string): Promise<TicketRecord>
}

/** Same shape as the network's gate. */
export interface AdmissionGate {
  admitted(peer: PeerKey): boolean
  ensure(peer: PeerKey, signal: AbortSignal): Promise<void>
  onChange(listener: (peer: PeerKey) => void): () => void
}

export interface AdmissionInit {
  readonly membership: Membership
  readonly signer: Signer
  /** The mesh's owner key, where this peer holds it. */
  readonly owner?: Signer
  readonly tickets: TicketStore
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly agentVersion: string
  /** A renewed certificate, to be kept. */
  readonly onRenewed: (certificate: SignedCertificate) => Promise<void>
}
