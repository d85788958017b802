import { generateKeyPair } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { afterEach, describe, expect, test } from 'vitest'
import { systemRandom } from '../../../core/random.ts'
import {
  issueCertificate,
  meshIdOf,
  ROLES,
  type Role,
  type SignedCertificate,
} from '../../../protocols/admission/certificate.ts'
import {
  admission,
  readTicket,
  redeemTicket,
  type TicketRecord,
  type TicketStore,
} from '../../../protocols/admission/index.ts'
import { RENEW } from '../../../protocols/admission/protocol.ts'
import type { Admission, AdmissionInit, Membership } from '../../../protocols/admission/types.ts'
import { MemoryMesh, type MemoryNetwork } from '../../../protocols/kit/memory-network.ts'
import { serve } from '../../../protocols/kit/request.ts'
import { signerOf } from '../../../protocols/kit/signing.ts'
import type { Signer } from '../../../protocols/kit/types.ts'
import { eventually } from '../../support/eventually.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const DAY = 24 * 3_600_000
const log = defaultLogger().forComponent('test:admission')
const undo: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const step of undo.splice(0)) await step()
})

/** Keeps tickets in memory; `put` takes a turn of the event loop, as a disk does. */
function memoryTickets(): TicketStore & { readonly records: Map<string, TicketRecord>; fail: boolean } {
  const records = new Map<string, TicketRecord>()
  return {
    records,
    fail: false,
    async put(record) {
      await new Promise((resolve) => setImmediate(resolve))
      if (this.fail) throw new Error('disk full')
      records.set(record.id, record)
    },
    async get(id) {
      await new Promise((resolve) => setImmediate(resolve))
      return records.get(id)
    },
    list: async () => [...records.values()],
  }
}

interface Peer {
  readonly signer: Signer
  readonly service: Admission
  readonly network: MemoryNetwork
  readonly tickets: ReturnType<typeof memoryTickets>
  readonly renewed: SignedCertificate[]
}

class World {
  readonly clock = new ManualClock()
  readonly mesh = new MemoryMesh()
  readonly owner: Signer
  readonly id: string

  constructor(owner: Signer) {
    this.owner = owner
    this.id = meshIdOf(owner.self)
  }

  static async make(): Promise<World> {
    return new World(signerOf(await generateKeyPair('Ed25519')))
  }

  async member(init: { roles?: readonly Role[]; owner?: boolean; by?: Peer; lifeMs?: number } = {}): Promise<Peer> {
    const signer = signerOf(await generateKeyPair('Ed25519'))
    const { roles = ROLES, by, lifeMs } = init
    const certificate = await issueCertificate(by?.signer ?? this.owner, {
      mesh: this.id,
      peer: signer.self,
      roles,
      now: this.clock.now(),
      ...(lifeMs === undefined ? {} : { lifeMs }),
      ...(by === undefined ? {} : { issuerCertificate: this.certificateOf(by) }),
    })
    return this.start(
      signer,
      { kind: 'closed', mesh: this.id, psk: new Uint8Array(32), certificate },
      init.owner === true,
    )
  }

  certificateOf(peer: Peer): SignedCertificate {
    const membership = memberships.get(peer.signer.self)
    if (membership?.kind !== 'closed') throw new Error('no certificate')
    return membership.certificate
  }

  async start(signer: Signer, membership: Membership, owner = false): Promise<Peer> {
    memberships.set(signer.self, membership)
    const tickets = memoryTickets()
    const renewed: SignedCertificate[] = []
    const init: AdmissionInit = {
      membership,
      signer,
      tickets,
      clock: this.clock,
      random: systemRandom,
      log,
      agentVersion: 'test',
      onRenewed: async (certificate) => {
        renewed.push(certificate)
      },
      ...(owner ? { owner: this.owner } : {}),
    }
    const service = admission(init)
    const network = this.mesh.join(signer.self)
    service.attach(network)
    await service.start()
    undo.push(() => service.stop())
    return { signer, service, network, tickets, renewed }
  }

  /** A peer that is on the network and a member of nothing. */
  async stranger(): Promise<MemoryNetwork> {
    return this.mesh.join(signerOf(await generateKeyPair('Ed25519')).self)
  }
}
const unknownShape = (value: unknown): unknown => value
const memberships = new Map<string, Membership>()
const meet = (a: Peer, b: Peer): Promise<void> => a.service.gate.ensure(b.signer.self, AbortSignal.timeout(5_000))
const ask = { ttlMs: DAY, roles: ['host', 'submit'] as const, addresses: [] }

