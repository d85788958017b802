// A whole peer, and somebody who says on each of its protocols what no peer of ours would say.
import { createHash } from 'node:crypto'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../../core/clock.ts'
import { systemRandom } from '../../../core/random.ts'
import { defaults } from '../../../node/config/options.ts'
import { ControlClient } from '../../../node/control/client.ts'
import { createPeer, type Peer } from '../../../node/peer.ts'
import { admission } from '../../../protocols/admission/index.ts'
import { frameHeader } from '../../../protocols/kit/framing.ts'
import { Libp2pNetwork } from '../../../protocols/kit/libp2p-network.ts'
import { signerOf } from '../../../protocols/kit/signing.ts'
import { STATE_PROTOCOL } from '../../../protocols/state/index.ts'
import { eventually } from '../../support/eventually.ts'
import { Bench, log } from '../network/support.ts'
import { Folders } from './folders.ts'

const bench = new Bench()
const folders = new Folders()
let peer: Peer
beforeAll(async () => {
  const options = {
    ...defaults(),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    open: true,
    mdns: false,
    slots: 0,
    calibrate: false,
    'log-level': 'silent',
  }
  peer = await createPeer({ home: folders.path('home'), options, clock: systemClock })
  await peer.start()
})
afterAll(async () => {
  await bench.close()
  await peer.stop()
  folders.close()
})

/** A member of the open mesh with a connection to the peer, and what the peer says it speaks. */
async function member() {
  const key = await generateKeyPair('Ed25519')
  const node = await bench.node({ key })
  const tickets = { put: async () => undefined, get: async () => undefined, list: async () => [] }
  const service = admission({
    membership: { kind: 'open' },
    signer: signerOf(key),
    tickets,
    clock: systemClock,
    random: systemRandom,
    log,
    agentVersion: 'test',
    onRenewed: async () => undefined,
  })
  const network = new Libp2pNetwork({ node, gate: service.gate, clock: systemClock, log })
  service.attach(network)
  await service.start()
  await network.start()
  bench.add(() => service.stop())
  bench.add(() => network.stop())
  const target = multiaddr(peer.status().addresses[0])
  const connection = await node.dial(target)
  await service.gate.ensure(peer.status().peer, AbortSignal.timeout(5_000))
  const protocols = await eventually(async () => {
    const known = await node.peerStore.get(connection.remotePeer)
    return known.protocols.length > 0 ? known.protocols.filter((id) => id.startsWith('/cloudskin/')) : undefined
  })
  return { node, network, connection, protocols }
}

/** Says `bytes`, perhaps closes, and waits until the peer has ended the stream or the connection. */
async function say(connection: Connection, id: string, bytes: Uint8Array, close = false): Promise<void> {
  const stream = await connection.newStream(id)
  const over = new Promise((resolve) => {
    stream.addEventListener('close', resolve, { once: true })
    stream.addEventListener('remoteCloseWrite', resolve, { once: true })
  })
  if (stream.status !== 'open') return
  stream.send(bytes)
  if (close) await stream.close()
  await over
  stream.abort(new Error('said'))
}

/** What the peer shows of itself, without what moves by itself. */
async function state(): Promise<unknown> {
  const client = new ControlClient(peer.status().socket)
  const { peers } = await client.call<{ peers: { peer: string; status: string; cells: number }[] }>('/peers')
  const { cells } = await client.call<{ cells: unknown[] }>('/cells')
  return { cells, peers: peers.map(({ peer: id, status, cells: running }) => [id, status, running]) }
}

/** Bytes that look random and are the same every time. */
const noise = (seed: string, length: number): Uint8Array =>
  new Uint8Array(createHash('shake256', { outputLength: length }).update(seed).digest())

const framed = (body: Uint8Array): Uint8Array => Uint8Array.from([...frameHeader(body.length), ...body])

const NONSENSE: Readonly<Record<string, (id: string) => Uint8Array>> = {
  'a length without end': () => new Uint8Array(9).fill(0xff),
  'a message far too long': () => frameHeader(2 ** 34),
  'bytes that are no CBOR': (id) => framed(noise(id, 300)),
  'an empty message': () => framed(new Uint8Array()),
  'CBOR of something else': () => framed(Uint8Array.of(0xa1, 0x61, 0x78, 0x01)),
  'a nest of lists': () => framed(new Uint8Array(5_000).fill(0x81)),
}

describe('a whole peer', () => {
  test('takes no harm from nonsense on any protocol, and cuts off who goes on with it', async () => {
    const honest = await member()
    const before = await state()
    expect(honest.protocols.length).toBeGreaterThanOrEqual(12)
    for (const id of honest.protocols) {
      const attacker = await member()
      for (const [what, make] of Object.entries(NONSENSE)) {
        await say(attacker.connection, id, make(id)).catch((error: unknown) => {
          throw new Error(`${what} on ${id}: ${error}`)
        })
      }
      // In the middle of a message.
      await say(attacker.connection, id, Uint8Array.of(100, 1, 2, 3), true)
      // Two bounds were broken and four messages garbled; four bounds more are too much for anybody.
      for (let n = 0; n < 4; n++) await say(attacker.connection, id, frameHeader(2 ** 34)).catch(() => undefined)
      await eventually(() => attacker.connection.status !== 'open', 5_000)
      await attacker.node.stop()
    }
    expect(await state()).toEqual(before)
    // The honest one is still heard.
    expect(honest.connection.status).toBe('open')
    const stream = await honest.network.open(peer.status().peer, STATE_PROTOCOL)
    stream.abort(new Error('enough'))
  })

  test('cuts off who garbles message after message, on whatever protocol', async () => {
    const { protocols } = await member()
    const unheeded: string[] = []
    for (const id of protocols) {
      const attacker = await member()
      const open = (): boolean => attacker.connection.status === 'open'
      for (let n = 0; n < 12 && open(); n++)
        await say(attacker.connection, id, framed(noise(`${id}${n}`, 300))).catch(() => undefined)
      await eventually(() => !open(), 1_000).catch(() => unheeded.push(id))
      await attacker.node.stop()
    }
    expect(unheeded).toEqual([])
  })

  test('many may come at once from one host', async () => {
    const target = multiaddr(peer.status().addresses[0])
    const nodes = await Promise.all(Array.from({ length: 20 }, () => bench.node()))
    const dialled = await Promise.allSettled(nodes.map((node) => node.dial(target)))
    expect(dialled.filter(({ status }) => status === 'fulfilled')).toHaveLength(20)
    await eventually(() => nodes.every((node) => node.getConnections().length === 1))
  })
})
