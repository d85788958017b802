import { mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { concat, sha256Hex, utf8 } from '../../../core/bytes.ts'
import { seededRandom } from '../../../core/random.ts'
import { FileBlobStore } from '../../../node/blob-store.ts'
import { objectStream } from '../../../node/cells/object-stream.ts'
import { ManualClock } from '../../support/manual-clock.ts'

let home: string
let store: FileBlobStore

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cloudskin-blobs-'))
  store = new FileBlobStore({ home, quotaBytes: 1_000 })
  await store.start()
})
afterEach(async () => {
  await store.stop()
  await rm(home, { recursive: true, force: true })
})

const leftovers = (): Promise<string[]> => readdir(join(home, 'blobs', 'tmp'))
const coded = (code: string): unknown => expect.objectContaining({ code })

test('what was put is there, whole and in parts, also after a restart', async () => {
  const bytes = seededRandom(1).bytes(900)
  const cid = await store.put(bytes)
  expect(cid).toBe(sha256Hex(bytes))
  expect((await stat(join(home, 'blobs', cid.slice(0, 2), cid.slice(2)))).size).toBe(900)
  for (const at of [store, new FileBlobStore({ home })]) {
    await at.start()
    expect(await at.has(cid)).toBe(true)
    expect(await at.size(cid)).toBe(900)
    expect(await at.readWhole(cid)).toEqual(bytes)
    expect(await at.read(cid, 890, 100)).toEqual(bytes.subarray(890))
    expect(await at.read(cid, 2_000, 100)).toHaveLength(0)
    expect(at.usedBytes).toBe(900)
  }
})

test('what is not there is undefined, and what is no content id is refused', async () => {
  const cid = sha256Hex(utf8('absent'))
  expect(await store.size(cid)).toBeUndefined()
  expect(await store.read(cid, 0, 10)).toBeUndefined()
  expect(await store.readWhole(cid)).toBeUndefined()
  expect(await store.remove(cid)).toBe(false)
  expect(await store.read('../../etc/passwd', 0, 10)).toBeUndefined()
})

test('an object appears only when it is committed, under the hash of what was written', async () => {
  const writer = await store.writer()
  await writer.write(utf8('hello '))
  await writer.write(utf8('world'))
  const cid = sha256Hex(utf8('hello world'))
  expect(await store.has(cid)).toBe(false)
  expect(await leftovers()).toHaveLength(1)
  expect(await writer.commit(cid)).toBe(cid)
  expect(await leftovers()).toEqual([])
  await writer.abort()
  expect(await store.readWhole(cid)).toEqual(utf8('hello world'))
})

test('bytes that hash to something else leave nothing behind', async () => {
  const writer = await store.writer()
  await writer.write(utf8('evil'))
  await expect(writer.commit(sha256Hex(utf8('good')))).rejects.toEqual(coded('BLOB_CORRUPT'))
  expect(await leftovers()).toEqual([])
  expect(store.usedBytes).toBe(0)
})

test('the quota counts the unfinished, and room is given back', async () => {
  const first = await store.writer()
  await first.write(new Uint8Array(600))
  const second = await store.writer()
  await expect(second.write(new Uint8Array(500))).rejects.toEqual(coded('BLOB_QUOTA'))
  expect(await leftovers()).toHaveLength(1)
  await first.abort()
  const cid = await store.put(new Uint8Array(1_000))
  await expect(store.put(new Uint8Array(1))).rejects.toEqual(coded('BLOB_QUOTA'))
  expect(await store.remove(cid)).toBe(true)
  expect(store.usedBytes).toBe(0)
  await store.put(new Uint8Array(1))
})

test('the same bytes written twice at once are kept and counted once', async () => {
  const bytes = utf8('twice')
  const cids = await Promise.all([store.put(bytes), store.put(bytes), store.put(bytes)])
  expect(new Set(cids).size).toBe(1)
  expect(store.usedBytes).toBe(bytes.length)
  expect(await leftovers()).toEqual([])
})

test('an object that rotted on the disk is refused and dropped', async () => {
  const bytes = utf8('important')
  const cid = await store.put(bytes)
  await writeFile(join(home, 'blobs', cid.slice(0, 2), cid.slice(2)), concat([utf8('X'), bytes.subarray(1)]))
  await expect(store.readWhole(cid)).rejects.toEqual(coded('BLOB_CORRUPT'))
  expect(await store.has(cid)).toBe(false)
  await rm(join(home, 'blobs'), { recursive: true })
  const again = new FileBlobStore({ home })
  await again.start()
  expect(again.usedBytes).toBe(0)
})

test('an object removed behind our back is one that is not there', async () => {
  const cid = await store.put(utf8('gone'))
  await rm(join(home, 'blobs', cid.slice(0, 2), cid.slice(2)))
  expect(await store.read(cid, 0, 4)).toBeUndefined()
  expect(await store.has(cid)).toBe(false)
  expect(store.usedBytes).toBe(0)
})

test('the next start removes what a crash left unfinished', async () => {
  await writeFile(join(home, 'blobs', 'tmp', 'half'), 'half of somethi')
  await writeFile(join(home, 'blobs', 'README'), 'not ours')
  await store.start()
  expect(await leftovers()).toEqual([])
  expect(store.usedBytes).toBe(0)
})

