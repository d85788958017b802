import { mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PrivateKey } from '@libp2p/interface'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { seededRandom } from '../../../core/random.ts'
import { toCbor } from '../../../core/shape.ts'
import { defaults, type Options } from '../../../node/config/options.ts'
import {
  exportOwner,
  loadIdentity,
  loadMembership,
  loadOwner,
  makeMesh,
  saveMembership,
} from '../../../node/identity.ts'
import { type Plan, planMembership } from '../../../node/membership.ts'
import { issueCertificate, type Membership } from '../../../protocols/admission/index.ts'
import { writeTicket } from '../../../protocols/admission/ticket.ts'
import { signerOf } from '../../../protocols/kit/signing.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { Folders } from './folders.ts'

const DAY_MS = 86_400_000
const ADDRESS = '/ip4/127.0.0.1/tcp/4170/p2p/12D3KooWGzBikUJ5ihV5xzPXnVBRh5ZXbH5HPRrJW4KdWdvTnz5g'

let folders: Folders
let clock: ManualClock
beforeEach(() => {
  folders = new Folders()
  clock = new ManualClock()
})
afterEach(() => folders.close())

async function homeOf(name: string): Promise<{ path: string; identity: PrivateKey }> {
  const path = folders.path(name)
  await mkdir(path)
  return { path, identity: await loadIdentity(path) }
}

type Closed = Membership & { readonly kind: 'closed' }

/** A mesh made in a home of its own, and a way to write tickets for it. */
async function meshOf(name: string) {
  const maker = await homeOf(name)
  const membership = (await makeMesh(maker.path, maker.identity, new Uint8Array(32).fill(7), clock.now())) as Closed
  const signer = signerOf(maker.identity)
  const ticket = (expiresAt = clock.now() + DAY_MS): Promise<string> =>
    writeTicket(
      {
        mesh: membership.mesh,
        psk: membership.psk,
        issuer: signer.self,
        addresses: ['/ip4/127.0.0.1/tcp/4170'],
        id: 'aaaaaaaaaaaaaaaa',
        secret: new Uint8Array(16),
        roles: ['host'],
        expiresAt,
      },
      signer,
    )
  return { ...maker, membership, ticket }
}

function plan(home: { path: string; identity: PrivateKey }, patch: Partial<Options>): Promise<Plan> {
  const ports = { identity: home.identity, clock, random: seededRandom(1) }
  return planMembership(home.path, { ...defaults(), ...patch }, ports)
}

describe('what is kept', () => {
  test('identity, owner key and membership are the same after a restart, and for this user alone', async () => {
    const { path, identity, membership } = await meshOf('home')
    expect((await loadIdentity(path)).equals(identity)).toBe(true)
    expect(toCbor(await loadMembership(path))).toEqual(toCbor(membership))
    const owner = await loadOwner(path)
    expect(owner && signerOf(owner).self).not.toBe(signerOf(identity).self)
    expect(Buffer.from(await exportOwner(path), 'base64').length).toBeGreaterThan(32)
    for (const file of ['identity.key', 'owner.key', 'mesh.cbor'])
      expect((await stat(join(path, file))).mode & 0o777, file).toBe(0o600)
  })

  test('a mesh that was half made is finished with the same owner', async () => {
    const { path, identity, membership } = await meshOf('home')
    const again = (await makeMesh(path, identity, membership.psk, clock.now())) as Closed
    expect(again.mesh).toBe(membership.mesh)
  })

  test.each(['identity.key', 'owner.key', 'mesh.cbor'])('a damaged %s is named, and not replaced', async (file) => {
    const { path } = await meshOf('home')
    for (const content of ['', 'garbage', Buffer.alloc(40)]) {
      await writeFile(join(path, file), content)
      const load = { 'identity.key': loadIdentity, 'owner.key': loadOwner, 'mesh.cbor': loadMembership }[file]
      await expect(load?.(path)).rejects.toMatchObject({ code: 'HOME_UNREADABLE', facts: { path: join(path, file) } })
      expect((await stat(join(path, file))).size).toBe(content.length)
    }
  })

  test('without an owner key there is none to export', async () => {
    const { path } = await homeOf('home')
    await expect(exportOwner(path)).rejects.toMatchObject({ code: 'OWNER_KEY_MISSING' })
  })

  test('on a full disk nothing half-written is left, and what was there stays', async ({ skip }) => {
    const path = folders.small('full', '64k')
    if (path === undefined) return skip('this user may not mount a small file system')
    await saveMembership(path, { kind: 'open' })
    await writeFile(join(path, 'ballast'), new Uint8Array(64 * 1024)).catch(() => undefined)
    const { membership } = await meshOf('other')
    await expect(saveMembership(path, membership)).rejects.toMatchObject({ code: 'HOME_FULL' })
    expect(await loadMembership(path)).toEqual({ kind: 'open' })
    await expect(stat(join(path, 'mesh.cbor.new'))).rejects.toMatchObject({ code: 'ENOENT' })
  })
})

