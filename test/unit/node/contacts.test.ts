import { defaultLogger } from '@libp2p/logger'
import { expect, test } from 'vitest'
import { utf8 } from '../../../core/bytes.ts'
import type { RecordStore } from '../../../node/cells/types.ts'
import type { KnownPeer } from '../../../node/connector.ts'
import { Contacts } from '../../../node/contacts.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const DAY = 24 * 3_600_000
const PEER = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'
const log = defaultLogger().forComponent('test:contacts')

class World {
  readonly clock = new ManualClock()
  readonly stored = new Map<string, Uint8Array>()
  writes = 0
  live: KnownPeer[] = []
  left = new Set<string>()
  readonly records: { -readonly [K in keyof RecordStore]: RecordStore[K] } = {
    put: async (key, value) => {
      this.writes++
      this.stored.set(key, value)
    },
    remove: async (key) => {
      this.stored.delete(key)
    },
    get: async (key) => this.stored.get(key),
    list: async () => [...this.stored],
  }

  async start(given: readonly string[] = []): Promise<Contacts> {
    const contacts = new Contacts({
      records: this.records,
      given,
      live: () => this.live,
      hasLeft: (peer) => this.left.has(peer),
      clock: this.clock,
      log,
    })
    await contacts.start()
    return contacts
  }
}

const at = (peer: string, ...addresses: string[]): KnownPeer => ({ peer, addresses })

test('members of before are known after a restart, whatever the mesh says then', async () => {
  const world = new World()
  const first = await world.start()
  world.live = [at('a', '/ip4/192.0.2.1/tcp/1'), at('b', '/ip4/192.0.2.2/tcp/1')]
  await world.clock.advance(6_000)
  // As after kill -9: nothing is said at the end.
  world.live = []
  const second = await world.start()
  expect(second.known()).toEqual([at('a', '/ip4/192.0.2.1/tcp/1'), at('b', '/ip4/192.0.2.2/tcp/1')])
  world.live = [at('a', '/ip4/192.0.2.9/tcp/1')]
  expect(second.known()).toEqual([at('a', '/ip4/192.0.2.9/tcp/1'), at('b', '/ip4/192.0.2.2/tcp/1')])
  await first.stop()
  await second.stop()
})

test('what a person gave is written down before anything else happens', async () => {
  const world = new World()
  const address = `/ip4/192.0.2.7/tcp/4170/p2p/${PEER}`
  await world.start([address])
  expect([...world.stored.keys()]).toEqual([PEER])
  expect((await world.start()).known()).toEqual([at(PEER, address)])
})

test('whoever said good-bye is let go, and so is who was not seen for a month', async () => {
  const world = new World()
  const contacts = await world.start()
  world.live = [at('a', '/ip4/192.0.2.1/tcp/1'), at('b', '/ip4/192.0.2.2/tcp/1')]
  await world.clock.advance(6_000)
  world.live = []
  world.left.add('a')
  expect(contacts.known().map(({ peer }) => peer)).toEqual(['b'])
  await world.clock.advance(6_000)
  expect([...world.stored.keys()]).toEqual(['b'])
  await world.clock.advance(20 * DAY)
  expect([...world.stored.keys()]).toEqual(['b'])
  await contacts.stop()
  const later = await world.start()
  await world.clock.advance(11 * DAY)
  expect(later.known()).toEqual([])
  await later.stop()
})

test('an unchanged mesh costs a write per contact and day; a great one is kept in part', async () => {
  const world = new World()
  const contacts = await world.start()
  world.live = [at('a', '/ip4/192.0.2.1/tcp/1')]
  await world.clock.advance(DAY / 2)
  expect(world.writes).toBe(1)
  await world.clock.advance(DAY)
  expect(world.writes).toBe(2)
  world.live = Array.from({ length: 100 }, (_, n) => at(`peer-${n}`, '/ip4/192.0.2.1/tcp/1'))
  await world.clock.advance(6_000)
  expect(world.stored.size).toBe(64)
  expect(world.stored.has('a')).toBe(false)
  const { writes } = world
  await world.clock.advance(60_000)
  await contacts.stop()
  expect(world.writes).toBe(writes)
})

test('a damaged record is dropped and does no other harm', async () => {
  const world = new World()
  world.stored.set('bad', utf8('nonsense'))
  const contacts = await world.start([`/ip4/192.0.2.7/tcp/4170/p2p/${PEER}`])
  expect(contacts.known().map(({ peer }) => peer)).toEqual([PEER])
  expect(world.stored.has('bad')).toBe(false)
  await contacts.stop()
})

test('what a full disk did not take is written as soon as it does', async () => {
  const world = new World()
  const contacts = await world.start()
  world.live = [at('a', '/ip4/192.0.2.1/tcp/1')]
  const { put } = world.records
  world.records.put = async () => Promise.reject(new Error('disk full'))
  await world.clock.advance(6_000)
  expect(world.stored.size).toBe(0)
  world.records.put = put
  await world.clock.advance(6_000)
  expect([...world.stored.keys()]).toEqual(['a'])
  await contacts.stop()
})
