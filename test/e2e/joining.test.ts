// Who gets in, who does not, and what they are told.
import { mkdir, stat } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { InviteReply } from '../../node/control/api.ts'
import { ProcessMesh, type ProcessPeer } from '../../testnet/processes/mesh.ts'
import { until } from '../../testnet/processes/until.ts'
import { again, allAlive, at, cli, expectWell, meshOf, QUICK } from './fixture.ts'

let mesh: ProcessMesh
let peers: ProcessPeer[]
let here: ProcessPeer

beforeAll(async () => {
  mesh = await ProcessMesh.create()
  peers = await meshOf(mesh, ['alder', 'beech'])
  here = peers[0] as ProcessPeer
})

afterAll(() => mesh?.stop())

let homes = 0

/** `cloudskin up` on a new home that is expected to fail; resolves with its exit code and error line. */
async function refused(...flags: readonly string[]): Promise<{ code: number | null; stderr: string }> {
  const home = join(mesh.folder, `refused-${homes++}`)
  const { code, stdout, stderr } = await cli([
    'up',
    '--home',
    home,
    '--listen',
    '/ip4/127.0.0.1/tcp/0',
    '--no-mdns',
    ...QUICK,
    ...flags,
  ])
  expect(stdout).toBe('')
  return { code, stderr }
}

async function invite(ttlMs = 60_000): Promise<InviteReply & { ticket: string }> {
  const reply = await here.client.call<InviteReply>('/invites', { json: { ttlMs } })
  return { ...reply, ticket: reply.ticket ?? '' }
}

describe('a ticket', () => {
  it('that is garbage, cut or changed is refused before anybody is asked', async () => {
    const { ticket } = await invite()
    const middle = Math.trunc(ticket.length / 2)
    const changed = ticket.slice(0, middle) + (ticket[middle] === 'a' ? 'b' : 'a') + ticket.slice(middle + 1)
    for (const text of ['cst1', 'cst1rubbish!', ticket.slice(0, -9), changed]) {
      const { code, stderr } = await refused('--join', text)
      expect(code).toBe(1)
      expect(stderr).toMatch(/\[TICKET_(MALFORMED|FORGED)\]/)
    }
    const { code, stderr } = await refused('--join', 'garbage')
    expect(code).toBe(1)
    expect(stderr).toContain('[ADDRESS_BAD]')
  })

  it('works once', async () => {
    const { ticket, id } = await invite()
    const cedar = await mesh.start({ name: 'cedar', flags: [...QUICK, '--join', ticket] })
    expect(await refused('--join', ticket)).toMatchObject({ code: 1, stderr: expect.stringContaining('[TICKET_USED]') })
    const { stdout } = await cli(at(here, 'invite', 'list', '-o', 'json'))
    const listed = (JSON.parse(stdout) as { invites: InviteReply[] }).invites.find((one) => one.id === id)
    expect(listed).toMatchObject({ state: 'used', usedBy: cedar.peer })
    expect(listed).not.toHaveProperty('ticket')
    await mesh.down(cedar)
  })

  it('that was revoked, or whose time is over, is refused', async () => {
    const revoked = await invite()
    expect((await cli(at(here, 'invite', 'revoke', revoked.id))).code).toBe(0)
    expect((await refused('--join', revoked.ticket)).stderr).toContain('[TICKET_REVOKED]')
    const short = await invite(1000)
    await until('the ticket has expired', async () =>
      (await here.client.call<{ invites: InviteReply[] }>('/invites')).invites.some(
        (one) => one.id === short.id && one.state === 'expired',
      ),
    )
    expect((await refused('--join', short.ticket)).stderr).toContain('[TICKET_EXPIRED]')
    expect((await cli(at(here, 'invite', 'revoke', 'no-such-ticket'))).code).toBe(4)
  })

  it('whose issuer is gone names the addresses that were tried', async () => {
    const other = await mesh.start({ name: 'gone', flags: [...QUICK] })
    const ticket = await mesh.ticket(other)
    await mesh.kill(other)
    const { code, stderr } = await refused('--join', ticket)
    expect(code).toBe(1)
    expect(stderr).toContain('[JOIN_FAILED]')
    expect(stderr).toContain('/ip4/127.0.0.1/tcp/')
  })

  it('cannot be made by a peer that may not invite', async () => {
    const [, beech] = peers as [ProcessPeer, ProcessPeer]
    const { code, stderr } = await cli(at(beech, 'invite', 'create'))
    expect(code).toBe(1)
    expect(stderr).toContain('[INVITE_NOT_ALLOWED]')
    expect((await cli(at(beech, 'owner', 'export'))).stderr).toContain('[OWNER_KEY_MISSING]')
    expect((await cli(at(here, 'owner', 'export'))).code).toBe(0)
  })
})

