import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { equal } from '../../../core/bytes.ts'
import { Home, socketPathOf } from '../../../node/home.ts'
import { Folders } from './folders.ts'

let folders: Folders
const children: ChildProcess[] = []
beforeEach(() => {
  folders = new Folders()
})
afterEach(async () => {
  for (const child of children.splice(0)) await kill(child)
  folders.close()
})

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
}

/** A process that holds `home` and writes; resolves once `lines` lines were printed. */
async function holder(home: string, lines: number): Promise<{ child: ChildProcess; printed: () => string[] }> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./holder.ts', import.meta.url)), home], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  let text = ''
  const printed = (): string[] => text.split('\n').slice(0, -1)
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (data) => {
      text += data
      if (printed().length >= lines) resolve()
    })
    child.once('exit', () => reject(new Error('the holder ended')))
  })
  return { child, printed }
}

const recordOf = (key: string, bytes: number): Uint8Array => new Uint8Array(bytes).fill(Number(key))
const same = (got: Uint8Array | undefined, wanted: Uint8Array): boolean => got !== undefined && equal(got, wanted)
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777

describe('the lock', () => {
  test('a second open is refused, by the name of the holder, until the first is closed', async () => {
    const path = folders.path('home')
    const first = await Home.open(path)
    const wanted = { code: 'HOME_LOCKED', facts: { home: path, pid: process.pid } }
    await expect(Home.open(path)).rejects.toMatchObject(wanted)
    await expect(Home.open(`${path}/`)).rejects.toMatchObject(wanted)
    await first.close()
    await first.close()
    await (await Home.open(path)).close()
  })

  test('another process is named; killed hard, it holds nothing, and all that it had acknowledged is there', async () => {
    const path = folders.path('home')
    const { child, printed } = await holder(path, 30)
    await expect(Home.open(path)).rejects.toMatchObject({ code: 'HOME_LOCKED', facts: { pid: child.pid } })
    await kill(child)
    const acknowledged = printed().slice(1)
    expect(acknowledged.length).toBeGreaterThanOrEqual(29)
    const home = await Home.open(path)
    const kept = new Map(await home.records('written').list())
    for (const key of acknowledged) expect(same(kept.get(key), recordOf(key, 100))).toBe(true)
    await home.close()
  })

  test.each([
    ['of a process that is no more', '4194304 12345'],
    ['of a process id that somebody else has now', `${process.pid} 1`],
    ['that was never filled', ''],
    ['of nonsense', 'what is this'],
  ])('a lock %s is taken over', async (_, content) => {
    const path = folders.path('home')
    await mkdir(path)
    await writeFile(join(path, 'lock'), content)
    const home = await Home.open(path)
    expect(await readFile(join(path, 'lock'), 'utf8')).toMatch(new RegExp(`^${process.pid} \\d+$`))
    await home.close()
    await expect(stat(join(path, 'lock'))).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test.runIf(process.platform === 'linux')('a process that is dead and not yet buried holds nothing', async () => {
    // The shell starts a child and becomes a program that never asks how the child ended.
    const parent = spawn('sh', ['-c', 'sleep 0.1 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'inherit'] })
    children.push(parent)
    const pid = await new Promise<number>((resolve) => parent.stdout.once('data', (data) => resolve(Number(data))))
    const zombie = await expect
      .poll(async () => await readFile(`/proc/${pid}/stat`, 'utf8'), { timeout: 5_000 })
      .toMatch(/\) Z /)
      .then(() => readFile(`/proc/${pid}/stat`, 'utf8'))
    const startTime = zombie.slice(zombie.lastIndexOf(')') + 2).split(' ')[19]
    const path = folders.path('home')
    await mkdir(path)
    await writeFile(join(path, 'lock'), `${pid} ${startTime}`)
    await (await Home.open(path)).close()
  })

  test('where two take over the same dead lock, the records let one in, and it keeps its lock', async () => {
    const path = folders.path('home')
    const first = await Home.open(path)
    // As if both had found the lock dead, and the second had removed what the first wrote.
    await writeFile(join(path, 'lock'), '4194304 1')
    await expect(Home.open(path)).rejects.toMatchObject({ code: 'HOME_LOCKED' })
    await first.records('a').put('k', Uint8Array.of(1))
    await first.close()
    await (await Home.open(path)).close()
  })
})

describe('what is in it', () => {
  test('records of kinds do not meet, a later one wins, a removed one is gone', async () => {
    const path = folders.path('home')
    const home = await Home.open(path)
    const [a, b] = [home.records('a'), home.records('b')]
    await a.put('k', Uint8Array.of(1))
    await a.put('k', Uint8Array.of(2))
    await b.put('k', Uint8Array.of(3))
    await b.put('gone', Uint8Array.of(4))
    await b.remove('gone')
    await home.close()
    const again = await Home.open(path)
    expect((await again.records('a').list()).map(([key, value]) => [key, ...value])).toEqual([['k', 2]])
    expect((await again.records('b').list()).map(([key, value]) => [key, ...value])).toEqual([['k', 3]])
    expect(await again.records('b').get('gone')).toBeUndefined()
    await again.close()
  })

  test('nobody else can read it, even in a folder that was open to all', async () => {
    const fresh = folders.path('fresh')
    await (await Home.open(fresh)).close()
    expect(await modeOf(fresh)).toBe(0o700)
    const shared = folders.path('shared')
    await mkdir(shared, { mode: 0o755 })
    const home = await Home.open(shared)
    expect(await modeOf(join(shared, 'records'))).toBe(0o700)
    expect(await modeOf(join(shared, 'lock'))).toBe(0o600)
    await home.close()
  })
})

test('writes asked for together are all there, in the order of asking', async () => {
  const path = folders.path('home')
  const home = await Home.open(path)
  const records = home.records('a')
  const last = Array.from({ length: 50 }, (_, n) => records.put('same', Uint8Array.of(n)))
  await Promise.all([...last, records.put('gone', Uint8Array.of(1)), records.remove('gone')])
  expect([...((await records.get('same')) ?? [])]).toEqual([49])
  expect(await records.get('gone')).toBeUndefined()
  const closing = records.put('late', Uint8Array.of(7))
  await home.close()
  await closing
  const again = await Home.open(path)
  expect([...((await again.records('a').get('late')) ?? [])]).toEqual([7])
  await again.close()
})

describe('the socket', () => {
  test('is in the home where that fits, else in a folder of this user alone', async () => {
    expect(socketPathOf('/srv/peer')).toBe('/srv/peer/control.sock')
    expect(socketPathOf('peer')).toBe(socketPathOf(join(process.cwd(), 'peer')))
    const long = folders.path('long/'.repeat(30))
    const home = await Home.open(long)
    expect(Buffer.byteLength(home.socketPath)).toBeLessThanOrEqual(100)
    expect(await modeOf(join(home.socketPath, '..'))).toBe(0o700)
    expect(socketPathOf(`${long}x`)).not.toBe(home.socketPath)
    await home.close()
  })

  test('does not go where others can put something in its place', async () => {
    const before = process.env.TMPDIR
    process.env.TMPDIR = folders.path('tmp')
    try {
      const long = folders.path('long/'.repeat(30))
      const folder = join(socketPathOf(long), '..')
      expect(folder.startsWith(folders.path('tmp'))).toBe(true)
      await mkdir(folder, { recursive: true })
      await chmod(folder, 0o777)
      await expect(Home.open(long)).rejects.toMatchObject({ code: 'HOME_UNREADABLE' })
    } finally {
      if (before === undefined) delete process.env.TMPDIR
      else process.env.TMPDIR = before
    }
  })
})

describe('a home that cannot be used', () => {
  test('a file in its place, or damaged records, say so', async () => {
    const file = folders.path('file')
    await writeFile(file, '')
    await expect(Home.open(file)).rejects.toMatchObject({ code: 'HOME_UNREADABLE' })
    const damaged = folders.path('damaged')
    const home = await Home.open(damaged)
    await home.records('a').put('k', new Uint8Array(1000))
    await home.close()
    await writeFile(join(damaged, 'records', 'CURRENT'), 'garbage')
    await expect(Home.open(damaged)).rejects.toMatchObject({ code: 'HOME_UNREADABLE', facts: { home: damaged } })
    // And the refusal left no lock behind.
    await expect(stat(join(damaged, 'lock'))).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('a full disk is HOME_FULL, loses nothing, and is over when there is room again', async ({ skip }) => {
    const path = folders.small('full', '4m')
    if (path === undefined) return skip('this user may not mount a small file system')
    const home = await Home.open(path)
    const records = home.records('written')
    const written: string[] = []
    const fill = async (): Promise<void> => {
      for (let n = 0; n < 1000; n++) {
        const key = String(n).padStart(4, '0')
        await records.put(key, recordOf(key, 10_000))
        written.push(key)
      }
    }
    await writeFile(join(path, 'ballast'), new Uint8Array(3_000_000))
    await expect(fill()).rejects.toMatchObject({ code: 'HOME_FULL', facts: { home: path } })
    expect(written.length).toBeGreaterThan(10)
    const check = async (from: Home): Promise<void> => {
      const kept = new Map(await from.records('written').list())
      for (const key of written) expect(same(kept.get(key), recordOf(key, 10_000))).toBe(true)
    }
    await check(home)
    // As long as it is full it stays refused, a small record too, and what is there can be read.
    await expect(records.put('small', Uint8Array.of(1))).rejects.toMatchObject({ code: 'HOME_FULL' })
    await check(home)
    await writeFile(join(path, 'ballast'), '')
    await records.put('after', Uint8Array.of(1))
    await check(home)
    await home.close()
    const again = await Home.open(path)
    await check(again)
    expect(same(await again.records('written').get('after'), Uint8Array.of(1))).toBe(true)
    expect(await again.records('written').get('small')).toBeUndefined()
    await again.close()
  })
})
