import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerInfo } from '@libp2p/interface'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { expect, test } from 'vitest'
import { Nearby } from '../../../node/nearby.ts'
import { ManualClock } from '../../support/manual-clock.ts'

async function announced(host: number): Promise<PeerInfo> {
  const id = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
  return { id, multiaddrs: [multiaddr(`/ip4/192.0.2.${host}/tcp/4170`)] }
}

/** What is heard on the local network, without one. */
function bench() {
  const clock = new ManualClock()
  const nearby = new Nearby(clock)
  const components = { logger: defaultLogger() } as Parameters<typeof nearby.discovery>[0]
  const service = nearby.discovery(components)
  const hear = (detail: PeerInfo): boolean => service.dispatchEvent(new CustomEvent('peer', { detail }))
  return { clock, nearby, hear }
}

test('a peer that announces itself is to be dialled, while it does and nobody knows more of it', async () => {
  const { clock, nearby, hear } = bench()
  const [one, two] = [await announced(1), await announced(2)]
  hear(one)
  await clock.advance(40_000)
  hear(two)
  const known = [one, two].map(({ id, multiaddrs }) => ({ peer: String(id), addresses: multiaddrs.map(String) }))
  expect(nearby.beside([])).toMatchObject(known)
  expect(nearby.beside([{ peer: String(one.id), addresses: [] }])).toMatchObject(known.slice(1))
  await clock.advance(30_000)
  expect(nearby.beside([])).toMatchObject(known.slice(1))
})

test('an army of names is not dialled as a whole', async () => {
  const { nearby, hear } = bench()
  const last = await announced(1)
  for (let n = 0; n < 80; n++) hear(await announced(2))
  hear(last)
  expect(nearby.beside([])).toHaveLength(64)
  expect(nearby.beside([]).map(({ peer }) => peer)).toContain(String(last.id))
})
