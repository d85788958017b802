import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerInfo } from '@libp2p/interface'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { expect, test } from 'vitest'
import type { KnownPeer } from '../../../node/connector.ts'
import { Nearby } from '../../../node/nearby.ts'
import { ManualClock } from '../../support/manual-clock.ts'

async function announced(...hosts: number[]): Promise<PeerInfo> {
  const id = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
  return { id, multiaddrs: hosts.map((host) => multiaddr(`/ip4/192.0.2.${host}/tcp/4170`)) }
}
const at = ({ id }: PeerInfo, ...hosts: number[]): KnownPeer => ({
  peer: String(id),
  addresses: hosts.map((host) => `/ip4/192.0.2.${host}/tcp/4170/p2p/${id}`),
})

/** What is heard on the local network, without one. */
function bench() {
  const clock = new ManualClock()
  const nearby = new Nearby(clock)
  const components = { logger: defaultLogger() } as Parameters<typeof nearby.discovery>[0]
  const service = nearby.discovery(components)
  const hear = (detail: PeerInfo): boolean => service.dispatchEvent(new CustomEvent('peer', { detail }))
  return { clock, nearby, hear }
}

test('a peer that announces itself is to be dialled while it does', async () => {
  const { clock, nearby, hear } = bench()
  const [one, two] = [await announced(1), await announced(2)]
  hear(one)
  await clock.advance(40_000)
  hear(two)
  expect(nearby.joinedTo([])).toEqual([at(one, 1), at(two, 2)])
  await clock.advance(30_000)
  expect(nearby.joinedTo([])).toEqual([at(two, 2)])
})

test('a member is looked for where it announces itself first, and strangers come after members', async () => {
  const { clock, nearby, hear } = bench()
  const [stranger, moved, silent] = [await announced(9), await announced(7), await announced(2)]
  hear(stranger)
  hear(moved)
  const members = [at(silent, 2), at(moved, 1)]
  expect(nearby.joinedTo(members)).toEqual([at(silent, 2), at(moved, 7, 1), at(stranger, 9)])
  hear({ ...moved, multiaddrs: [multiaddr('/ip4/192.0.2.1/tcp/4170')] })
  expect(nearby.joinedTo(members).slice(0, 2)).toEqual(members)
  await clock.advance(60_000)
  expect(nearby.joinedTo(members)).toEqual(members)
})

test('what somebody announces in the name of a member does not hide the addresses it has itself', async () => {
  const { nearby, hear } = bench()
  const member = await announced(1, 2, 3, 4, 5)
  hear(member)
  expect(nearby.joinedTo([at(member, 8)])).toEqual([at(member, 1, 2, 3, 8, 4, 5)])
})

test('an army of names is not dialled as a whole', async () => {
  const { nearby, hear } = bench()
  const last = await announced(1)
  for (let n = 0; n < 80; n++) hear(await announced(2))
  hear(last)
  expect(nearby.joinedTo([])).toHaveLength(64)
  expect(nearby.joinedTo([]).map(({ peer }) => peer)).toContain(String(last.id))
})
