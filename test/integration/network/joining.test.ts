// Joining and coming back, with real homes and real private networks.
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { systemClock } from '../../../core/clock.ts'
import { systemRandom } from '../../../core/random.ts'
import * as s from '../../../core/shape.ts'
import { ticketStoreOn } from '../../../node/adapters/ticket-store.ts'
import { defaults, type Options } from '../../../node/config/options.ts'
import { Home } from '../../../node/home.ts'
import { exportOwner, loadIdentity, loadOwner, saveMembership } from '../../../node/identity.ts'
import type { Node } from '../../../node/libp2p.ts'
import { join, planMembership } from '../../../node/membership.ts'
import {
  type Admission,
  admission,
  type Membership,
  readTicket,
  redeemTicket,
} from '../../../protocols/admission/index.ts'
import { Libp2pNetwork } from '../../../protocols/kit/libp2p-network.ts'
import { request, serve } from '../../../protocols/kit/request.ts'
import { signerOf } from '../../../protocols/kit/signing.ts'
import { eventually } from '../../support/eventually.ts'
import { Bench, log, spec } from './support.ts'

const bench = new Bench()
afterEach(() => bench.close())

interface Member {
  readonly id: string
  readonly home: string
  readonly node: Node
  readonly network: Libp2pNetwork
  readonly admission: Admission
  readonly membership: Membership
  stop(): Promise<void>
  addresses(): string[]
}

async function newHome(): Promise<string> {
  const path = await mkdtemp(joinPath(tmpdir(), 'cloudskin-join-'))
  bench.add(() => rm(path, { recursive: true, force: true }))
  return path
}

async function up(path: string, given: Partial<Options> = {}): Promise<Member> {
  const home = await Home.open(path)
  try {
    return await upIn(home, given)
  } catch (error) {
    await home.close()
    throw error
  }
}

/** The part of a peer that joins: identity, plan, node, ticket, admission, network. */
async function upIn(home: Home, given: Partial<Options>): Promise<Member> {
  const key = await loadIdentity(home.path)
  const ports = { identity: key, clock: systemClock, random: systemRandom }
  const plan = await planMembership(home.path, { ...defaults(), ...given }, ports)
  const node = await bench.node({ key, ...(plan.psk === undefined ? {} : { psk: plan.psk }) })
  const membership =
    plan.membership ?? (plan.ticket && (await join(home.path, node, plan.ticket, { clock: systemClock, log })))
  if (membership === undefined) throw new Error('a plan has a membership or a ticket')
  const owner = await loadOwner(home.path)
  const service = admission({
    membership,
    signer: signerOf(key),
    tickets: ticketStoreOn(home.records('tickets')),
    clock: systemClock,
    random: systemRandom,
    log,
    agentVersion: 'test',
    onRenewed: async (certificate) => {
      if (membership.kind === 'closed') await saveMembership(home.path, { ...membership, certificate })
    },
    ...(owner === undefined ? {} : { owner: signerOf(owner) }),
  })
  const network = new Libp2pNetwork({ node, gate: service.gate, clock: systemClock, log })
  service.attach(network)
  await service.start()
  await network.start()
  const stop = async (): Promise<void> => {
    await network.stop()
    await service.stop()
    await node.stop()
    await home.close()
  }
  bench.add(stop)
  const addresses = (): string[] => node.getMultiaddrs().map(String)
  return { id: signerOf(key).self, home: home.path, node, network, admission: service, membership, stop, addresses }
}

async function ticketOf(member: Member, ttlMs = 60_000): Promise<string> {
  const init = { ttlMs, roles: ['host', 'submit'] as const, addresses: member.addresses() }
  return (await member.admission.createTicket(init)).text
}

const sees = (a: Member, b: Member): boolean => a.network.connected().some(({ peer }) => peer === b.id)

test('with a ticket a peer joins, is admitted by both sides, and does what members do', async () => {
  const first = await up(await newHome())
  const changes: string[] = []
  first.network.onChange((peer, connected) => changes.push(`${peer} ${connected}`))
  const second = await up(await newHome(), { join: [await ticketOf(first)] })
  await eventually(() => sees(first, second) && sees(second, first))
  expect(first.admission.rolesOf(second.id)).toEqual(['host', 'submit'])
  expect(second.admission.rolesOf(first.id)).toContain('invite')
  await first.network.handle(
    spec(),
    serve(s.integer(), async (n) => n + 1),
  )
  expect(await request(second.network, first.id, spec(), 1, s.integer())).toBe(2)
  await second.stop()
  await eventually(() => changes.length === 2)
  expect(changes).toEqual([`${second.id} true`, `${second.id} false`])
})

test('a ticket serves one peer: a second is told that it is used, the first may come again', async () => {
  const first = await up(await newHome())
  const ticket = await ticketOf(first)
  const home = await newHome()
  const second = await up(home, { join: [ticket] })
  await expect(up(await newHome(), { join: [ticket] })).rejects.toMatchObject({ code: 'TICKET_USED' })
  await second.stop()
  await rm(joinPath(home, 'mesh.cbor'))
  const again = await up(home, { join: [ticket] })
  expect(again.id).toBe(second.id)
  await eventually(() => sees(first, again))
})

