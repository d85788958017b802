import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultLogger } from '@libp2p/logger'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { equal, sha256Hex, utf8 } from '../../../core/bytes.ts'
import { systemRandom } from '../../../core/random.ts'
import { toCbor } from '../../../core/shape.ts'
import { FileBlobStore } from '../../../node/blob-store.ts'
import { type BlobService, blobService } from '../../../protocols/blobs/index.ts'
import { CREDIT } from '../../../protocols/blobs/messages.ts'
import { BLOB_PROTOCOL, CHUNK_BYTES, CREDIT_CHUNKS, WINDOW_CHUNKS } from '../../../protocols/blobs/protocol.ts'
import { MemoryMesh, type MemoryNetwork } from '../../../protocols/kit/memory-network.ts'
import { okReply } from '../../../protocols/kit/request.ts'

interface Peer {
  readonly network: MemoryNetwork
  readonly store: FileBlobStore
  readonly service: BlobService
  readonly home: string
}

const log = defaultLogger().forComponent('test:blobs')
const random = systemRandom
let mesh: MemoryMesh
const peers: Peer[] = []

beforeEach(() => {
  mesh = new MemoryMesh()
})
afterEach(async () => {
  for (const { service, store, home } of peers.splice(0)) {
    await service.stop()
    await store.stop()
    await rm(home, { recursive: true, force: true })
  }
})

async function peer(name: string, mayRead = (_peer: string, _cid: string): boolean => true): Promise<Peer> {
  const home = await mkdtemp(join(tmpdir(), 'cloudskin-blobs-'))
  const network = mesh.join(name)
  const store = new FileBlobStore({ home })
  await store.start()
  const service = blobService({ network, store, policy: { mayRead }, log })
  await service.start()
  const made = { network, store, service, home }
  peers.push(made)
  return made
}

/** A holder that says `size` and sends `chunks`, then ends the stream or breaks it. */
async function liar(name: string, size: number, chunks: Uint8Array[], breaks = false): Promise<void> {
  await mesh.join(name).handle(BLOB_PROTOCOL, async (stream) => {
    await stream.receive()
    await stream.send(okReply({ size }))
    for (const chunk of chunks) await stream.send(chunk)
    if (breaks) throw new Error('power cut')
    await stream.close()
  })
}

const coded = (code: string): unknown => expect.objectContaining({ code })

test.each([0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 21 * CHUNK_BYTES + 5])(
  'an object of %i bytes arrives whole',
  async (size) => {
    const [here, there] = [await peer('here'), await peer('there')]
    const bytes = systemRandom.bytes(size)
    const cid = await there.store.put(bytes)
    expect(await here.service.fetch(cid, ['here', 'nowhere', 'there'])).toBe(size)
    const kept = await here.store.readWhole(cid)
    // Bytewise: the matcher takes seconds for megabytes.
    expect(kept && equal(kept, bytes)).toBe(true)
    mesh.kill('there')
    expect(equal(await here.service.get(cid, []), bytes)).toBe(true)
  },
)

test('who gives up waits no longer, though another goes on fetching the same object', async () => {
  const here = await peer('here')
  await mesh.join('silent').handle(BLOB_PROTOCOL, () => new Promise(() => undefined))
  const cid = sha256Hex(utf8('never comes'))
  const patient = here.service.fetch(cid, ['silent'])
  patient.catch(() => undefined)
  const giveUp = new AbortController()
  const hurried = here.service.fetch(cid, ['silent'], { signal: giveUp.signal })
  await new Promise((resolve) => setImmediate(resolve))
  giveUp.abort(new Error('gave up'))
  await expect(hurried).rejects.toThrow('gave up')
  await here.service.stop()
  await expect(patient).rejects.toMatchObject({ code: 'STOPPED' })
})

test('a holder that dies in mid-transfer is continued by the next one', async () => {
  const [here, there] = [await peer('here'), await peer('there')]
  const bytes = random.bytes(3 * CHUNK_BYTES)
  const cid = await there.store.put(bytes)
  await liar('dying', bytes.length, [bytes.subarray(0, CHUNK_BYTES)])
  const reads: number[] = []
  const read = there.store.read.bind(there.store)
  there.store.read = (id, offset, length) => {
    reads.push(offset)
    return read(id, offset, length)
  }
  expect(equal(await here.service.get(cid, ['dying', 'there']), bytes)).toBe(true)
  expect(reads).toEqual([CHUNK_BYTES, 2 * CHUNK_BYTES])
})

test('a lie is found out, and the honest holder is asked again alone', async () => {
  const [here, there] = [await peer('here'), await peer('there')]
  const bytes = random.bytes(2 * CHUNK_BYTES)
  const cid = await there.store.put(bytes)
  await liar('liar', bytes.length, [random.bytes(CHUNK_BYTES)])
  expect(equal(await here.service.get(cid, ['liar', 'there']), bytes)).toBe(true)
  const other = await there.store.put(random.bytes(9))
  await liar('other-liar', 9, [random.bytes(9)])
  await expect(here.service.fetch(other, ['other-liar'])).rejects.toEqual(coded('BLOB_CORRUPT'))
  expect(here.store.usedBytes).toBe(bytes.length)
  expect(await here.service.fetch(other, ['other-liar', 'there'])).toBe(9)
})

