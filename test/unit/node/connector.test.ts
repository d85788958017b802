import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerId } from '@libp2p/interface'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { Multiaddr } from '@multiformats/multiaddr'
import { beforeAll, describe, expect, test } from 'vitest'
import { seededRandom } from '../../../core/random.ts'
import { addressesOf, Connector, type ConnectorInit, type KnownPeer } from '../../../node/connector.ts'
import { ManualClock } from '../../support/manual-clock.ts'

let ids: PeerId[] = []
beforeAll(async () => {
  ids = await Promise.all(
    Array.from({ length: 40 }, async () => peerIdFromPrivateKey(await generateKeyPair('Ed25519'))),
  )
})
const idOf = (index: number): string => String(ids[index])
const peerOf = (index: number, ...addresses: string[]): KnownPeer => ({
  peer: idOf(index),
  addresses: addresses.length > 0 ? addresses : [`/ip4/192.0.2.1/tcp/${4000 + index}`],
})

/** A node whose dials are answered by the test; peer 0 is the one that dials. */
function bench(known: readonly KnownPeer[]) {
  const clock = new ManualClock()
  const state = { known, connected: new Set<string>(), dials: [] as { peer: string; at: number }[], open: 0, most: 0 }
  const stored: { peer: string; addresses: string[] }[] = []
  const answers: ((ok: boolean) => void)[] = []
  const dial = (addresses: unknown): Promise<never> => {
    const [first] = addresses as Multiaddr[]
    const peer = String(first?.getComponents().at(-1)?.value)
    state.dials.push({ peer, at: clock.mono() })
    state.most = Math.max(state.most, ++state.open)
    return new Promise((resolve, reject) => {
      answers.push((ok) => {
        state.open--
        if (ok) state.connected.add(peer)
        if (ok) resolve(undefined as never)
        else reject(new Error('nobody there'))
      })
    })
  }
  const merge = async (id: PeerId, { multiaddrs = [] }: { multiaddrs?: Multiaddr[] }): Promise<void> => {
    stored.push({ peer: String(id), addresses: multiaddrs.map(String) })
  }
  const node = {
    peerId: ids[0],
    getPeers: () => ids.filter((id) => state.connected.has(String(id))),
    dial,
    peerStore: { merge },
  } as unknown as ConnectorInit['node']
  const connector = new Connector({
    node,
    known: () => state.known,
    clock,
    random: seededRandom(1),
    log: defaultLogger().forComponent('test'),
  })
  const answerAll = (ok: boolean): void => {
    for (const answer of answers.splice(0)) answer(ok)
  }
  return { connector, clock, state, stored, answerAll }
}

describe('the connector', () => {
  test('dials at most four at once, and others when some do not answer', async () => {
    const { connector, clock, state, stored, answerAll } = bench(Array.from({ length: 6 }, (_, n) => peerOf(n)))
    await connector.start()
    await clock.advance(10_000)
    expect(state.dials).toHaveLength(4)
    answerAll(false)
    await clock.advance(60_000)
    expect(state.most).toBe(4)
    // Everybody but itself.
    expect(new Set(state.dials.map(({ peer }) => peer)).size).toBe(5)
    answerAll(true)
    state.known = [peerOf(1), peerOf(2, '/ip4/192.0.2.9/tcp/1')]
    await clock.advance(20_000)
    expect(stored.at(-1)).toEqual({ peer: idOf(2), addresses: [`/ip4/192.0.2.9/tcp/1/p2p/${idOf(2)}`] })
    // Each once, and once more what changed.
    expect(stored).toHaveLength(6)
    answerAll(false)
    await connector.stop()
  })

  test('is content with four doors', async () => {
    const { connector, clock, state, answerAll } = bench(Array.from({ length: 40 }, (_, n) => peerOf(n)))
    await connector.start()
    for (let n = 0; n < 60; n++) {
      await clock.advance(1_000)
      answerAll(true)
    }
    expect(state.connected.size).toBe(4)
    await connector.stop()
  })
})

test('addresses end in the id of their peer, or are left out', () => {
  const [me, other] = [idOf(1), idOf(2)]
  const given = [
    '/ip4/192.0.2.1/tcp/1',
    `/ip4/192.0.2.1/tcp/2/p2p/${me}`,
    `/ip4/192.0.2.1/tcp/3/p2p/${other}`,
    `/ip4/192.0.2.1/tcp/4/p2p/${other}/p2p-circuit`,
    'nonsense',
  ]
  expect(addressesOf(me, given).map(String)).toEqual([
    `/ip4/192.0.2.1/tcp/1/p2p/${me}`,
    `/ip4/192.0.2.1/tcp/2/p2p/${me}`,
    `/ip4/192.0.2.1/tcp/4/p2p/${other}/p2p-circuit/p2p/${me}`,
  ])
})
