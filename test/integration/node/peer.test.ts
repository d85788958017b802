// A whole peer by itself: what it is from its first moment on.
import { afterEach, expect, test } from 'vitest'
import { systemClock } from '../../../core/clock.ts'
import { defaults, type Options } from '../../../node/config/options.ts'
import { ControlClient } from '../../../node/control/client.ts'
import { createPeer, type Peer } from '../../../node/peer.ts'
import { Folders } from './folders.ts'

const folders = new Folders()
const running: Peer[] = []
afterEach(async () => {
  for (const peer of running.splice(0)) await peer.stop()
  folders.close()
})

async function up(given: Partial<Options> = {}): Promise<Peer> {
  const quiet = { mdns: false, slots: 0, calibrate: false, 'log-level': 'silent' }
  const options = { ...defaults(), listen: ['/ip4/127.0.0.1/tcp/0'], ...quiet, ...given }
  const peer = await createPeer({ home: folders.path('home'), options, clock: systemClock })
  running.push(peer)
  await peer.start()
  return peer
}

test('the peer that makes a mesh holds its owner key at once: nobody else could renew its certificate', async () => {
  const peer = await up()
  expect(peer.status().mesh.owner).toBe(true)
  await peer.stop()
  await peer.start()
  expect(peer.status().mesh.owner).toBe(true)
})

test('a host with more addresses than a record holds tells the ones that others can reach', async () => {
  const near = Array.from({ length: 20 }, (_, n) => `/ip4/127.0.0.${n + 1}/tcp/4170`)
  const far = Array.from({ length: 10 }, (_, n) => `/ip4/192.0.2.${n + 1}/tcp/4170`)
  const tooLong = `/dns4/${'a'.repeat(300)}/tcp/4170`
  const peer = await up({ announce: [tooLong, ...near, ...far] })
  const client = new ControlClient(peer.status().socket)
  const { peers } = await client.call<{ peers: { addresses: string[] }[] }>('/peers')
  expect(peers[0]?.addresses).toHaveLength(16)
  for (const address of far) expect(peers[0]?.addresses).toContain(`${address}/p2p/${peer.status().peer}`)
})