test('chunks of a wrong length, garbage and broken streams cost the holder its turn only', async () => {
  const [here, there] = [await peer('here'), await peer('there')]
  const bytes = random.bytes(CHUNK_BYTES)
  const cid = await there.store.put(bytes)
  await liar('long', 4, [random.bytes(5)])
  await liar('empty', 4, [new Uint8Array()])
  await liar('broken', CHUNK_BYTES, [], true)
  await mesh.join('garbage').handle(BLOB_PROTOCOL, async (stream) => stream.send(utf8('what?')))
  const got = await here.service.get(cid, ['long', 'empty', 'broken', 'garbage', 'there'])
  expect(equal(got, bytes)).toBe(true)
})

test('an object larger than allowed is refused before a byte is kept; a liar about it does not hide the others', async () => {
  const [here, there] = [await peer('here'), await peer('there')]
  const cid = await there.store.put(random.bytes(100))
  await expect(here.service.fetch(cid, ['there'], { maxBytes: 99 })).rejects.toEqual(coded('BLOB_TOO_LARGE'))
  await liar('huge', 2 ** 50, [])
  expect(await here.service.fetch(cid, ['huge', 'there'], { maxBytes: 100 })).toBe(100)
})

test('a reader that grants no credit gets one window and no more', async () => {
  const there = await peer('there')
  const cid = await there.store.put(new Uint8Array(20 * CHUNK_BYTES))
  let reads = 0
  there.store.read = async () => {
    reads++
    return new Uint8Array(CHUNK_BYTES)
  }
  const stream = await mesh.join('slow').open('there', BLOB_PROTOCOL)
  await stream.send(toCbor({ cid, offset: 0 }))
  for (let message = 0; message <= WINDOW_CHUNKS; message++) await stream.receive()
  await new Promise((resolve) => setImmediate(resolve))
  expect(reads).toBe(WINDOW_CHUNKS)
  await stream.send(CREDIT)
  for (let chunk = 0; chunk < CREDIT_CHUNKS; chunk++) await stream.receive()
  await new Promise((resolve) => setImmediate(resolve))
  expect(reads).toBe(WINDOW_CHUNKS + CREDIT_CHUNKS)
})

test('who may not read learns nothing, not even whether the object is here', async () => {
  const [here] = [await peer('here'), await peer('there', (asker) => asker !== 'here')]
  const [, there] = peers as [Peer, Peer]
  const cid = await there.store.put(utf8('secret'))
  const refusal = async (id: string): Promise<string> =>
    here.service.fetch(id, ['there']).then(
      () => 'served',
      (error: Error) => error.message.replaceAll(id, 'CID'),
    )
  expect(await refusal(cid)).toMatch(/not for peer here/)
  expect(await refusal(sha256Hex(utf8('absent')))).toBe(await refusal(cid))
})

test('malformed requests are answered with a reason', async () => {
  const there = await peer('there')
  const cid = await there.store.put(utf8('x'))
  const asker = mesh.join('asker')
  for (const [body, reason] of [
    [toCbor({ cid, offset: 2 }), 'MESSAGE_MALFORMED'],
    [toCbor({ cid, offset: -1 }), 'MESSAGE_MALFORMED'],
    [toCbor({ cid: '../../../../etc/passwd', offset: 0 }), 'BLOB_BAD_CID'],
    [utf8('junk'), 'MESSAGE_MALFORMED'],
  ] as const) {
    const stream = await asker.open('there', BLOB_PROTOCOL)
    await stream.send(body)
    expect(Buffer.from((await stream.receive()) ?? []).toString('latin1')).toContain(reason)
  }
})

test('two fetches share one transfer; an abort ends a fetch and keeps nothing', async () => {
  const [here, there] = [await peer('here'), await peer('there')]
  const cid = await there.store.put(random.bytes(5 * CHUNK_BYTES))
  let served = 0
  const read = there.store.read.bind(there.store)
  there.store.read = (...args) => {
    served++
    return read(...args)
  }
  await Promise.all([here.service.fetch(cid, ['there']), here.service.fetch(cid, ['there'])])
  expect(served).toBe(5)
  await mesh.join('mute').handle(BLOB_PROTOCOL, () => new Promise(() => undefined))
  const abort = new AbortController()
  const waiting = here.service.fetch(sha256Hex(utf8('never')), ['mute'], { signal: abort.signal })
  abort.abort()
  await expect(waiting).rejects.toHaveProperty('name', 'AbortError')
})

test('a holder whose copy rotted is found out', async () => {
  const [here, there] = [await peer('here'), await peer('there')]
  const cid = await there.store.put(utf8('good'))
  await writeFile(join(there.home, 'blobs', cid.slice(0, 2), cid.slice(2)), 'evil')
  await expect(here.service.fetch(cid, ['there'])).rejects.toEqual(coded('BLOB_CORRUPT'))
})

test('nobody to ask, and no content id', async () => {
  const here = await peer('here')
  await expect(here.service.fetch(sha256Hex(utf8('x')), [])).rejects.toEqual(coded('BLOB_UNAVAILABLE'))
  await expect(here.service.fetch('x', [])).rejects.toEqual(coded('BLOB_BAD_CID'))
})
