import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { concat, utf8 } from '../../../core/bytes.ts'
import { systemClock } from '../../../core/clock.ts'
import { isCoded } from '../../../core/errors.ts'
import * as s from '../../../core/shape.ts'
import { frameHeader } from '../../../protocols/kit/framing.ts'
import { request, serve } from '../../../protocols/kit/request.ts'
import type { MessageStream } from '../../../protocols/kit/types.ts'
import { eventually } from '../../support/eventually.ts'
import { standsStill } from '../../support/stands-still.ts'
import { Bench, openGate, spec, type TestPeer } from './support.ts'

const bench = new Bench()
afterEach(() => bench.close())

/** A stream below the framing, for saying what no peer of ours would say. */
async function raw(from: TestPeer, to: TestPeer, id = spec().id) {
  const [connection] = from.node.getConnections(to.node.peerId)
  if (connection === undefined) throw new Error('not connected')
  return connection.newStream(id)
}

/** Serves `spec` on `peer` and collects how each stream's reading ended: with messages, then `end` or a code. */
async function collect(peer: TestPeer, of = spec()): Promise<(number | string)[][]> {
  const streams: (number | string)[][] = []
  await peer.network.handle(of, async (stream) => {
    const seen: (number | string)[] = []
    streams.push(seen)
    try {
      for (let bytes = await stream.receive(); bytes !== undefined; bytes = await stream.receive())
        seen.push(bytes.length)
      seen.push('end')
    } catch (error) {
      seen.push(isCoded(error) ? error.code : String(error))
      throw error
    }
  })
  return streams
}

test('N streams run N handlers in all', async () => {
  const [a, b] = await bench.pair()
  let runs = 0
  await b.network.handle(
    spec(),
    serve(s.integer(), async (n) => {
      runs++
      return n + 1
    }),
  )
  for (let n = 0; n < 24; n++) expect(await request(a.network, b.id, spec(), n, s.integer())).toBe(n + 1)
  expect(runs).toBe(24)
})

test('messages of any size arrive whole and in order, both ways, and the end is an end', async () => {
  const [a, b] = await bench.pair()
  await b.network.handle(spec(), async (stream) => {
    for (let bytes = await stream.receive(); bytes !== undefined; bytes = await stream.receive())
      await stream.send(bytes)
  })
  const stream = await a.network.open(b.id, spec())
  for (const length of [0, 1, 127, 128, 65_535, 1024 * 1024]) {
    const message = new Uint8Array(length).fill(length % 251)
    await stream.send(message)
    expect(await stream.receive()).toEqual(message)
  }
  await stream.close()
  expect(await stream.receive()).toBeUndefined()
  await eventually(() => a.node.getConnections()[0]?.streams.every(({ protocol }) => protocol !== spec().id))
})

test('a sender waits for a reader that stands still after it has read for a while, however much there is', async () => {
  const [a, b] = await bench.pair()
  const total = 4096
  let got = 0
  let sent = 0
  const gate = Promise.withResolvers<void>()
  const done = Promise.withResolvers<void>()
  await b.network.handle(spec(), async (stream) => {
    for (; got < 256; got++) await stream.receive()
    await gate.promise
    while ((await stream.receive()) !== undefined) got++
    done.resolve()
  })
  const stream = await a.network.open(b.id, spec())
  const sending = (async () => {
    for (; sent < total; sent++) await stream.send(new Uint8Array(16 * 1024))
    await stream.close()
  })()
  sending.catch(done.reject)
  let before = -1
  await eventually(() => {
    const isHeld = got === 256 && sent === before
    before = sent
    return isHeld
  })
  // 64 MiB in all; the transport's window is 4 MiB.
  expect((sent - got) * 16).toBeLessThan(16 * 1024)
  gate.resolve()
  await Promise.all([sending, done.promise])
  expect(got).toBe(total)
})

test('what was sent before the goodbye is read after it, however late', async () => {
  const [a, b] = await bench.pair()
  const total = 48
  let got = 0
  let go: () => void = () => undefined
  const gate = new Promise<void>((resolve) => (go = resolve))
  const done = new Promise<void>((resolve) => {
    void b.network.handle(spec(), async (stream) => {
      await stream.receive()
      got++
      await gate
      while ((await stream.receive()) !== undefined) got++
      resolve()
    })
  })
  const stream = await a.network.open(b.id, spec())
  // 768 KiB: more than the reader takes in before it pauses the transport, less than the transport's window.
  for (let n = 0; n < total; n++) await stream.send(new Uint8Array(16 * 1024))
  await stream.close()
  await eventually(() =>
    b.node
      .getConnections()[0]
      ?.streams.some(({ protocol, remoteWriteStatus }) => protocol === spec().id && remoteWriteStatus === 'closed'),
  )
  go()
  await done
  expect(got).toBe(total)
})

