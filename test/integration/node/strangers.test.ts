// A whole peer of a closed mesh, and somebody who holds the secret of its private network and no certificate.
import type { Connection } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../../core/clock.ts'
import { object, text as textShape, toCbor } from '../../../core/shape.ts'
import { defaults } from '../../../node/config/options.ts'
import type { InviteReply } from '../../../node/control/api.ts'
import { ControlClient } from '../../../node/control/client.ts'
import { loadMembership } from '../../../node/identity.ts'
import { createPeer, type Peer } from '../../../node/peer.ts'
import { readTicket, redeemTicket } from '../../../protocols/admission/index.ts'
import { HELLO } from '../../../protocols/admission/protocol.ts'
import { frameHeader } from '../../../protocols/kit/framing.ts'
import { request } from '../../../protocols/kit/request.ts'
import { OFFER } from '../../../protocols/placement/protocol.ts'
import { eventually } from '../../support/eventually.ts'
import { Bench } from '../network/support.ts'
import { Folders } from './folders.ts'

const bench = new Bench()
const folders = new Folders()
let peer: Peer
beforeAll(async () => {
  const listen = ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws']
  const quiet = { mdns: false, slots: 0, calibrate: false, 'log-level': 'silent' }
  peer = await createPeer({
    home: folders.path('home'),
    options: { ...defaults(), ...quiet, listen },
    clock: systemClock,
  })
  await peer.start()
})
afterAll(async () => {
  await bench.close()
  await peer.stop()
  folders.close()
})

/** Says something on a stream of `id`: true when anything at all is said in return before the stream is over. */
async function isAnswered(connection: Connection, id: string): Promise<boolean> {
  const stream = await connection.newStream(id)
  const answered = await new Promise<boolean>((resolve) => {
    stream.addEventListener('message', () => resolve(true))
    stream.addEventListener('close', () => resolve(false))
    stream.addEventListener('remoteCloseWrite', () => resolve(false))
    const body = toCbor({ kind: 'ping' })
    // With 32 bytes more: libp2p's ping echoes as many.
    const bytes = Uint8Array.from([...frameHeader(body.length), ...body, ...new Uint8Array(32)])
    if (stream.status === 'open') stream.send(bytes)
    else resolve(false)
  })
  stream.abort(new Error('enough'))
  return answered
}

test.each(['tcp', 'ws'])('over %s only identify, hello and join answer a stranger', async (transport) => {
  const membership = await loadMembership(peer.status().home)
  if (membership?.kind !== 'closed') throw new Error('not closed')
  const stranger = await bench.node({ psk: membership.psk })
  const address = peer.status().addresses.find((one) => one.includes('/ws/') === (transport === 'ws'))
  const connection = await stranger.dial(multiaddr(address))
  const protocols = await eventually(async () => {
    const known = await stranger.peerStore.get(connection.remotePeer)
    return known.protocols.length > 0 ? known.protocols : undefined
  })
  expect(protocols.length).toBeGreaterThanOrEqual(14)
  const answering: string[] = []
  for (const id of protocols) if (await isAnswered(connection, id)) answering.push(id)
  expect(answering.sort()).toEqual(['/cloudskin/hello/1.0.0', '/cloudskin/join/1.0.0', '/ipfs/id/1.0.0'])
})

test('a member gets no more than its certificate gives: without the role submit nobody runs its cells', async () => {
  const client = new ControlClient(peer.status().socket)
  const { ticket: text = '' } = await client.call<InviteReply>('/invites', { json: { ttlMs: 60_000, roles: ['host'] } })
  const ticket = await readTicket(text, systemClock.now())
  const joiner = await bench.peer({ psk: ticket.psk })
  await joiner.node.dial(peer.status().addresses.map((one) => multiaddr(one)))
  const certificate = await redeemTicket(joiner.network, ticket, systemClock.now())
  const hello = { mesh: ticket.mesh, agent: 'test', certificate }
  await request(joiner.network, ticket.issuer, HELLO, hello, object({ mesh: textShape(64) }))
  const id = '0'.repeat(64)
  const amounts = { moduleBytes: 1, inputBytes: 0, memoryBytes: 1, diskBytes: 1 }
  const constraints = { labels: {}, notPeers: [] }
  const ask = { cell: id, epoch: 1, owner: joiner.id, module: id, ...amounts, constraints }
  const reply = await request(joiner.network, ticket.issuer, OFFER, ask, object({ code: textShape(64) }))
  expect(reply.code).toBe('NOT_SUBMITTER')
})
