// What the roles of a certificate allow, asked where cells come in and where they go: nobody's word counts here, only what was shown.
import { CodedError } from '../../core/errors.ts'
import type { Admission, Role } from '../../protocols/admission/index.ts'
import type { PeerKey } from '../../protocols/kit/types.ts'
import type { DestinationPort } from '../../protocols/migration/index.ts'
import type { HostPort, PlacementErrorCode } from '../../protocols/placement/index.ts'
import type { MemberView, MeshView } from '../../protocols/state/index.ts'

type Shown = Pick<Admission, 'gate' | 'roles' | 'rolesOf'>

/** `host`, for peers that may submit, where this peer may host. */
export function hostByRole(host: HostPort, admission: Shown): HostPort {
  const check = (from: PeerKey): void => {
    mustHost(admission)
    mustHave(admission, from, 'submit', 'NOT_SUBMITTER')
  }
  return {
    async consider(ask, from) {
      check(from)
      return host.consider(ask, from)
    },
    async start(order) {
      check(order.from)
      return host.start(order)
    },
    room: () => host.room(),
    epochOf: (cell) => host.epochOf(cell),
    ownerOf: (cell) => host.ownerOf(cell),
    command: (cell, command, init) => host.command(cell, command, init),
  }
}

/** `destination`, for peers that may host, where this peer may. */
export function destinationByRole(destination: DestinationPort, admission: Shown): DestinationPort {
  return {
    async prepare(offer, from, init) {
      mustHost(admission)
      mustHave(admission, from, 'host', 'NOT_HOST')
      return destination.prepare(offer, from, init)
    },
    add: (offer, part) => destination.add(offer, part),
    finish: (offer, context) => destination.finish(offer, context),
    activate: (offer, from, image) => destination.activate(offer, from, image),
    remember: (offer) => destination.remember(offer),
    unload: (offer) => destination.unload(offer),
  }
}

/** `view`, with the roles that a peer has shown in place of those that it claims; of one not met yet, the claim has to do. */
export function viewByRole(view: MeshView, admission: Shown): Pick<MeshView, 'peers'> {
  const shown = (member: MemberView): MemberView => {
    const { peer } = member.record
    if (!member.self && !admission.gate.admitted(peer)) return member
    return { ...member, record: { ...member.record, roles: admission.rolesOf(peer) } }
  }
  return { peers: () => view.peers().map(shown) }
}

function mustHost(admission: Shown): void {
  if (!admission.roles.includes('host')) throw refusal('NOT_HOST', 'this peer has not the role host')
}

function mustHave(admission: Shown, peer: PeerKey, role: Role, code: PlacementErrorCode): void {
  if (admission.rolesOf(peer).includes(role)) return
  throw refusal(code, `${peer} has not the role ${role}: a ticket with it ("cloudskin invite create --role") gives it`)
}

function refusal(code: PlacementErrorCode, message: string): CodedError<PlacementErrorCode> {
  return new CodedError(code, message)
}