test('a connection that breaks is no end: neither when it is cut, nor when the other process is killed', async () => {
  const [a, b] = await bench.pair()
  const streams = await collect(b)
  const stream = await a.network.open(b.id, spec())
  await stream.send(new Uint8Array(10))
  await eventually(() => streams[0]?.length === 1)
  a.node.getConnections(b.node.peerId)[0]?.abort(new Error('cable cut'))
  await eventually(() => streams[0]?.length === 2)
  await expect(stream.send(new Uint8Array(1))).rejects.toMatchObject({ code: 'STREAM_RESET' })

  const child = fork(fileURLToPath(new URL('./children/sudden-end.ts', import.meta.url)), [
    String(b.node.getMultiaddrs()[0]),
  ])
  bench.add(async () => child.kill('SIGKILL'))
  await once(child, 'message')
  await eventually(() => streams[1]?.length === 1)
  child.kill('SIGKILL')
  await eventually(() => streams[1]?.length === 2)
  expect(streams).toEqual([
    [10, 'STREAM_RESET'],
    [10, 'STREAM_RESET'],
  ])
})

test('oversized, garbled and truncated frames get a code, and nothing else breaks', async () => {
  const [a, b] = await bench.pair()
  const streams = await collect(b)
  const say = async (bytes: Uint8Array): Promise<void> => {
    const before = streams.length
    const stream = await raw(a, b)
    stream.send(bytes)
    await stream.close()
    await eventually(() => streams.length > before && streams.at(-1)?.some((entry) => typeof entry === 'string'))
  }
  await say(concat([frameHeader(2 * 1024 * 1024), new Uint8Array(100)]))
  await say(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))
  await say(concat([frameHeader(100), new Uint8Array(99)]))
  await say(concat([frameHeader(3), utf8('abc'), Uint8Array.of(0x80)]))
  await say(new Uint8Array(0))
  expect(streams).toEqual([
    ['MESSAGE_TOO_LARGE'],
    ['MESSAGE_MALFORMED'],
    ['STREAM_ENDED'],
    [3, 'STREAM_ENDED'],
    ['end'],
  ])
  const stream = await a.network.open(b.id, spec())
  await stream.send(new Uint8Array(7))
  await stream.close()
  await eventually(() => streams.at(-1)?.length === 2)
  expect(streams.at(-1)).toEqual([7, 'end'])
})

test('a peer that goes on breaking the bounds is cut off and not heard again', async () => {
  const [a, b] = await bench.pair()
  const streams = await collect(b)
  for (let n = 0; n < 5; n++) {
    const stream = await raw(a, b)
    stream.send(frameHeader(1e9))
    await eventually(() => streams.length === n + 1 && streams[n]?.length === 1)
  }
  await eventually(() => b.node.getConnections().length === 0)
  await eventually(() => a.node.getConnections().length === 0)
  await a.node.dial(b.node.getMultiaddrs())
  await eventually(() => b.node.getConnections().length === 0)
  expect(streams).toHaveLength(5)
})

test('requests of nonsense are answered, and cost points', async () => {
  const [a, b] = await bench.pair()
  await b.network.handle(
    spec(),
    serve(s.object({ n: s.integer() }), async ({ n }) => n),
  )
  for (let n = 0; n < 9; n++) {
    await expect(request(a.network, b.id, spec(), 'nonsense', s.integer())).rejects.toMatchObject({
      code: 'REMOTE_REFUSED',
      facts: { remoteCode: 'MESSAGE_MALFORMED' },
    })
  }
  await request(a.network, b.id, spec(), 'nonsense', s.integer()).catch(() => undefined)
  await eventually(() => b.node.getConnections().length === 0)
})

test('answers of nonsense cost points as well', async () => {
  const [a, b] = await bench.pair()
  await b.network.handle(spec(), async (stream) => {
    await stream.receive()
    await stream.send(utf8('nonsense'))
    await stream.close()
  })
  for (let n = 0; n < 10; n++) {
    await expect(request(a.network, b.id, spec(), n, s.integer())).rejects.toMatchObject({ code: 'MESSAGE_MALFORMED' })
  }
  await eventually(() => a.node.getConnections().length === 0)
})

test('over its quota a peer is told that it is', async () => {
  const [a, b] = await bench.pair()
  let runs = 0
  const limited = spec({ streamsPerMinute: 3 })
  await b.network.handle(
    limited,
    serve(s.integer(), async (n) => {
      runs++
      return n
    }),
  )
  for (let n = 0; n < 3; n++) await request(a.network, b.id, limited, n, s.integer())
  await expect(request(a.network, b.id, limited, 3, s.integer())).rejects.toMatchObject({ code: 'REMOTE_BUSY' })
  expect(runs).toBe(3)
})

