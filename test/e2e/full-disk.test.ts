// A home on a disk that is full: what does not fit is refused with a code, what was acknowledged stays, the peer goes on.
import { execFile } from 'node:child_process'
import { mkdir, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cellAt, ended, fileOf, running, samplePath, stdoutOf, submit } from '../../testnet/processes/cells.ts'
import { ProcessMesh, type ProcessPeer } from '../../testnet/processes/mesh.ts'
import { until } from '../../testnet/processes/until.ts'
import { again, allAlive, at, cli, expectWell, QUICK } from './fixture.ts'

const call = promisify(execFile)
/** Room for a home, some modules and little else. */
const DISK_BYTES = 8 * 1024 * 1024

let mesh: ProcessMesh
let disk: string
let mounted = false
/** `cork` has its home on the small disk, `elm` elsewhere. */
let cork: ProcessPeer
let elm: ProcessPeer

beforeAll(async () => {
  mesh = await ProcessMesh.create()
  disk = join(mesh.folder, 'disk')
  await mkdir(disk)
  mounted = await call('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', disk]).then(
    () => true,
    () => false,
  )
  if (!mounted) return
  elm = await mesh.start({ name: 'elm', flags: [...QUICK] })
  const ticket = await mesh.ticket(elm)
  cork = await mesh.start({ name: 'cork', home: join(disk, 'home'), flags: [...QUICK, '--join', ticket] })
  await allAlive([elm, cork])
})

afterAll(async () => {
  for (const peer of mesh?.peers ?? []) await mesh.kill(peer)
  if (mounted) await call('umount', ['-l', disk])
  await mesh?.stop()
})

const filler = (): string => join(disk, 'filler')

/** Leaves `bytes` free, about. */
async function fill(bytes = 0): Promise<void> {
  await rm(filler(), { force: true })
  const { bavail, bsize } = await statfs(disk)
  const free = Math.max(0, bavail * bsize - bytes)
  // The last pages may be gone by the time they are written: full is what is wanted.
  await writeFile(filler(), Buffer.alloc(free)).catch(() => undefined)
}

const empty = (): Promise<void> => rm(filler(), { force: true })

const linesTo = (count: number): string => Array.from({ length: count }, (_, index) => `line ${index + 1}\n`).join('')

describe('a full disk', () => {
  it('needs a small tmpfs to try on', (context) => {
    if (!mounted) context.skip('mounting a tmpfs needs root')
    expect(mounted).toBe(true)
  })

  it('refuses uploads and submissions with a code, and takes them once there is room', async (context) => {
    if (!mounted) context.skip('mounting a tmpfs needs root')
    const before = await submit(cork, { module: samplePath('queens'), args: ['8'] })
    expect(await ended(cork, before.cell)).toMatchObject({ phase: 'finished' })
    await fill()
    const big = join(mesh.folder, 'big')
    await writeFile(big, Buffer.alloc(3_000_000, 1))
    const refused = await cli(at(cork, 'run', samplePath('checksum'), '--file', `${big}:/in/big`, '--', '/in/big'))
    expect(refused.code).toBe(1)
    expect(refused.stderr).toMatch(/\[(BLOB_STORE_FULL|HOME_FULL)\]/)
    // Nothing new to upload: what does not fit is the record.
    const again8 = await cli(at(cork, 'run', samplePath('queens'), '--', '8'))
    expect(again8.code).toBe(1)
    expect(again8.stderr).toMatch(/\[(BLOB_STORE_FULL|HOME_FULL)\]/)
    await expectWell([elm, cork])
    expect(await cellAt(cork, before.cell)).toMatchObject({ phase: 'finished' })
    await empty()
    const after = await cli(at(cork, 'run', samplePath('queens'), '--', '8'))
    expect(after).toMatchObject({ code: 0, stdout: '8 queens: 92 ways\n' })
  })

  it('of an authority holds reports back: output and result arrive when there is room, each byte once', async (context) => {
    if (!mounted) context.skip('mounting a tmpfs needs root')
    const { cell } = await submit(cork, { module: samplePath('sleeper'), args: ['150', '10'], on: 'elm' })
    await running(cork, cell)
    await until('some lines are there', async () => (await stdoutOf(cork, cell)).includes('line 3\n'))
    await fill()
    await until('the host has ended it', async () => {
      const { cells } = await elm.client.call<{ cells: unknown[] }>('/cells')
      return cells.length === 0
    })
    const known = await stdoutOf(cork, cell)
    expect(linesTo(150).startsWith(known)).toBe(true)
    await empty()
    expect(await ended(cork, cell)).toMatchObject({ phase: 'finished', exitCode: 0 })
    expect(await stdoutOf(cork, cell)).toBe(linesTo(150))
  })

  it('of a host keeps the end of a cell in memory until it fits, or fails it with a code', async (context) => {
    if (!mounted) context.skip('mounting a tmpfs needs root')
    // A cell is only placed where all the disk that it may take is free.
    const limits = { diskBytes: 100_000 }
    const { cell } = await submit(elm, { module: samplePath('sleeper'), args: ['150', '10'], limits, on: 'cork' })
    const files = await submit(elm, {
      module: samplePath('fault'),
      args: ['fill', '/out/x'],
      limits: { diskBytes: 1_200_000 },
      on: 'cork',
    })
    await running(elm, cell)
    expect(await ended(elm, files.cell)).toMatchObject({ phase: 'finished', exitCode: 4 })
    await fill()
    const refused = await submit(elm, {
      module: samplePath('fault'),
      args: ['fill', '/out/y'],
      limits: { diskBytes: 1_000_000 },
    })
    expect((await ended(elm, refused.cell)).phase).toMatch(/finished|failed/)
    await until('all lines are there', async () => (await stdoutOf(elm, cell)) === linesTo(150))
    await expectWell([elm, cork])
    await empty()
    expect(await ended(elm, cell)).toMatchObject({ phase: 'finished', exitCode: 0 })
    expect((await fileOf(elm, files.cell, '/out/x')).length).toBeGreaterThan(1_000_000)
  })

  it('while the peer is killed costs nothing that was acknowledged', async (context) => {
    if (!mounted) context.skip('mounting a tmpfs needs root')
    const { cell } = await submit(cork, { module: samplePath('sleeper'), args: ['100', '10'], on: 'elm' })
    await running(cork, cell)
    const kept: string[] = []
    for (let round = 0; round < 3; round++) {
      const { cell: one } = await submit(cork, { module: samplePath('queens'), args: ['6'] })
      await ended(cork, one)
      kept.push(one)
    }
    await fill()
    await expect(submit(cork, { module: samplePath('queens'), args: ['6'] })).rejects.toMatchObject({
      code: expect.stringMatching(/FULL/),
    })
    await mesh.kill(cork)
    await empty()
    cork = await mesh.start({ name: 'cork', home: cork.home, flags: again(elm) })
    for (const one of kept) expect(await cellAt(cork, one)).toMatchObject({ phase: 'finished', exitCode: 0 })
    expect(await ended(cork, cell)).toMatchObject({ phase: 'finished', exitCode: 0 })
    expect(await stdoutOf(cork, cell)).toBe(linesTo(100))
    await expectWell([elm, cork])
  })

  it('at the start refuses to start, with a code', async (context) => {
    if (!mounted) context.skip('mounting a tmpfs needs root')
    await fill()
    const { code, stderr } = await cli(['up', '--home', join(disk, 'other'), ...QUICK, '--no-mdns'])
    expect(code).toBe(1)
    expect(stderr).toMatch(/\[HOME_FULL\]/)
    await empty()
  })
})
