// The home under hard circumstances: a second peer, kill -9, long paths, damage, a folder of somebody else.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fromUtf8, utf8 } from '../../../core/bytes.ts'
import { Home, socketPathOf } from '../../../node/home.ts'
import { loadIdentity, loadMembership } from '../../../node/identity.ts'
import { signerOf } from '../../../protocols/kit/signing.ts'

let folder = ''
const children = new Set<ChildProcess>()
const open = new Set<Home>()

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudskin-home-'))
})
afterEach(async () => {
  for (const home of open) await home.close()
  open.clear()
  for (const child of children) await killed(child)
  await rm(folder, { recursive: true, force: true })
})

async function opened(path: string): Promise<Home> {
  const home = await Home.open(path)
  open.add(home)
  return home
}

async function killed(child: ChildProcess): Promise<void> {
  children.delete(child)
  const exit = once(child, 'exit')
  if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await exit
}

/** A process of its own that holds `path`; resolves with it and its peer id. */
async function holder(path: string): Promise<{ child: ChildProcess; peer: string }> {
  const child = fork(fileURLToPath(new URL('./children/home-holder.ts', import.meta.url)), [path])
  children.add(child)
  const [peer] = (await once(child, 'message')) as [string]
  return { child, peer }
}

test('a second peer is refused and told which process holds the home; after kill -9 the home is free, and whole', async () => {
  const { child, peer } = await holder(folder)
  await expect(Home.open(folder)).rejects.toMatchObject({ code: 'HOME_LOCKED', facts: { pid: child.pid } })
  await killed(child)
  const home = await opened(folder)
  expect(fromUtf8((await home.records('things').get('kept')) ?? new Uint8Array())).toBe('by the first')
  expect(signerOf(await loadIdentity(folder)).self).toBe(peer)
  await expect(Home.open(folder)).rejects.toMatchObject({ code: 'HOME_LOCKED', facts: { pid: process.pid } })
})

test('a lock of a process that has died since, or of another with its number, holds nothing', async () => {
  const { child } = await holder(folder)
  const pid = child.pid ?? 0
  await killed(child)
  await writeFile(join(folder, 'lock'), `${pid} 1`)
  await (await Home.open(folder)).close()
  await writeFile(join(folder, 'lock'), `${process.pid} 1`)
  await (await Home.open(folder)).close()
  await writeFile(join(folder, 'lock'), 'nonsense')
  await (await Home.open(folder)).close()
})

test('records are kept apart by kind, listed, removed, and come back', async () => {
  const first = await Home.open(folder)
  await first.records('a').put('one', utf8('1'))
  await first.records('a').put('two', utf8('2'))
  await first.records('ab').put('one', utf8('other'))
  await first.records('a').remove('two')
  await first.close()
  await first.close()
  const home = await opened(folder)
  expect((await home.records('a').list()).map(([key, value]) => [key, fromUtf8(value)])).toEqual([['one', '1']])
  expect(await home.records('a').get('two')).toBeUndefined()
})

test('the home is for this user alone, and its socket fits whatever the path', async () => {
  const deep = join(folder, 'd'.repeat(60), 'e'.repeat(60))
  await opened(deep)
  expect((await stat(deep)).mode & 0o777).toBe(0o700)
  for (const home of [folder, deep]) expect(Buffer.byteLength(socketPathOf(home))).toBeLessThanOrEqual(100)
  expect(dirname(socketPathOf(folder))).toBe(folder)
  expect(socketPathOf(deep)).not.toBe(socketPathOf(`${deep}x`))
  expect((await stat(dirname(socketPathOf(deep)))).mode & 0o777).toBe(0o700)
})

test('damage and what is no folder are named', async () => {
  await writeFile(join(folder, 'file'), '')
  await expect(Home.open(join(folder, 'file'))).rejects.toMatchObject({ code: 'HOME_UNREADABLE' })
  await writeFile(join(folder, 'identity.key'), 'not a key')
  await writeFile(join(folder, 'mesh.cbor'), 'not a mesh')
  await expect(loadIdentity(folder)).rejects.toMatchObject({ code: 'HOME_UNREADABLE' })
  await expect(loadMembership(folder)).rejects.toMatchObject({ code: 'HOME_UNREADABLE' })
})

test.skipIf(process.getuid?.() === 0)('a home that cannot be written is said to be so', async () => {
  const path = join(folder, 'readonly')
  await mkdir(path)
  await chmod(path, 0o500)
  await expect(Home.open(path)).rejects.toMatchObject({ code: 'HOME_UNREADABLE' })
})