describe('hello', () => {
  test('admits both sides at once, with their roles, until the certificate ends', async () => {
    const world = await World.make()
    const [a, b] = [await world.member({ roles: ['submit'] }), await world.member({ roles: ['host'], lifeMs: DAY })]
    expect(b.service.gate.admitted(a.signer.self)).toBe(false)
    await meet(a, b)
    expect([a.service.gate.admitted(b.signer.self), b.service.gate.admitted(a.signer.self)]).toEqual([true, true])
    expect(a.service.rolesOf(b.signer.self)).toEqual(['host'])
    await world.clock.advance(DAY + 1)
    expect(a.service.gate.admitted(b.signer.self)).toBe(false)
    await expect(meet(a, b)).rejects.toMatchObject({ code: 'NOT_ADMITTED', facts: { cause: 'CERTIFICATE_EXPIRED' } })
  })

  test('between open and closed, or two meshes, is refused with the reason', async () => {
    const world = await World.make()
    const [open, other] = [await generateKeyPair('Ed25519'), await World.make()]
    const closed = await world.member()
    const openPeer = await world.start(signerOf(open), { kind: 'open' })
    const key = signerOf(await generateKeyPair('Ed25519'))
    const certificate = await issueCertificate(other.owner, {
      mesh: other.id,
      peer: key.self,
      roles: ROLES,
      now: world.clock.now(),
    })
    const foreign = await world.start(key, { kind: 'closed', mesh: other.id, psk: new Uint8Array(32), certificate })
    for (const [a, b] of [
      [closed, openPeer],
      [openPeer, closed],
      [closed, foreign],
    ] as const) {
      const error: unknown = await meet(a, b).catch((reason: unknown) => reason)
      expect(error).toMatchObject({ code: 'NOT_ADMITTED', message: expect.stringContaining('is in mesh') })
      expect(a.service.gate.admitted(b.signer.self)).toBe(false)
      expect(b.service.gate.admitted(a.signer.self)).toBe(false)
    }
  })

  test("one caller's hurry does not spoil it for the others", async () => {
    const world = await World.make()
    const [a, b] = [await world.member(), await world.member()]
    const hurried = a.service.gate.ensure(b.signer.self, AbortSignal.abort(new Error('in a hurry')))
    const patient = meet(a, b)
    await expect(hurried).rejects.toThrow('in a hurry')
    await expect(patient).resolves.toBeUndefined()
  })
})

