// Which mesh this peer belongs to, settled before anything else starts: kept from before, joined by a ticket, made, or open.
import type { Libp2p, Logger, PrivateKey } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import type { Clock } from '../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../core/errors.ts'
import { deadline } from '../core/lifecycle.ts'
import type { Random } from '../core/random.ts'
import {
  type AdmissionErrorCode,
  admissionError,
  looksLikeTicket,
  type Membership,
  readTicket,
  redeemTicket,
  type Ticket,
  verifyCertificate,
} from '../protocols/admission/index.ts'
import { Libp2pNetwork } from '../protocols/kit/libp2p-network.ts'
import { signerOf } from '../protocols/kit/signing.ts'
import type { Options } from './config/options.ts'
import { addressesOf } from './connector.ts'
import type { NodeErrorCode } from './errors.ts'
import { loadMembership, makeMesh, saveMembership } from './identity.ts'

/** All addresses of a ticket, tried together. */
const JOIN_TIMEOUT_MS = 15_000

export interface Plan {
  /** Absent: a ticket has to be redeemed first, over a node on its private network. */
  readonly membership?: Membership
  readonly ticket?: Ticket
  /** Secret of the private network that the node is to be on; absent in an open mesh. */
  readonly psk?: Uint8Array
  readonly bootstrap: readonly string[]
}

/** What to do, from the options and the home. Rejects with `TICKET_*`, `OTHER_MESH`, `JOIN_NEEDS_TICKET`, `ADDRESS_BAD`. */
export async function planMembership(
  home: string,
  options: Options,
  ports: { readonly identity: PrivateKey; readonly clock: Clock; readonly random: Random },
): Promise<Plan> {
  const kept = await loadMembership(home)
  const tickets = options.join.filter(looksLikeTicket)
  const addresses = options.join.filter((text) => !looksLikeTicket(text)).map(checkedAddress)
  if (tickets.length > 1) throw admissionError('TICKET_MALFORMED', 'one ticket at a time: a peer is in one mesh')
  const [text] = tickets
  if (text !== undefined) {
    const now = ports.clock.now()
    const ticket = await readTicket(text, now)
    const holds = kept?.kind === 'closed' && (await stillHolds(kept, ports.identity, now))
    return planTicket(ticket, kept, holds, options, addresses)
  }
  if (options.open) {
    if (kept?.kind === 'closed')
      throw admissionError('OTHER_MESH', `${home} belongs to a closed mesh; use another --home for an open one`)
    const membership: Membership = { kind: 'open' }
    await saveMembership(home, membership)
    return { membership, bootstrap: addresses }
  }
  if (kept?.kind === 'open') return { membership: kept, bootstrap: addresses }
  if (kept !== undefined) return { membership: kept, psk: kept.psk, bootstrap: addresses }
  if (addresses.length > 0)
    throw admissionError(
      'JOIN_NEEDS_TICKET',
      'an address alone admits nobody: ask a member for a ticket ("cloudskin invite create"), or give --open for an open mesh',
    )
  const membership = await makeMesh(home, ports.identity, ports.random.bytes(32), ports.clock.now())
  return { membership, ...(membership.kind === 'closed' ? { psk: membership.psk } : {}), bootstrap: [] }
}

function planTicket(
  ticket: Ticket,
  kept: Membership | undefined,
  holds: boolean,
  options: Options,
  addresses: readonly string[],
): Plan {
  if (options.open) throw admissionError('OTHER_MESH', 'a ticket is for a closed mesh: leave out --open')
  const bootstrap = [...addressesOf(ticket.issuer, ticket.addresses).map(String), ...addresses]
  if (kept === undefined) return { ticket, psk: ticket.psk, bootstrap }
  if (kept.kind === 'open' || kept.mesh !== ticket.mesh)
    throw admissionError('OTHER_MESH', 'this home belongs to another mesh than the ticket; use another --home')
  // A member already: the ticket is left for somebody else, its addresses are as good as any. One that was away for too long
  // joins again.
  return holds ? { membership: kept, psk: kept.psk, bootstrap } : { ticket, psk: ticket.psk, bootstrap }
}

/** False when the kept certificate has ended, or is for another identity than the home's. */
async function stillHolds(
  { mesh, certificate }: Membership & { readonly kind: 'closed' },
  identity: PrivateKey,
  now: number,
): Promise<boolean> {
  try {
    await verifyCertificate(certificate, { mesh, peer: signerOf(identity).self }, now)
    return true
  } catch (error) {
    if (isCoded(error)) return false
    throw error
  }
}

/** Redeems the plan's ticket over `node` and keeps the membership. Rejects with the issuer's `TICKET_*`, or `JOIN_FAILED`. */
export async function join(
  home: string,
  node: Libp2p,
  ticket: Ticket,
  ports: { readonly clock: Clock; readonly log: Logger; readonly signal?: AbortSignal },
): Promise<Membership> {
  const { clock, log } = ports
  const signal = deadline(JOIN_TIMEOUT_MS, ports.signal)
  const gate = { admitted: () => false, ensure: async () => undefined, onChange: () => () => undefined }
  const network = new Libp2pNetwork({ node, gate, clock, log })
  try {
    await node.dial(addressesOf(ticket.issuer, ticket.addresses), { signal })
    const certificate = await redeemTicket(network, ticket, clock.now(), { signal })
    const membership: Membership = { kind: 'closed', mesh: ticket.mesh, psk: ticket.psk, certificate }
    await saveMembership(home, membership)
    return membership
  } catch (error) {
    if (ports.signal?.aborted) throw ports.signal.reason
    const remote = isCoded(error) ? error.facts.remoteCode : undefined
    const code: AdmissionErrorCode =
      typeof remote === 'string' && remote.startsWith('TICKET_') ? (remote as AdmissionErrorCode) : 'JOIN_FAILED'
    throw new CodedError(code, code === 'JOIN_FAILED' ? whyNot(ticket, error) : messageOf(error), { cause: error })
  }
}

function whyNot(ticket: Ticket, error: unknown): string {
  // It answered: where it is was not the trouble.
  if (isCoded(error, 'CERTIFICATE_INVALID')) return `what ${ticket.issuer} gave is of no use here: ${error.message}`
  const tried = ticket.addresses.join(', ')
  return `nobody at ${tried} lets this peer join: ${messageOf(error)}; check that the peer that made the ticket is up and reachable`
}

function checkedAddress(text: string): string {
  try {
    const address = multiaddr(text)
    const last = address.getComponents().at(-1)
    if (last?.name === 'p2p' && last.value !== undefined && peerIdFromString(last.value)) return address.toString()
    throw new Error('it does not end in /p2p/ and a peer id')
  } catch (error) {
    throw new CodedError<NodeErrorCode>(
      'ADDRESS_BAD',
      `"${text}" is neither a ticket nor the multiaddr of a peer, such as /ip4/192.0.2.7/tcp/4170/p2p/12D3Koo…`,
      { cause: error },
    )
  }
}
