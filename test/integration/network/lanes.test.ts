// Bulk streams take a lane of their own where one leads to the other peer, and do without where none does; either way they are
// what other streams are.
import { once } from 'node:events'
import { connect as connectPlain, createServer, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../core/clock.ts'
import { isCoded } from '../../../core/errors.ts'
import * as s from '../../../core/shape.ts'
import { FramedStream, type Transport } from '../../../protocols/kit/framed-stream.ts'
import { connectLane, laneHostOf, listenForLane } from '../../../protocols/kit/lane.ts'
import { LaneTransport } from '../../../protocols/kit/lane-transport.ts'
import { type Ends, Lanes, type NewStream } from '../../../protocols/kit/lanes.ts'
import { request, serve } from '../../../protocols/kit/request.ts'
import type { MessageStream } from '../../../protocols/kit/types.ts'
import { eventually } from '../../support/eventually.ts'
import { standsStill } from '../../support/stands-still.ts'
import { Bench, log, spec, type TestPeer } from './support.ts'

const bench = new Bench()
afterEach(() => bench.close())

const bulk = spec({ bulk: true })

/** TCP connections of this process, both ends of those within it. */
const sockets = (): number => process.getActiveResourcesInfo().filter((one) => one === 'TCPSocketWrap').length

async function echo(peer: TestPeer): Promise<void> {
  await peer.network.handle(bulk, async (stream) => {
    for (let bytes = await stream.receive(); bytes !== undefined; bytes = await stream.receive())
      await stream.send(bytes)
  })
}

/** Nothing is left of a stream: neither on the connection nor beside it. */
async function allGone(peer: TestPeer, before: number): Promise<void> {
  await eventually(() => peer.node.getConnections()[0]?.streams.every(({ protocol }) => protocol !== bulk.id))
  await eventually(() => sockets() === before)
}

describe.each([
  ['dialled the connection', 0, {}],
  ['was dialled', 1, {}],
  ['dialled it in a private network', 0, { psk: new Uint8Array(32).fill(7) }],
])('a bulk stream whose opener %s', (_, opener, init) => {
  let from: TestPeer
  let to: TestPeer
  let before = 0
  beforeEach(async () => {
    const pair = await bench.pair(init)
    from = pair[opener] as TestPeer
    to = pair[1 - opener] as TestPeer
    await eventually(() => to.node.getConnections().length + from.node.getConnections().length === 2)
    before = sockets()
  })

  test('has a lane, brings messages of any size whole and in order, both ways, and its end is an end', async () => {
    await echo(to)
    const stream = await from.network.open(to.id, bulk)
    expect(sockets()).toBe(before + 2)
    for (const length of [0, 1, 127, 128, 65_535, 1024 * 1024]) {
      const message = new Uint8Array(length).fill(length % 251)
      await stream.send(message)
      expect(await stream.receive()).toEqual(message)
    }
    await stream.close()
    expect(await stream.receive()).toBeUndefined()
    await allGone(from, before)
  })

  test('that is aborted is no end at the other side', async () => {
    const seen: unknown[] = []
    await to.network.handle(bulk, async (stream) => {
      await stream.send((await stream.receive()) ?? new Uint8Array(0))
      seen.push(await stream.receive().catch((error: unknown) => isCoded(error) && error.code))
    })
    const stream = await from.network.open(to.id, bulk)
    await stream.send(new Uint8Array(1))
    await stream.receive()
    stream.abort(new Error('changed my mind'))
    await eventually(() => seen.length > 0)
    expect(seen).toEqual(['STREAM_RESET'])
    await allGone(from, before)
  })

  test('goes with its connection', async () => {
    const seen: unknown[] = []
    await to.network.handle(bulk, async (stream) => {
      seen.push(await stream.receive().catch((error: unknown) => isCoded(error) && error.code))
    })
    const stream = await from.network.open(to.id, bulk)
    from.node.getConnections(to.node.peerId)[0]?.abort(new Error('cable cut'))
    await expect(stream.receive()).rejects.toMatchObject({ code: 'STREAM_RESET' })
    await eventually(() => seen.length > 0)
    expect(seen).toEqual(['STREAM_RESET'])
    await eventually(() => sockets() === before - 2)
  })

  test('ends with the service that handles it', async () => {
    const seen: unknown[] = []
    const remove = await to.network.handle(bulk, async (stream) => {
      await stream.send(new Uint8Array(1))
      seen.push(await stream.receive().catch((error: unknown) => isCoded(error) && error.code))
    })
    const stream = await from.network.open(to.id, bulk)
    await stream.receive()
    await remove()
    expect(seen).toEqual(['STOPPED'])
    await expect(stream.receive()).rejects.toMatchObject({ code: 'STREAM_RESET' })
    await allGone(from, before)
  })
})

test('64 MiB to a slow reader: the writer waits, and neither side fills its memory', async () => {
  const [a, b] = await bench.pair()
  const CHUNK = 256 * 1024
  const total = 256
  let sent = 0
  let got = 0
  const gate = Promise.withResolvers<void>()
  const done = Promise.withResolvers<void>()
  const base = process.memoryUsage().arrayBuffers
  await b.network.handle(bulk, async (stream) => {
    await stream.receive()
    got++
    await gate.promise
    while ((await stream.receive()) !== undefined) got++
    done.resolve()
  })
  const stream = await a.network.open(b.id, bulk)
  const sending = (async () => {
    for (; sent < total; sent++) await stream.send(new Uint8Array(CHUNK).fill(sent))
    await stream.close()
  })()
  sending.catch(done.reject)
  await standsStill(() => sent)
  // What the system holds between the two is up to it, and some megabytes.
  expect(sent * CHUNK).toBeLessThan(32 * 1024 * 1024)
  expect(process.memoryUsage().arrayBuffers - base).toBeLessThan(16 * 1024 * 1024)
  gate.resolve()
  await Promise.all([sending, done.promise])
  expect(got).toBe(total)
})

test('an opener over its quota is told so', async () => {
  const [a, b] = await bench.pair()
  const limited = spec({ bulk: true, streamsPerMinute: 1 })
  await b.network.handle(
    limited,
    serve(s.integer(), async (n) => n),
  )
  expect(await request(a.network, b.id, limited, 1, s.integer())).toBe(1)
  await expect(request(a.network, b.id, limited, 2, s.integer())).rejects.toMatchObject({ code: 'REMOTE_BUSY' })
})

test('whoever says anything else first is cut off, and it counts against him', async () => {
  const [a, b] = await bench.pair()
  let runs = 0
  await b.network.handle(bulk, async () => void runs++)
  const plain = spec()
  for (let n = 0; n < 10; n++) {
    const stream = await a.network.open(b.id, plain).catch(() => undefined)
    await stream?.send(s.toCbor('nonsense')).catch(() => undefined)
    await stream?.receive().catch(() => undefined)
  }
  await eventually(() => b.node.getConnections().length === 0)
  expect(runs).toBe(0)
})

/** Opens streams on a connection that `a` dialled, on which nothing was said yet, and gives both their ends. */
async function opening(): Promise<(ends?: Partial<Ends>) => Promise<[NewStream, NewStream]>> {
  const [a, b] = await bench.pair()
  const sides: NewStream[] = []
  const make = (stream: Transport, peer: TestPeer, ends: Ends): void => {
    const onViolation = (): void => undefined
    const control = new FramedStream({ stream, peer: peer.id, spec: bulk, clock: systemClock, onViolation }).attach()
    sides.push({ control, spec: bulk, ends, signal: control.over })
  }
  await b.node.handle(bulk.id, (stream, { remoteAddr, direction }) => make(stream, a, { remoteAddr, direction }))
  const [connection] = a.node.getConnections(b.node.peerId)
  if (connection === undefined) throw new Error('not connected')
  const { remoteAddr, direction } = connection
  return async (ends) => {
    make(await connection.newStream(bulk.id), b, { remoteAddr, direction, ...ends })
    await eventually(() => sides.length === 2)
    return sides.splice(0) as [NewStream, NewStream]
  }
}

const newStreams = async (): Promise<[NewStream, NewStream]> => (await opening())()
const lanes = (): Lanes => new Lanes(systemClock, log)

describe('an agreement', () => {
  test('comes to none where the connection shows no way', async () => {
    const relay = '12D3KooWLYWXLfN6WfnpJMFp42mrKDEtnHeepVmCtfnf7miSVzUL'
    const relayed = { remoteAddr: multiaddr(`/ip4/127.0.0.1/tcp/1/p2p/${relay}/p2p-circuit`) }
    const [opener, other] = await (await opening())(relayed)
    expect(await Promise.all([lanes().open(opener), lanes().answer(other)])).toEqual([undefined, undefined])
  })

  test('comes to none where the way is shut, and is not tried again soon', async () => {
    const by = lanes()
    const streams = await opening()
    // Nobody listens there.
    const shut = { remoteAddr: multiaddr('/ip4/127.0.0.9/tcp/1') }
    const [opener, other] = await streams(shut)
    expect(await Promise.all([by.open(opener), lanes().answer(other)])).toEqual([undefined, undefined])
    const [again, there] = await streams()
    expect(await by.open(again)).toBeUndefined()
    // Not even asked for, though this way is open.
    expect(await there.control.receive()).toEqual(s.toCbor({ kind: 'none' }))
  })

  test('that breaks off is no lane: it rejects at both ends', async () => {
    const [opener, other] = await newStreams()
    const opening = lanes().open(opener)
    await other.control.receive()
    other.control.abort(new Error('gone'))
    await expect(opening).rejects.toMatchObject({ code: 'STREAM_RESET' })
  })

  test('leaves nobody listening', async () => {
    const listening = (): number => process.getActiveResourcesInfo().filter((one) => one === 'TCPServerWrap').length
    const [opener, other] = await newStreams()
    const before = listening()
    const [socket, theirs] = await Promise.all([lanes().open(opener), lanes().answer(other)])
    expect(socket?.encrypted && theirs?.encrypted).toBe(true)
    await eventually(() => listening() === before)
    socket?.destroy()
    theirs?.destroy()
  })
})

describe('a lane', () => {
  const soon = (): AbortSignal => AbortSignal.timeout(5_000)
  const open: { destroy(): unknown }[] = []
  afterEach(() => {
    for (const socket of open.splice(0)) socket.destroy()
  })

  test('lets in who knows the key, whoever called before, and nobody else', async () => {
    const listener = await listenForLane('127.0.0.1')
    const { port } = listener.offer
    // One who says nothing, one who talks nonsense, and one with another key.
    const silent: Socket = connectPlain(port, '127.0.0.1')
    const rude: Socket = connectPlain(port, '127.0.0.1', () => rude.write('GET / HTTP/1.1\r\n\r\n'))
    for (const one of [silent, rude]) one.on('error', () => undefined)
    open.push(silent, rude)
    const wrong = { port, key: new Uint8Array(32) }
    await expect(connectLane('127.0.0.1', wrong, soon())).rejects.toThrow()
    const [mine, theirs] = await Promise.all([
      connectLane('127.0.0.1', listener.offer, soon()),
      listener.accepted(soon()),
    ])
    open.push(mine, theirs)
    listener.close()
    mine.write('here')
    expect(String((await once(theirs, 'data'))[0])).toBe('here')
    // Who was let in stays, the others go, and so does the port.
    await eventually(() => silent.destroyed || silent.readableEnded)
    await expect(connectLane('127.0.0.1', listener.offer, soon())).rejects.toThrow('ECONNREFUSED')
  })

  test('is given up at a deadline by both ends', async () => {
    const listener = await listenForLane('127.0.0.1')
    await expect(listener.accepted(AbortSignal.timeout(20))).rejects.toMatchObject({ name: 'TimeoutError' })
    listener.close()
    const mute = createServer((socket) => open.push(socket))
    mute.listen(0, '127.0.0.1')
    await once(mute, 'listening')
    const { port } = mute.address() as { port: number }
    const late = connectLane('127.0.0.1', { port, key: new Uint8Array(32) }, AbortSignal.timeout(50))
    await expect(late).rejects.toMatchObject({ name: 'AbortError' })
    mute.close()
  })

  test('that is cut is no end, at either side', async () => {
    const [opener, other] = await newStreams()
    const [mine, theirs] = await Promise.all([lanes().open(opener), lanes().answer(other)])
    const over = (socket: TLSSocket | undefined, { control, spec: of }: NewStream): MessageStream => {
      if (socket === undefined) throw new Error('no lane')
      const stream = new LaneTransport(socket, control)
      const onViolation = (): void => undefined
      return new FramedStream({ stream, peer: control.peer, spec: of, clock: systemClock, onViolation }).attach()
    }
    const streams = [over(mine, opener), over(theirs, other)]
    const ends = streams.map((stream) => stream.receive())
    // The socket alone: its other end sees no more than that nothing comes any more.
    mine?.destroy()
    for (const end of ends) await expect(end).rejects.toMatchObject({ code: 'STREAM_RESET' })
    expect([opener, other].map(({ control }) => control.over.aborted)).toEqual([true, true])
  })

  test.each([
    ['/ip4/192.0.2.1/tcp/4001', '192.0.2.1'],
    ['/ip6/2001:db8::1/tcp/4001/p2p/12D3KooWLYWXLfN6WfnpJMFp42mrKDEtnHeepVmCtfnf7miSVzUL', '2001:db8::1'],
    ['/dns4/example.org/tcp/4001', 'example.org'],
    ['/dns4/example.org/tcp/443/wss', undefined],
    ['/ip4/192.0.2.1/udp/4001/quic-v1', undefined],
  ])('of %s leads to %s', (address, host) => {
    expect(laneHostOf(multiaddr(address))).toBe(host)
  })
})