describe('a ticket', () => {
  test('is redeemed once, durably before the answer, and again by the same peer', async () => {
    const world = await World.make()
    const issuer = await world.member({ owner: true })
    const { text, record } = await issuer.service.createTicket(ask)
    const ticket = await readTicket(text, world.clock.now())
    const joiner = await world.stranger()
    const first = await redeemTicket(joiner, ticket, world.clock.now())
    expect(issuer.tickets.records.get(record.id)?.usedBy).toEqual([joiner.self])
    const again = await redeemTicket(joiner, ticket, world.clock.now())
    expect(again.bytes).toEqual(first.bytes)
    await expect(redeemTicket(await world.stranger(), ticket, world.clock.now())).rejects.toMatchObject({
      code: 'REMOTE_REFUSED',
      facts: { remoteCode: 'TICKET_USED' },
    })
  })

  test('that two redeem at the same moment makes one member', async () => {
    const world = await World.make()
    const issuer = await world.member({ owner: true })
    const ticket = await readTicket((await issuer.service.createTicket(ask)).text, world.clock.now())
    const joiners = await Promise.all([1, 2, 3, 4].map(() => world.stranger()))
    const all = await Promise.allSettled(joiners.map((joiner) => redeemTicket(joiner, ticket, world.clock.now())))
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  })

  test('that cannot be written down gives nothing away, and is not lost', async () => {
    const world = await World.make()
    const issuer = await world.member({ owner: true })
    const ticket = await readTicket((await issuer.service.createTicket(ask)).text, world.clock.now())
    const joiner = await world.stranger()
    issuer.tickets.fail = true
    await expect(redeemTicket(joiner, ticket, world.clock.now())).rejects.toMatchObject({ code: 'REMOTE_FAILED' })
    issuer.tickets.fail = false
    await expect(redeemTicket(await world.stranger(), ticket, world.clock.now())).resolves.toBeDefined()
  })

  test('that is revoked is refused; one that was never issued is unknown', async () => {
    const world = await World.make()
    const issuer = await world.member({ owner: true })
    const { text, record } = await issuer.service.createTicket(ask)
    const ticket = await readTicket(text, world.clock.now())
    await issuer.service.revokeTicket(record.id)
    const joiner = await world.stranger()
    await expect(redeemTicket(joiner, ticket, world.clock.now())).rejects.toMatchObject({
      facts: { remoteCode: 'TICKET_REVOKED' },
    })
    await expect(redeemTicket(joiner, { ...ticket, id: 'f'.repeat(16) }, world.clock.now())).rejects.toMatchObject({
      facts: { remoteCode: 'TICKET_UNKNOWN' },
    })
    await expect(issuer.service.revokeTicket('nope')).rejects.toMatchObject({ code: 'TICKET_UNKNOWN' })
  })

  test('by a delegate is as good as the owner’s, and only for roles that the delegate has', async () => {
    const world = await World.make()
    const delegate = await world.member({ roles: ['host', 'submit', 'invite'] })
    const ticket = await readTicket((await delegate.service.createTicket(ask)).text, world.clock.now())
    await expect(redeemTicket(await world.stranger(), ticket, world.clock.now())).resolves.toBeDefined()
    const greedy = { ...ask, roles: ['guardian'] as const }
    await expect(delegate.service.createTicket(greedy)).rejects.toMatchObject({ code: 'INVITE_NOT_ALLOWED' })
  })

  test('cannot be made without the role, too deep in the chain, or in an open mesh', async () => {
    const world = await World.make()
    const plain = await world.member({ roles: ['host', 'submit'] })
    const first = await world.member()
    const third = await world.member({ by: await world.member({ by: first }) })
    const open = await world.start(signerOf(await generateKeyPair('Ed25519')), { kind: 'open' })
    for (const { service } of [plain, third, open])
      await expect(service.createTicket(ask)).rejects.toMatchObject({ code: 'INVITE_NOT_ALLOWED' })
  })
})

describe('renewal', () => {
  test('comes in the last third, from whoever may, and the others see it before the old one ends', async () => {
    const world = await World.make()
    const [owner, member] = [await world.member({ owner: true }), await world.member({ roles: ['host'] })]
    await meet(owner, member)
    await world.clock.advance(19 * DAY)
    expect(member.renewed).toEqual([])
    await world.clock.advance(2 * DAY)
    await eventually(() => member.renewed.length === 1 && owner.renewed.length === 1)
    await world.clock.advance(9 * DAY)
    expect(member.service.gate.admitted(owner.signer.self)).toBe(true)
    expect(owner.service.gate.admitted(member.signer.self)).toBe(true)
    expect(owner.service.rolesOf(member.signer.self)).toEqual(['host'])
  })

  test('takes no certificate that gives less: a delegate may not renew what it has not', async () => {
    const world = await World.make()
    const delegate = await world.member({ roles: ['host', 'invite'], lifeMs: 25 * DAY })
    const member = await world.member({ roles: ['host', 'guardian'], lifeMs: 24 * DAY })
    await meet(delegate, member)
    await world.clock.advance(20 * DAY)
    expect(member.renewed).toEqual([])
    expect(member.service.roles).toEqual(['host', 'guardian'])
  })

  test('takes nothing that costs a role, whoever signed it', async () => {
    const world = await World.make()
    const [evil, member] = [await world.member(), await world.member({ roles: ['host', 'submit'], lifeMs: 24 * DAY })]
    await meet(evil, member)
    const issuerCertificate = world.certificateOf(evil)
    await evil.network.handle(
      RENEW,
      serve(unknownShape, async (_, { peer }) => {
        const init = { mesh: world.id, peer, roles: ['host'] as const, now: world.clock.now(), issuerCertificate }
        return { certificate: await issueCertificate(evil.signer, init) }
      }),
    )
    await world.clock.advance(20 * DAY)
    expect(member.renewed).toEqual([])
    expect(member.service.roles).toEqual(['host', 'submit'])
  })
})
