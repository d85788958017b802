import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { afterEach, expect, test } from 'vitest'
import { systemClock } from '../../../core/clock.ts'
import { systemRandom } from '../../../core/random.ts'
import * as s from '../../../core/shape.ts'
import { Connector, type KnownPeer } from '../../../node/connector.ts'
import { createNode, type Node, roundTripsOf } from '../../../node/libp2p.ts'
import { Libp2pNetwork } from '../../../protocols/kit/libp2p-network.ts'
import { request, serve } from '../../../protocols/kit/request.ts'
import { eventually } from '../../support/eventually.ts'
import { Bench, log, openGate, spec } from '../network/support.ts'

const bench = new Bench()
afterEach(() => bench.close())

async function connecting(node: Node, known: () => readonly KnownPeer[]): Promise<Connector> {
  const connector = new Connector({ node, known, clock: systemClock, random: systemRandom, log })
  await connector.start()
  bench.add(() => connector.stop())
  return connector
}

async function nodeAt(key: PrivateKey, listen: string): Promise<Node> {
  return createNode({ key, listen: [listen], announce: [], bootstrap: [] })
}

const knownOf = (node: Node): KnownPeer => ({
  peer: node.peerId.toString(),
  addresses: node.getMultiaddrs().map(String),
})

test('a peer that restarts at the same address is connected again', async () => {
  const key = await generateKeyPair('Ed25519')
  const first = await nodeAt(key, '/ip4/127.0.0.1/tcp/0')
  const [address] = first.getMultiaddrs()
  const known = knownOf(first)
  const node = await bench.node()
  await connecting(node, () => [known])
  await eventually(() => node.getConnections(first.peerId).length > 0)
  await first.stop()
  await eventually(() => node.getConnections(first.peerId).length === 0)
  const second = await nodeAt(key, String(address).replace(/\/p2p\/.*/, ''))
  bench.add(async () => second.stop())
  await eventually(() => node.getConnections(second.peerId).some(({ status }) => status === 'open'), 20_000)
})

test('a member that is not connected can be asked all the same', async () => {
  const [a, b] = [await bench.peer(), await bench.peer()]
  await b.network.handle(
    spec(),
    serve(s.integer(), async (n) => n + 1),
  )
  await expect(request(a.network, b.id, spec(), 1, s.integer())).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
  const known = { peer: b.id, addresses: b.node.getMultiaddrs().map(String) }
  const connector = await connecting(a.node, () => [known])
  await eventually(() => a.node.peerStore.has(b.node.peerId))
  // It does not dial by itself any more.
  await connector.stop()
  await a.node.hangUp(b.node.peerId)
  expect(await request(a.network, b.id, spec(), 1, s.integer())).toBe(2)
})

test('whoever the mesh tells of is reached at once, and found again once libp2p has forgotten where', async () => {
  const b = await bench.node()
  let addresses: readonly string[] = []
  const a = await bench.node({ whereIs: (peer) => (peer === b.peerId.toString() ? addresses : []) })
  await expect(a.dial(b.peerId)).rejects.toThrow('no valid addresses')
  addresses = b.getMultiaddrs().map(String)
  expect((await a.dial(b.peerId)).remotePeer.equals(b.peerId)).toBe(true)
  await a.hangUp(b.peerId)
  await a.peerStore.delete(b.peerId)
  expect((await a.dial(b.peerId)).status).toBe('open')
})

test('a round trip is known soon after connecting', async () => {
  const [a, b] = [await bench.node(), await bench.node()]
  const network = new Libp2pNetwork({ node: a, gate: openGate, clock: systemClock, log, measure: roundTripsOf(a) })
  await network.start()
  bench.add(() => network.stop())
  await a.dial(b.getMultiaddrs())
  const seen = await eventually(() => network.connected().find(({ rttMs }) => rttMs !== undefined), 5_000)
  expect(seen.peer).toBe(b.peerId.toString())
  expect(seen.rttMs).toBeGreaterThanOrEqual(0)
})
