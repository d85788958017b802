// Cells that cannot be moved, through real peers: run untouched or on Wasmer's runtime, shown as such, refused a move.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CellReply, StatusReply } from '../../node/control/api.ts'
import { ended, running, samplePath } from '../../testnet/processes/cells.ts'
import { ProcessMesh, type ProcessPeer } from '../../testnet/processes/mesh.ts'
import { WasmBuilder } from '../support/wasm-builder.ts'
import { at, cli, expectWell, meshOf } from './fixture.ts'

const FAULT = samplePath('fault')

let mesh: ProcessMesh
let peers: ProcessPeer[]
let here: ProcessPeer
let folder: string

beforeAll(async () => {
  mesh = await ProcessMesh.create()
  folder = await mkdtemp(join(tmpdir(), 'cloudskin-files-'))
  peers = await meshOf(mesh, ['cedar', 'larch'])
  here = peers[0] as ProcessPeer
})

afterAll(async () => {
  await mesh?.stop()
  await rm(folder, { recursive: true, force: true })
})

/** Submits a program that spins, and resolves once it runs. */
async function spinning(...flags: string[]): Promise<string> {
  const { stdout, stderr } = await cli(at(here, 'run', FAULT, '-d', ...flags, '--', 'spin'))
  expect(stderr).not.toContain('[')
  const cell = stdout.trim()
  await running(here, cell)
  return cell
}

describe.each([
  ['with --migratable=false', ['--migratable=false'], 'wasi'],
  ['with --engine wasix', ['--engine', 'wasix'], 'wasix'],
])('a cell %s', (_name, flags, engine) => {
  it('runs, is shown as one that stays, cannot be moved, and can be stopped', async () => {
    const cell = await spinning(...flags, '--on', 'larch')
    const shown = await here.client.call<CellReply>(`/cells/${cell}`)
    expect(shown).toMatchObject({ engine, migratable: false, phase: 'running' })
    expect((await cli(at(here, 'ps'))).stdout).toMatch(new RegExp(`${engine} .*running .* stays `))
    const moved = await cli(at(here, 'migrate', cell, '--to', 'cedar'))
    expect(moved.stderr).toContain('[ENGINE_NOT_MIGRATABLE]')
    expect(await here.client.call<CellReply>(`/cells/${cell}`)).toMatchObject({ phase: 'running', moves: [] })
    expect((await cli(at(here, 'stop', cell))).code).toBe(0)
    expect(await ended(here, cell)).toMatchObject({ phase: 'stopped' })
  })

  it('brings its results back', async () => {
    const input = join(folder, 'ops.txt')
    await writeFile(input, 'set a 1\nset b 2\n')
    const result = `/${engine === 'wasix' ? 'workspace' : 'out'}/${engine}.txt`
    const args = [...flags, '--file', `${input}:/in/ops.txt`, '--', '/in/ops.txt', result, '1']
    const { code, stdout } = await cli(at(here, 'run', samplePath('kvstore'), ...args))
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('2 keys left') })
    const cells = await here.client.call<{ cells: CellReply[] }>('/cells', { query: { all: '1' } })
    const { cell } = cells.cells.find(({ files }) => files.some(({ path }) => path === result)) ?? { cell: '' }
    const copy = join(folder, `${engine}.txt`)
    expect((await cli(at(here, 'get', cell, result, copy))).code).toBe(0)
    expect(await readFile(copy, 'utf8')).toContain('a=1')
  })
})

describe('a module that is refused otherwise', () => {
  it('is told of the flag, and runs with it', async () => {
    const b = new WasmBuilder()
    b.func({ export: 'asyncify_start_unwind', code: [] })
    b.func({ export: '_start', code: [] })
    const path = join(folder, 'own.wasm')
    await writeFile(path, b.build())
    const refused = await cli(at(here, 'run', path))
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('--migratable=false')
    expect((await cli(at(here, 'run', path, '--migratable=false'))).code).toBe(0)
  })

  it.each([
    [['--engine', 'docker'], '--engine is wasi or wasix'],
    [['--migratable', 'maybe'], '--migratable is true or false'],
    [['--engine', 'wasix', '--migratable', 'true'], 'cannot be moved'],
    [['--nan', 'quiet'], '--nan is native or canonical'],
    [['--engine', 'wasix', '--nan', 'canonical'], 'leave --nan out'],
  ])('is not run with flags that make no sense: %j', async (flags, why) => {
    const { code, stderr } = await cli(at(here, 'run', FAULT, ...flags))
    expect(code).toBe(2)
    expect(stderr).toContain(why)
  })
})

describe('the peers', () => {
  it('say which walls stand around cells, and are well', async () => {
    const { walls } = await here.client.call<StatusReply>('/status')
    expect(walls.filter(({ active }) => active).map(({ wall }) => wall)).toEqual(
      expect.arrayContaining(['process per owner', 'no key, no environment', 'permission model', 'memory cap']),
    )
    expect(walls.find(({ wall }) => wall === 'kernel sandbox')).toMatchObject({ active: false })
    expect((await cli(at(here, 'status'))).stdout).toMatch(/^walls .*permission model/m)
    await expectWell(peers)
  })
})
