import { defaultLogger } from '@libp2p/logger'
import { afterEach, expect, test } from 'vitest'
import { utf8 } from '../../../core/bytes.ts'
import { seededRandom } from '../../../core/random.ts'
import { MemoryMesh, type MemoryNetwork } from '../../../protocols/kit/memory-network.ts'
import type {
  ConnectedPeer,
  MessageStream,
  Network,
  ProtocolSpec,
  Signer,
  StreamHandler,
} from '../../../protocols/kit/types.ts'
import { type StateService, stateService } from '../../../protocols/state/index.ts'
import { EMPTY, Encoder, outgoing } from '../../../protocols/state/messages.ts'
import { STATE_PROTOCOL } from '../../../protocols/state/protocol.ts'
import type { SignedRecord } from '../../../protocols/state/record.ts'
import type { MemberStatus } from '../../../protocols/state/types.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { newSigner, signed } from './fixtures.ts'

/** A network whose peer can be held up: nothing is answered or opened meanwhile, and all of it afterwards. */
class StallingNetwork implements Network {
  readonly #inner: MemoryNetwork
  readonly self: string
  stalled: Promise<void> = Promise.resolve()

  constructor(inner: MemoryNetwork) {
    this.#inner = inner
    this.self = inner.self
  }

  handle(spec: ProtocolSpec, handler: StreamHandler): Promise<() => Promise<void>> {
    return this.#inner.handle(spec, async (stream, context) => {
      await this.stalled
      await handler(this.#held(stream), context)
    })
  }

  async open(...args: Parameters<Network['open']>): Promise<MessageStream> {
    await this.stalled
    return this.#held(await this.#inner.open(...args))
  }

  #held(stream: MessageStream): MessageStream {
    return {
      peer: stream.peer,
      send: async (...args) => {
        await this.stalled
        await stream.send(...args)
      },
      receive: async (...args) => {
        const message = await stream.receive(...args)
        await this.stalled
        return message
      },
      close: () => stream.close(),
      abort: (error) => stream.abort(error),
    }
  }

  connected = (): readonly ConnectedPeer[] => this.#inner.connected()
  onChange: Network['onChange'] = (listener) => this.#inner.onChange(listener)
}

interface Peer {
  readonly signer: Signer
  readonly network: StallingNetwork
  readonly service: StateService
}

const log = defaultLogger().forComponent('test:state')
const running = new Set<StateService>()
afterEach(async () => {
  for (const service of running) await service.stop()
  running.clear()
})

class Mesh {
  readonly net = new MemoryMesh()
  readonly clock = new ManualClock()
  readonly peers: Peer[] = []

  async grow(count: number): Promise<Peer[]> {
    for (let i = 0; i < count; i++) await this.add(await newSigner())
    return this.peers
  }

  async add(signer: Signer, clock = this.clock): Promise<Peer> {
    const network = new StallingNetwork(this.net.join(signer.self))
    const random = seededRandom(this.peers.length + 1)
    const service = stateService({ network, signer, clock, random, log })
    service.publish({
      name: `peer-${this.peers.length}`,
      capacity: { cpuCores: 4, memoryBytes: 1_000, diskBytes: 1_000, slots: 4 },
    })
    await service.start()
    running.add(service)
    const peer = { signer, network, service }
    this.peers.push(peer)
    return peer
  }

  async kill(peer: Peer): Promise<void> {
    this.net.kill(peer.signer.self)
    this.peers.splice(this.peers.indexOf(peer), 1)
    running.delete(peer.service)
    await peer.service.stop()
  }

  statuses(of: string): (MemberStatus | undefined)[] {
    return this.peers.map(({ service }) => service.view.get(of)?.status)
  }
}

/** Reads to the end of the stream. */
async function drained(stream: MessageStream): Promise<void> {
  while ((await stream.receive()) !== undefined);
}

const all = <T>(mesh: Mesh, value: T): T[] => mesh.peers.map(() => value)

test('ten peers come to know each other, and a change travels at once when it matters, later when it does not', async () => {
  const mesh = new Mesh()
  const [first] = await mesh.grow(10)
  await mesh.clock.advance(2_000)
  for (const { service, signer } of mesh.peers) {
    expect(service.view.peers()).toHaveLength(10)
    expect(service.view.peers()[0]).toMatchObject({ self: true, record: { peer: signer.self } })
  }
  const seen = (read: (record: SignedRecord['record']) => unknown): unknown[] =>
    mesh.peers.map(({ service }) => {
      const record = service.view.get(first?.signer.self ?? '')?.record
      return record && read(record)
    })
  first?.service.publish({ free: { cpu: 0.5, memoryBytes: 0, diskBytes: 0, slots: 2 } })
  await mesh.clock.advance(450)
  expect(seen(({ free }) => free.slots)).toEqual(all(mesh, 2))
  first?.service.publish({ free: { cpu: 0.45, memoryBytes: 0, diskBytes: 0, slots: 2 } })
  await mesh.clock.advance(450)
  expect(seen(({ free }) => free.cpu)).toEqual(all(mesh, 0.5))
  await mesh.clock.advance(40_000)
  expect(seen(({ free }) => free.cpu)).toEqual(all(mesh, 0.45))
  expect(mesh.peers[3]?.service.view.get(first?.signer.self ?? '')).toMatchObject({ rttMs: 0.1, self: false })
})