describe('a full store', () => {
  const QUARTER_HOUR_MS = 15 * 60_000
  const bytesOf = (seed: number): Uint8Array => seededRandom(seed).bytes(300)

  test('lets go of what nobody needs, that first which was not used for longest', async () => {
    const clock = new ManualClock()
    const needed = new Set<string>()
    const full = new FileBlobStore({ home, quotaBytes: 1_000, needed: () => needed, clock })
    await full.start()
    const [first, second, third] = [await full.put(bytesOf(1)), await full.put(bytesOf(2)), await full.put(bytesOf(3))]
    await clock.advance(QUARTER_HOUR_MS + 1)
    await full.read(first, 0, 1)
    needed.add(second)
    const fourth = await full.put(bytesOf(4))
    expect(await Promise.all([first, second, third, fourth].map((cid) => full.has(cid)))).toEqual([
      true,
      true,
      false,
      true,
    ])
    expect(full.usedBytes).toBe(900)
    await clock.advance(QUARTER_HOUR_MS + 1)
    needed.add(first).add(fourth)
    await expect(full.put(bytesOf(5))).rejects.toEqual(coded('BLOB_QUOTA'))
    expect(full.usedBytes).toBe(900)
  })

  test('keeps what was used just now, and after a restart goes by age', async () => {
    const clock = new ManualClock()
    const full = new FileBlobStore({ home, quotaBytes: 1_000, needed: () => new Set(), clock })
    await full.start()
    const cids = [await full.put(bytesOf(1)), await full.put(bytesOf(2)), await full.put(bytesOf(3))]
    await expect(full.put(bytesOf(4))).rejects.toEqual(coded('BLOB_QUOTA'))
    for (const [index, cid] of cids.entries())
      await utimes(join(home, 'blobs', cid.slice(0, 2), cid.slice(2)), 1_000 - index, 1_000 - index)
    await full.start()
    await full.put(bytesOf(4))
    expect(await Promise.all(cids.map((cid) => full.has(cid)))).toEqual([true, true, false])
  })

  test('takes back at once what it is just letting go', async () => {
    const cid = await store.put(bytesOf(1))
    const [removed] = await Promise.all([store.remove(cid), store.put(bytesOf(1))])
    expect(removed).toBe(true)
    expect(await store.readWhole(cid)).toEqual(bytesOf(1))
  })
})

describe('a file that is taken over', () => {
  const file = (): string => join(home, 'result')

  test('is an object without having been copied, and gone from its place', async () => {
    const bytes = seededRandom(3).bytes(800)
    await writeFile(file(), bytes)
    const { ino } = await stat(file())
    const cid = await store.adopt(file())
    expect(cid).toBe(sha256Hex(bytes))
    expect(await store.readWhole(cid)).toEqual(bytes)
    const path = store.fileOf(cid)
    if (path === undefined) throw new Error('it is no file')
    expect((await stat(path)).ino).toBe(ino)
    await expect(stat(file())).rejects.toThrow('ENOENT')
    expect(store.usedBytes).toBe(800)
  })

  test('counts once when the object is there already', async () => {
    const bytes = seededRandom(3).bytes(400)
    const cid = await store.put(bytes)
    await writeFile(file(), bytes)
    expect(await store.adopt(file())).toBe(cid)
    expect(store.usedBytes).toBe(400)
    await expect(stat(file())).rejects.toThrow('ENOENT')
  })

  test('is refused above the quota, and through a link, and nothing is kept', async () => {
    await writeFile(file(), new Uint8Array(1_001))
    await expect(store.adopt(file())).rejects.toEqual(coded('BLOB_QUOTA'))
    await expect(stat(file())).rejects.toThrow('ENOENT')
    await writeFile(join(home, 'secret'), 'a key')
    await symlink(join(home, 'secret'), file())
    await expect(store.adopt(file())).rejects.toThrow('ELOOP')
    expect(await readFile(join(home, 'secret'), 'utf8')).toBe('a key')
    expect(store.usedBytes).toBe(0)
  })
})

describe('an object that is sent', () => {
  const sent = async (cid: string): Promise<Uint8Array> => {
    const stream = await objectStream(store, cid)
    if (stream === undefined) throw new Error('it is not there')
    const parts: Uint8Array[] = []
    for await (const part of stream.chunks) parts.push(part)
    return concat(parts)
  }

  test('comes as it is, also when it is empty', async () => {
    for (const bytes of [seededRandom(4).bytes(900), new Uint8Array(0)])
      expect(await sent(await store.put(bytes))).toEqual(bytes)
    expect(await objectStream(store, sha256Hex(utf8('absent')))).toBeUndefined()
  })

  test('never comes whole when it rotted, and is dropped', async () => {
    for (const rotten of ['jello', 'hell', '']) {
      const cid = await store.put(utf8('hello'))
      await writeFile(store.fileOf(cid) ?? '', rotten)
      await expect(sent(cid)).rejects.toEqual(coded('BLOB_CORRUPT'))
      expect(await store.has(cid)).toBe(false)
    }
  })
})