test('tickets outlive a restart of the peer that issued them, revoked ones too', async () => {
  const home = await newHome()
  const first = await up(home)
  const text = await ticketOf(first)
  const [good, bad] = await Promise.all([text, await ticketOf(first)].map((one) => readTicket(one, systemClock.now())))
  if (good === undefined || bad === undefined) throw new Error('no tickets')
  await first.admission.revokeTicket(bad.id)
  await first.stop()
  await expect(up(await newHome(), { join: [text] })).rejects.toMatchObject({ code: 'JOIN_FAILED' })
  const back = await up(home)
  const joiner = await bench.peer({ psk: good.psk })
  await joiner.node.dial(back.node.getMultiaddrs())
  await expect(redeemTicket(joiner.network, bad, systemClock.now())).rejects.toMatchObject({
    facts: { remoteCode: 'TICKET_REVOKED' },
  })
  await expect(redeemTicket(joiner.network, good, systemClock.now())).resolves.toBeDefined()
})

test('without the secret of the private network nothing answers', async () => {
  const first = await up(await newHome())
  let runs = 0
  await first.network.handle(spec({ access: 'anyone' }), async () => {
    runs++
  })
  for (const psk of [undefined, new Uint8Array(32)]) {
    const stranger = await bench.node(psk === undefined ? {} : { psk })
    await expect(stranger.dial(first.node.getMultiaddrs(), { signal: AbortSignal.timeout(8_000) })).rejects.toThrow()
  }
  expect(runs).toBe(0)
  expect(first.node.getConnections()).toEqual([])
})

test('with the secret and without a certificate, member protocols stay shut', async () => {
  const first = await up(await newHome())
  if (first.membership.kind !== 'closed') throw new Error('not closed')
  let runs = 0
  await first.network.handle(
    spec(),
    serve(s.integer(), async (n) => {
      runs++
      return n
    }),
  )
  const intruder = await bench.peer({ psk: first.membership.psk })
  await intruder.node.dial(first.node.getMultiaddrs())
  await expect(request(intruder.network, first.id, spec(), 1, s.integer())).rejects.toMatchObject({
    code: 'STREAM_RESET',
  })
  expect(runs).toBe(0)
  expect(first.network.connected()).toEqual([])
})

test('a restart keeps identity, mesh and owner key; files are for this user alone', async () => {
  const home = await newHome()
  const before = await up(home)
  const owner = await exportOwner(home)
  await before.stop()
  const after = await up(home)
  expect(after.id).toBe(before.id)
  expect(s.toCbor(after.membership)).toEqual(s.toCbor(before.membership))
  expect(await exportOwner(home)).toBe(owner)
  for (const file of ['identity.key', 'owner.key', 'mesh.cbor', 'lock'])
    expect((await stat(joinPath(home, file))).mode & 0o777, file).toBe(0o600)
  const guest = await up(await newHome(), { join: [await ticketOf(after)] })
  await expect(exportOwner(guest.home)).rejects.toMatchObject({ code: 'OWNER_KEY_MISSING' })
})

test('open meshes take an address; closed ones need a ticket, unless this peer is a member', async () => {
  const open = await up(await newHome(), { open: true })
  const other = await up(await newHome(), { open: true, join: open.addresses() })
  await other.node.dial(open.node.getMultiaddrs())
  await eventually(() => sees(open, other) && sees(other, open))
  await expect(up(await newHome(), { join: open.addresses() })).rejects.toMatchObject({ code: 'JOIN_NEEDS_TICKET' })
  await expect(other.admission.createTicket({ ttlMs: 1, roles: [], addresses: [] })).rejects.toMatchObject({
    code: 'INVITE_NOT_ALLOWED',
  })
  const closed = await up(await newHome())
  await closed.stop()
  await expect(up(closed.home, { open: true })).rejects.toMatchObject({ code: 'OTHER_MESH' })
  const member = await up(closed.home, { join: open.addresses() })
  expect(s.toCbor(member.membership)).toEqual(s.toCbor(closed.membership))
})

test('a ticket of several uses serves as many devices, and a delegate invites on its own', async () => {
  const first = await up(await newHome())
  const init = { ttlMs: 60_000, roles: ['host', 'submit', 'invite'] as const, uses: 2, addresses: first.addresses() }
  const { text } = await first.admission.createTicket(init)
  const delegate = await up(await newHome(), { join: [text] })
  const second = await up(await newHome(), { join: [text] })
  await expect(up(await newHome(), { join: [text] })).rejects.toMatchObject({ code: 'TICKET_USED' })
  expect(delegate.admission.roles).toContain('invite')
  // The first peer is no coordinator: with it gone, the delegate lets one in, and the others take its word.
  await first.stop()
  const invited = await up(await newHome(), { join: [await ticketOf(delegate)] })
  await invited.node.dial(second.node.getMultiaddrs())
  await eventually(() => sees(invited, second) && sees(second, invited))
  expect([...second.admission.rolesOf(invited.id)].sort()).toEqual(['host', 'submit'])
  await expect(ticketOf(invited)).rejects.toMatchObject({ code: 'INVITE_NOT_ALLOWED' })
})