test('round trips between others are estimated, once everybody is placed', async () => {
  const mesh = new Mesh()
  const [first, second, third] = (await mesh.grow(8)) as [Peer, Peer, Peer]
  const estimate = (): ReturnType<StateService['view']['estimateRtt']> =>
    first.service.view.estimateRtt(second.signer.self, third.signer.self)
  await mesh.clock.advance(2_000)
  expect(estimate()).toBeUndefined()
  await mesh.clock.advance(300_000)
  const { ms, error } = estimate() ?? { ms: Number.NaN, error: Number.NaN }
  // No time passes on the way.
  expect(ms).toBeLessThan(0.2)
  expect(error).toBeLessThan(0.6)
  expect(first.service.view.estimateRtt(second.signer.self, 'nobody')).toBeUndefined()
  expect(first.service.view.get(third.signer.self)?.rttEstimate?.ms).toBeLessThan(0.2)
})

test('a killed peer is failed everywhere within 8 s, stays listed, and nobody else is ever doubted', async () => {
  const mesh = new Mesh()
  await mesh.grow(10)
  await mesh.clock.advance(3_000)
  const doubted = new Set<string>()
  for (const { service } of mesh.peers)
    service.view.onChange((peer, member) => member?.status !== 'alive' && doubted.add(peer))
  const victim = mesh.peers[4] as Peer
  await mesh.kill(victim)
  let tookMs = 0
  for (; mesh.statuses(victim.signer.self).some((s) => s !== 'failed'); tookMs += 100) await mesh.clock.advance(100)
  expect(tookMs).toBeLessThanOrEqual(8_000)
  await mesh.clock.advance(60_000)
  expect(mesh.statuses(victim.signer.self)).toEqual(all(mesh, 'failed'))
  expect([...doubted]).toEqual([victim.signer.self])
})

test('a peer that falls silent on open connections is failed everywhere within 8 s', async () => {
  for (const seed of [0, 1, 2]) {
    const mesh = new Mesh()
    await mesh.grow(10)
    await mesh.clock.advance(3_000 + 100 * seed)
    const victim = mesh.peers[seed] as Peer
    mesh.peers.splice(seed, 1)
    await victim.service.stop()
    const silent = (): Promise<void> => new Promise(() => undefined)
    await victim.network.handle(STATE_PROTOCOL, silent)
    const sinceMs = mesh.clock.mono()
    while (mesh.statuses(victim.signer.self).some((status) => status !== 'failed')) await mesh.clock.advance(100)
    expect(mesh.clock.mono() - sinceMs).toBeLessThanOrEqual(8_000)
  }
})

test('a peer that is held up for 3 s is never failed, nor does it fail anyone', async () => {
  const mesh = new Mesh()
  await mesh.grow(10)
  await mesh.clock.advance(3_000)
  const failed = new Set<string>()
  const suspected = new Set<string>()
  for (const { service } of mesh.peers) {
    service.view.onChange((peer, member) => member?.status === 'failed' && failed.add(peer))
    service.view.onChange((peer, member) => member?.status === 'suspect' && suspected.add(peer))
  }
  const slow = mesh.peers[6] as Peer
  const { promise, resolve } = Promise.withResolvers<void>()
  slow.network.stalled = promise
  await mesh.clock.advance(3_000)
  resolve()
  await mesh.clock.advance(20_000)
  expect(suspected).toContain(slow.signer.self)
  expect([...failed]).toEqual([])
  for (const { signer } of mesh.peers) expect(mesh.statuses(signer.self)).toEqual(all(mesh, 'alive'))
})

test('a peer that restarts comes back as alive, even when its wall clock went back', async () => {
  const mesh = new Mesh()
  await mesh.grow(4)
  await mesh.clock.advance(2_000)
  const victim = mesh.peers[1] as Peer
  await mesh.kill(victim)
  await mesh.clock.advance(8_000)
  expect(mesh.statuses(victim.signer.self)).toEqual(all(mesh, 'failed'))
  const late = mesh.clock
  const back = Object.assign(Object.create(late), { now: () => 1_000 }) as ManualClock
  back.mono = () => late.mono()
  back.after = (ms, fn) => late.after(ms, fn)
  const again = await mesh.add(victim.signer, back)
  again.service.publish({ name: 'second life' })
  await mesh.clock.advance(3_000)
  expect(mesh.statuses(victim.signer.self)).toEqual(all(mesh, 'alive'))
  for (const { service } of mesh.peers) expect(service.view.get(victim.signer.self)?.record.name).toBe('second life')
})