describe('an address', () => {
  it('admits nobody to a closed mesh', async () => {
    const { code, stderr } = await refused('--join', here.status.addresses[0] ?? '')
    expect(code).toBe(1)
    expect(stderr).toContain('[JOIN_NEEDS_TICKET]')
  })

  it('that answers nothing, or something else, leaves an open peer alone and well', async () => {
    const sockets = new Set<Socket>()
    const silent = createServer((socket) => sockets.add(socket.on('error', () => undefined)))
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const { port } = silent.address() as { port: number }
    const flags = [
      `/ip4/127.0.0.1/tcp/1/p2p/${here.peer}`,
      `/ip4/127.0.0.1/tcp/${port}/p2p/${here.peer}`,
      here.status.addresses[0] ?? '',
    ].flatMap((address) => ['--join', address])
    const open = await mesh.start({ name: 'open', flags: [...QUICK, '--open', ...flags] })
    await expectWell([open])
    expect((await cli(at(open, 'peers', '-o', 'json'))).stdout).not.toContain(here.peer)
    await mesh.down(open)
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => silent.close(resolve))
    await expectWell(peers)
  })

  it('joins two open peers', async () => {
    const one = await mesh.start({ name: 'open-1', flags: [...QUICK, '--open'] })
    const two = await mesh.start({
      name: 'open-2',
      flags: [...QUICK, '--open', '--join', one.status.addresses[0] ?? ''],
    })
    await allAlive([one, two])
    await mesh.down(two)
    await mesh.down(one)
  })
})

describe('a home', () => {
  it('has one peer at a time', async () => {
    const { code, stderr } = await cli(at(here, 'up', ...QUICK))
    expect(code).toBe(1)
    expect(stderr).toContain('[HOME_LOCKED]')
    await expectWell(peers)
  })

  it('belongs to one mesh', async () => {
    const other = await mesh.start({ name: 'other', flags: [...QUICK] })
    const { ticket } = await invite()
    await mesh.down(other)
    const joining = await cli(at(other, 'up', ...QUICK, '--join', ticket))
    expect(joining).toMatchObject({ code: 1, stderr: expect.stringContaining('[OTHER_MESH]') })
    const opening = await cli(at(other, 'up', ...QUICK, '--open'))
    expect(opening).toMatchObject({ code: 1, stderr: expect.stringContaining('[OTHER_MESH]') })
  })

  it('that cannot be a folder is refused', async () => {
    const { code, stderr } = await cli(['up', '--home', '/dev/null/home', ...QUICK])
    expect(code).toBe(1)
    expect(stderr).toContain('[HOME_UNREADABLE]')
  })

  it('lets only its owner speak to the peer', async () => {
    expect((await stat(here.status.socket)).mode & 0o777).toBe(0o600)
    expect((await stat(here.home)).mode & 0o077).toBe(0)
    expect((await stat(join(here.home, 'identity.key'))).mode & 0o077).toBe(0)
  })

  it('brings its peer back as the same, however it ended', async () => {
    const before = peers[1] as ProcessPeer
    for (const end of [mesh.kill.bind(mesh), mesh.down.bind(mesh)]) {
      const old = peers[1] as ProcessPeer
      await end(old)
      const back = await mesh.start({ name: old.name, home: old.home, flags: again(here) })
      expect(back.peer).toBe(before.peer)
      peers[1] = back
      await expectWell(peers)
    }
  })

  it('is made where it is missing, and a second try after a refused one starts clean', async () => {
    const home = join(mesh.folder, 'deep', 'er')
    await mkdir(join(mesh.folder, 'deep'))
    const base = ['up', '--home', home, '--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', ...QUICK]
    expect((await cli([...base, '--join', 'cst1rubbish'])).code).toBe(1)
    const { ticket } = await invite()
    const peer = await mesh.start({ name: 'second-try', home, flags: [...QUICK, '--join', ticket] })
    await allAlive([here, peer])
    await mesh.down(peer)
  })
})