test('a silent remote times out; a stream has an end to its life; a stopped service lets go', async () => {
  const [a, b] = await bench.pair()
  const codes: string[] = []
  const listen = async (stream: MessageStream): Promise<void> => {
    try {
      await stream.receive()
    } catch (error) {
      codes.push(isCoded(error) ? error.code : String(error))
    }
  }
  await b.network.handle(spec({ messageTimeoutMs: 100 }), listen)
  await b.network.handle(spec({ id: '/cloudskin/life/1.0.0', streamTimeoutMs: 100 }), listen)
  const remove = await b.network.handle(spec({ id: '/cloudskin/stop/1.0.0' }), listen)
  await a.network.open(b.id, spec())
  await eventually(() => codes.length === 1)
  await a.network.open(b.id, spec({ id: '/cloudskin/life/1.0.0' }))
  await eventually(() => codes.length === 2)
  await a.network.open(b.id, spec({ id: '/cloudskin/stop/1.0.0' }))
  await eventually(() =>
    b.node.getConnections()[0]?.streams.some(({ protocol }) => protocol === '/cloudskin/stop/1.0.0'),
  )
  await remove()
  expect(codes).toEqual(['STREAM_TIMEOUT', 'STREAM_TIMEOUT', 'STOPPED'])
})

test('what cannot be opened says why', async () => {
  const [a, b] = await bench.pair()
  await expect(a.network.open(b.id, spec())).rejects.toMatchObject({ code: 'PROTOCOL_UNSUPPORTED' })
  const gone = await bench.peer()
  await gone.node.stop()
  await expect(a.network.open(gone.id, spec())).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
  await expect(a.network.open('nobody', spec())).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
  const abort = AbortSignal.abort(new Error('changed my mind'))
  await expect(a.network.open(b.id, spec(), { signal: abort })).rejects.toThrow('changed my mind')
})

test('streams of strangers never reach a handler for members', async () => {
  const shut = { ...openGate, admitted: () => false, ensure: async () => Promise.reject(new Error('no member')) }
  const [a, b] = [await bench.peer(), await bench.peer({ gate: shut })]
  await a.node.dial(b.node.getMultiaddrs())
  let runs = 0
  let open = 0
  const count = serve(s.integer(), async (n) => {
    runs++
    return n
  })
  await b.network.handle(spec(), count)
  await b.network.handle(
    spec({ id: '/cloudskin/open/1.0.0', access: 'anyone' }),
    serve(s.integer(), async (n) => {
      open++
      return n
    }),
  )
  for (let n = 0; n < 4; n++)
    await expect(request(a.network, b.id, spec(), n, s.integer())).rejects.toMatchObject({ code: 'STREAM_RESET' })
  await request(a.network, b.id, spec({ id: '/cloudskin/open/1.0.0' }), 1, s.integer())
  expect([runs, open]).toEqual([0, 1])
  expect(b.network.connected()).toEqual([])
  expect(a.network.connected().map(({ peer }) => peer)).toEqual([b.id])
})

test.each([
  ['in the open', undefined],
  ['on a private network', new Uint8Array(32).fill(7)],
])('64 MiB to a slow reader, %s: the writer waits, and neither side fills its memory', async (_, psk) => {
  const [a, b] = await bench.pair(psk === undefined ? {} : { psk })
  const CHUNK = 256 * 1024
  const total = (64 * 1024 * 1024) / CHUNK
  let sent = 0
  let got = 0
  let peak = 0
  const base = process.memoryUsage().arrayBuffers
  let go: () => void = () => undefined
  const gate = new Promise<void>((resolve) => (go = resolve))
  const done = new Promise<void>((resolve, reject) => {
    const slow = async (stream: MessageStream): Promise<void> => {
      try {
        await stream.receive()
        got++
        await gate
        for (let bytes = await stream.receive(); bytes !== undefined; bytes = await stream.receive()) {
          got++
          peak = Math.max(peak, sent - got)
          if (got % 8 === 0) await new Promise((next) => systemClock.after(1, () => next(undefined)))
        }
        resolve()
      } catch (error) {
        reject(error)
      }
    }
    void b.network.handle(spec(), slow)
  })
  const writing = (async () => {
    const stream = await a.network.open(b.id, spec())
    for (let n = 0; n < total; n++) {
      await stream.send(new Uint8Array(CHUNK).fill(n))
      sent++
    }
    await stream.close()
  })()
  // The writer comes to a stop while nobody reads.
  await standsStill(() => sent)
  expect(sent * CHUNK).toBeLessThan(8 * 1024 * 1024)
  expect(process.memoryUsage().arrayBuffers - base).toBeLessThan(40 * 1024 * 1024)
  go()
  await Promise.all([writing, done])
  expect(got).toBe(total)
  expect(peak * CHUNK).toBeLessThan(16 * 1024 * 1024)
})