test('who leaves is listed as left at once, and its dead connection raises no doubt', async () => {
  const mesh = new Mesh()
  await mesh.grow(5)
  await mesh.clock.advance(2_000)
  const leaver = mesh.peers[0] as Peer
  await leaver.service.leave()
  await mesh.kill(leaver)
  expect(mesh.statuses(leaver.signer.self)).toEqual(all(mesh, 'left'))
  await mesh.clock.advance(10_000)
  expect(mesh.statuses(leaver.signer.self)).toEqual(all(mesh, 'left'))
})

test('a cut link between two peers makes neither suspect: others vouch', async () => {
  const mesh = new Mesh()
  await mesh.grow(5)
  await mesh.clock.advance(2_000)
  const [a, b] = mesh.peers as [Peer, Peer]
  mesh.net.link(a.signer.self, b.signer.self, false)
  const seen = new Set<string | undefined>()
  for (const { service } of mesh.peers) service.view.onChange((_, member) => seen.add(member?.status))
  await mesh.clock.advance(30_000)
  expect([...seen]).toEqual(['alive'])
})

test('a partition heals: both sides list all as alive again', async () => {
  const mesh = new Mesh()
  await mesh.grow(6)
  await mesh.clock.advance(2_000)
  const left = mesh.peers.slice(0, 3)
  const right = mesh.peers.slice(3)
  const cut = (up: boolean): void => {
    for (const a of left) for (const b of right) mesh.net.link(a.signer.self, b.signer.self, up)
  }
  cut(false)
  await mesh.clock.advance(20_000)
  for (const { service } of left)
    expect(right.map(({ signer }) => service.view.get(signer.self)?.status)).toEqual(['failed', 'failed', 'failed'])
  cut(true)
  await mesh.clock.advance(5_000)
  for (const { signer } of mesh.peers) expect(mesh.statuses(signer.self)).toEqual(all(mesh, 'alive'))
})

test('a forged or malformed record is refused and changes nothing', async () => {
  const mesh = new Mesh()
  const [target] = (await mesh.grow(2)) as [Peer, Peer]
  await mesh.clock.advance(2_000)
  const stranger = mesh.net.join('stranger')
  const victim = mesh.peers[1] as Peer
  const mallory = await newSigner()
  const real = await signed(mallory, { incarnation: 2 ** 50, measuredAt: 2 ** 50, name: 'evil' })
  const sent = (record: SignedRecord): Uint8Array =>
    new Encoder(() => 0).encode({ ...EMPTY, bodies: [outgoing(record, true)] })
  const badCold = Uint8Array.from(real.cold)
  badCold[Buffer.from(badCold).indexOf('evil')] = 'E'.charCodeAt(0)
  const badSignature = Uint8Array.from(real.signature)
  badSignature[5] = (badSignature[5] ?? 0) ^ 1
  for (const bytes of [
    sent({ ...real, cold: badCold }),
    sent({ ...real, signature: badSignature }),
    sent({ ...real, hot: utf8('junk') }),
    sent({ ...real, version: 7 }),
    utf8('junk'),
  ]) {
    const stream = await stranger.open(target.signer.self, STATE_PROTOCOL)
    await stream.send(bytes)
    await expect(drained(stream)).rejects.toMatchObject({ code: 'STREAM_RESET' })
  }
  expect(target.service.view.get(mallory.self)).toBeUndefined()
  expect(target.service.view.get(victim.signer.self)?.status).toBe('alive')
  const stream = await stranger.open(target.signer.self, STATE_PROTOCOL)
  await stream.send(sent(real))
  expect((await stream.receive())?.length).toBeGreaterThan(100)
  await mesh.clock.advance(100)
  expect(target.service.view.get(mallory.self)?.record.name).toBe('evil')
})

test('a field out of bounds is refused when published; stop and start again work', async () => {
  const mesh = new Mesh()
  const [one, two] = (await mesh.grow(2)) as [Peer, Peer]
  expect(() => one.service.publish({ name: 'x'.repeat(65) })).toThrow(
    expect.objectContaining({ code: 'STATE_RECORD_INVALID' }),
  )
  const cells = Array.from({ length: 300 }, (_, i) => ({ id: `${i}`, phase: 'running' }))
  one.service.publish({ cells })
  await mesh.clock.advance(2_000)
  expect(two.service.view.get(one.signer.self)?.record).toMatchObject({ name: 'peer-0' })
  expect(two.service.view.get(one.signer.self)?.record.cells).toHaveLength(256)
  await one.service.stop()
  await one.service.stop()
  expect(one.service.view.peers()).toEqual([])
  await one.service.start()
  await mesh.clock.advance(2_000)
  expect(one.service.view.peers().map(({ status }) => status)).toEqual(['alive', 'alive'])
  expect(two.service.view.get(one.signer.self)?.status).toBe('alive')
})