type Kept = 'none' | 'open' | 'ours' | 'expired' | 'other'
type Given =
  | 'nothing'
  | 'address'
  | 'ticket'
  | 'ticket and address'
  | 'late ticket'
  | 'two tickets'
  | 'garbage'
  | 'cut ticket'

/** Rows of: what the home keeps, what is given, whether --open; and what comes of it. */
const CASES: readonly [Kept, Given, boolean, string][] = [
  ['none', 'nothing', false, 'makes a mesh'],
  ['none', 'nothing', true, 'open'],
  ['none', 'address', false, 'JOIN_NEEDS_TICKET'],
  ['none', 'address', true, 'open'],
  ['none', 'ticket', false, 'redeems'],
  ['none', 'ticket and address', false, 'redeems'],
  ['none', 'ticket', true, 'OTHER_MESH'],
  ['none', 'late ticket', false, 'TICKET_EXPIRED'],
  ['none', 'two tickets', false, 'TICKET_MALFORMED'],
  ['none', 'cut ticket', false, 'TICKET_MALFORMED'],
  ['none', 'garbage', false, 'ADDRESS_BAD'],
  ['none', 'garbage', true, 'ADDRESS_BAD'],
  ['open', 'nothing', false, 'open'],
  ['open', 'nothing', true, 'open'],
  ['open', 'address', false, 'open'],
  ['open', 'ticket', false, 'OTHER_MESH'],
  ['ours', 'nothing', false, 'member'],
  ['ours', 'nothing', true, 'OTHER_MESH'],
  ['ours', 'address', false, 'member'],
  ['ours', 'ticket', false, 'member'],
  ['ours', 'late ticket', false, 'TICKET_EXPIRED'],
  ['ours', 'ticket', true, 'OTHER_MESH'],
  ['expired', 'nothing', false, 'member'],
  ['expired', 'ticket', false, 'redeems'],
  ['other', 'ticket', false, 'OTHER_MESH'],
  ['other', 'address', false, 'member'],
]

describe('the plan', () => {
  test.each(CASES)('kept %s, given %s, --open %s: %s', async (kept, given, open, wanted) => {
    const mesh = await meshOf('mesh')
    const home = await homeOf('home')
    if (kept === 'open') await saveMembership(home.path, { kind: 'open' })
    if (kept === 'other') await saveMembership(home.path, (await meshOf('other')).membership)
    if (kept === 'ours' || kept === 'expired') {
      const owner = await loadOwner(mesh.path)
      if (owner === undefined) throw new Error('no owner')
      const issue = { mesh: mesh.membership.mesh, peer: signerOf(home.identity).self, roles: ['host'] as const }
      const certificate = await issueCertificate(signerOf(owner), { ...issue, now: clock.now(), lifeMs: 10 * DAY_MS })
      await saveMembership(home.path, { ...mesh.membership, certificate })
      if (kept === 'expired') await clock.advance(11 * DAY_MS)
    }
    const ticket = await mesh.ticket()
    const join = {
      nothing: [],
      address: [ADDRESS],
      ticket: [ticket],
      'ticket and address': [ADDRESS, ticket],
      'late ticket': [await mesh.ticket(clock.now() - 1)],
      'two tickets': [ticket, ticket],
      garbage: ['what is this'],
      'cut ticket': [ticket.slice(0, -20)],
    }[given]
    const before = await loadMembership(home.path)
    const made = plan(home, { join, open })
    if (/^[A-Z_]+$/.test(wanted)) {
      await expect(made).rejects.toMatchObject({ code: wanted })
      // A refused start changes nothing.
      expect(await loadMembership(home.path)).toEqual(before)
      return
    }
    const { membership, ticket: redeemed, psk, bootstrap } = await made
    const what =
      membership === undefined ? 'redeems' : membership.kind === 'open' ? 'open' : before ? 'member' : 'makes a mesh'
    expect(what).toBe(wanted)
    expect(redeemed !== undefined).toBe(wanted === 'redeems')
    // On the right private network, or on none; and with every address that was given.
    if (wanted === 'open') expect(psk).toBeUndefined()
    else if (kept !== 'other' && wanted !== 'makes a mesh') expect(psk).toEqual(mesh.membership.psk)
    else expect(psk).toHaveLength(32)
    if (given.includes('address')) expect(bootstrap).toContain(ADDRESS)
    if (given.includes('ticket')) expect(bootstrap.some((one) => one.endsWith(signerOf(mesh.identity).self))).toBe(true)
    if (wanted !== 'redeems') expect(toCbor(await loadMembership(home.path))).toEqual(toCbor(membership))
  })

  test.each([
    '/ip4/127.0.0.1/tcp/4170',
    '/ip4/127.0.0.1/tcp/4170/p2p/nobody',
    `${ADDRESS}/p2p-circuit`,
    'http://example.org',
    '',
  ])('"%s" is no address of a peer', async (text) => {
    await expect(plan(await homeOf('home'), { join: [text], open: true })).rejects.toMatchObject({
      code: 'ADDRESS_BAD',
    })
  })
})
