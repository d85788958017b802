// Files that no peer holds in memory, from a local file into a cell that moves, and back to a local file. Real peers; `fir`
// submits, the others host.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { cellAt, ended, migrate, running, samplePath, stdoutOf } from '../../testnet/processes/cells.ts'
import { ProcessMesh, type ProcessPeer } from '../../testnet/processes/mesh.ts'
import { until } from '../../testnet/processes/until.ts'
import { at, cli, expectWell, LONG, meshOf } from './fixture.ts'

const MIB = LONG ? 512 : 48
const ENDS_MS = LONG ? 600_000 : 120_000
const EXTSORT = samplePath('extsort')
const DISK = ['--disk-mb', String(4 * MIB + 64)]

let mesh: ProcessMesh
let fir: ProcessPeer
let larch: ProcessPeer
let yew: ProcessPeer
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudskin-'))
  mesh = await ProcessMesh.create()
  // Slow enough that two moves are over before the sort is.
  const flags = (name: string): string[] => (name === 'fir' ? ['--slots', '0'] : ['--fuel-share', '0.2'])
  ;[fir, larch, yew] = (await meshOf(mesh, ['fir', 'larch', 'yew'], flags)) as [ProcessPeer, ProcessPeer, ProcessPeer]
}, 120_000)

afterAll(async () => {
  await mesh?.stop()
  await rm(folder, { recursive: true, force: true })
})

async function run(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await cli(at(fir, 'run', EXTSORT, '--detach', '-o', 'json', ...DISK, ...args))
  if (code !== 0) throw new Error(stderr)
  return (JSON.parse(stdout) as { cell: string }).cell
}

async function got(cell: string, path: string): Promise<Buffer> {
  const local = join(folder, 'got')
  const { code, stderr } = await cli(at(fir, 'get', cell, path, local))
  if (code !== 0) throw new Error(stderr)
  return readFile(local)
}

function checksum(text: string): string | undefined {
  return /checksum (\w+)/.exec(text)?.[1]
}

it('are sorted while the sort moves, and come back', { timeout: 3 * ENDS_MS }, async () => {
  const make = await run('--on', 'larch', '--out', '/out/data', '--', 'make', String(MIB), '/out/data')
  expect(await ended(fir, make, ENDS_MS)).toMatchObject({ phase: 'finished', exitCode: 0 })
  const made = checksum(await stdoutOf(fir, make))
  expect(made).toBeDefined()
  const data = join(folder, 'data')
  await cli(at(fir, 'get', make, '/out/data', data))
  expect((await readFile(data)).length).toBe(MIB << 20)

  const sort = await run('--on', 'yew', '--file', `${data}:/data`, '--out', '/out', '--', '/data', '/out/sorted', '2')
  await running(fir, sort)
  // Its input as it is in the running cell, whichever peer asks.
  expect((await got(sort, '/data')).equals(await readFile(data))).toBe(true)
  for (const to of [larch, yew]) {
    const move = await migrate(fir, sort, to)
    expect([move.outcome, move.reason]).toEqual(['moved', undefined])
    await until('it is there', async () => (await cellAt(fir, sort)).host === to.peer)
  }
  expect(await ended(fir, sort, ENDS_MS)).toMatchObject({ phase: 'finished', exitCode: 0 })
  expect(checksum(await stdoutOf(fir, sort))).toBe(made)
  const sorted = await got(sort, '/out/sorted')
  expect(sorted.length).toBe(MIB << 20)
  for (let i = 16; i < sorted.length; i += 16)
    if (sorted.compare(sorted, i, i + 16, i - 16, i) > 0) throw new Error(`the record at ${i} is out of order`)

  // Whoever ran it has let go of all that it took beside its objects.
  for (const peer of [larch, yew]) expect(await readdir(join(peer.home, 'scratch', 'results'))).toEqual([])
  await expectWell([fir, larch, yew])
})
