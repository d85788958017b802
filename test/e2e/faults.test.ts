// Peers that die in the middle of things: what was accepted ends well, is lost and says so, or waits; nothing comes twice.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CellReply, WhyReply } from '../../node/control/api.ts'
import { cellAt, ended, fileOf, running, samplePath, stdoutOf, submit } from '../../testnet/processes/cells.ts'
import { ProcessMesh, type ProcessPeer } from '../../testnet/processes/mesh.ts'
import { until } from '../../testnet/processes/until.ts'
import { again, allAlive, at, cli, expectWell, meshOf, sees } from './fixture.ts'

const SLEEPER = samplePath('sleeper')

let mesh: ProcessMesh
/** `oak` submits, `pine` and `rowan` run; `rowan` alone has a label and only one slot. */
let oak: ProcessPeer
let pine: ProcessPeer
let rowan: ProcessPeer

beforeAll(async () => {
  mesh = await ProcessMesh.create()
  const flags: Record<string, string[]> = {
    oak: ['--slots', '0'],
    rowan: ['--slots', '1', '--label', 'wood=hard'],
  }
  ;[oak, pine, rowan] = (await meshOf(mesh, ['oak', 'pine', 'rowan'], (name) => flags[name] ?? [])) as [
    ProcessPeer,
    ProcessPeer,
    ProcessPeer,
  ]
})

afterAll(() => mesh?.stop())

const FLAGS: Record<string, readonly string[]> = {
  oak: ['--slots', '0'],
  pine: [],
  rowan: ['--slots', '1', '--label', 'wood=hard'],
}

async function restart(peer: ProcessPeer, ...known: readonly ProcessPeer[]): Promise<ProcessPeer> {
  const flags = [...again(...known), ...(FLAGS[peer.name] ?? [])]
  const back = await mesh.start({ name: peer.name, home: peer.home, flags })
  expect(back.peer).toBe(peer.peer)
  return back
}

const linesTo = (count: number): string => Array.from({ length: count }, (_, index) => `line ${index + 1}\n`).join('')

/** Resolves once the cell has printed at least `count` lines, as its authority knows. */
async function printed(peer: ProcessPeer, cell: string, count: number): Promise<void> {
  await until(`${count} lines are there`, async () => (await stdoutOf(peer, cell)).includes(`line ${count}\n`))
}

describe('placement', () => {
  it('fails where no peer may take the cell, and the reason names the peers', async () => {
    const { code, stderr } = await cli(at(oak, 'run', SLEEPER, '--label', 'wood=soft'))
    expect(code).toBe(5)
    expect(stderr).toContain('[PLACEMENT_FAILED]')
    for (const name of ['oak', 'pine', 'rowan']) expect(stderr).toContain(name)
    const nowhere = await cli(at(oak, 'run', SLEEPER, '--zone', 'moon'))
    expect(nowhere.code).toBe(5)
    expect((await cli(at(oak, 'run', SLEEPER, '--memory-mb', '4096'))).code).toBe(5)
  })

  it('waits for a slot, says so, and goes on when there is one; what waits can be stopped', async () => {
    const first = await submit(oak, { module: SLEEPER, args: ['1000', '20'], on: 'rowan' })
    await running(oak, first.cell)
    const second = await submit(oak, { module: SLEEPER, args: ['2', '1'], on: 'rowan' })
    const third = await submit(oak, { module: SLEEPER, args: ['2', '1'], on: 'rowan' })
    await until('the second cell waits', async () => {
      const { phase } = await cellAt(oak, second.cell)
      const { decisions } = await oak.client.call<WhyReply>(`/cells/${second.cell}/why`)
      return phase === 'accepted' && decisions.length > 0
    })
    expect((await cli(at(oak, 'stop', third.cell))).code).toBe(0)
    expect(await cellAt(oak, third.cell)).toMatchObject({ phase: 'stopped' })
    expect(await cellAt(oak, second.cell)).toMatchObject({ phase: 'accepted' })
    expect((await cli(at(oak, 'stop', first.cell))).code).toBe(0)
    expect(await ended(oak, second.cell)).toMatchObject({ phase: 'finished', hostName: 'rowan' })
    expect(await stdoutOf(oak, second.cell)).toBe(linesTo(2))
    expect(await stdoutOf(oak, third.cell)).toBe('')
  })
})

describe('a host that is killed while it runs a cell', () => {
  it('leaves a lost cell, the others notice, and the cell can be run again', async () => {
    const { cell } = await submit(oak, { module: SLEEPER, args: ['500', '20'], on: 'pine' })
    await running(oak, cell)
    const waiting = await submit(oak, { module: SLEEPER, args: ['2', '1'], on: 'rowan' })
    await mesh.kill(pine)
    await Promise.all([sees(oak, pine, 'failed'), sees(rowan, pine, 'failed')])
    const lost = await ended(oak, cell)
    expect(lost).toMatchObject({ phase: 'lost', error: { code: 'CELL_LOST' } })
    const said = await cli(at(oak, 'logs', '-f', cell))
    expect(said.code).toBe(6)
    expect(said.stderr).toContain(`cloudskin rerun ${cell.slice(0, 12)}`)
    expect(await ended(oak, waiting.cell)).toMatchObject({ phase: 'finished' })

    // It wants to be on pine: it waits or fails as long as pine is away, and runs once it is back.
    pine = await restart(pine, oak)
    await allAlive([oak, pine, rowan])
    const rerun = (await cli(at(oak, 'rerun', cell))).stdout.trim()
    await running(oak, rerun)
    expect(await cellAt(oak, rerun)).toMatchObject({ rerunOf: cell, hostName: 'pine' })
    expect((await cli(at(oak, 'stop', rerun))).code).toBe(0)
    expect(await cellAt(oak, cell)).toMatchObject({ phase: 'lost' })
  })

  it('and comes back at once, says itself that the cell is lost', async () => {
    const { cell } = await submit(oak, { module: SLEEPER, args: ['500', '20'], on: 'pine' })
    await running(oak, cell)
    await printed(oak, cell, 3)
    await mesh.kill(pine)
    pine = await restart(pine, oak)
    expect(await ended(oak, cell)).toMatchObject({ phase: 'lost' })
    expect(linesTo(500).startsWith(await stdoutOf(oak, cell))).toBe(true)
    await expectWell([oak, pine, rowan])
  })
})

describe('an authority that is killed', () => {
  it('while its cell runs elsewhere gets all of the output and the result when it is back', async () => {
    const { cell } = await submit(oak, { module: SLEEPER, args: ['120', '20'], on: 'pine' })
    await running(oak, cell)
    await printed(oak, cell, 3)
    await mesh.kill(oak)
    oak = await restart(oak, pine)
    expect(await ended(oak, cell)).toMatchObject({ phase: 'finished', exitCode: 0 })
    expect(await stdoutOf(oak, cell)).toBe(linesTo(120))
  })

  it('while its cell ends elsewhere gets files and result, though the host was killed too', async () => {
    const { cell } = await submit(oak, {
      module: samplePath('fault'),
      args: ['fill', '/out/x'],
      limits: { diskBytes: 1_000_000 },
      on: 'pine',
    })
    const slow = await submit(oak, { module: SLEEPER, args: ['40', '20'], on: 'pine' })
    await running(oak, slow.cell)
    await mesh.kill(oak)
    await until('the host has ended both', async () => {
      const { cells } = await pine.client.call<{ cells: CellReply[] }>('/cells')
      return cells.length === 0
    })
    const kept = await pine.client.call<{ cells: CellReply[] }>('/cells', { query: { all: '1' } })
    expect(kept.cells.map((one) => one.cell)).toContain(slow.cell)
    await mesh.kill(pine)
    pine = await restart(pine, rowan)
    oak = await restart(oak, pine)
    expect(await ended(oak, slow.cell)).toMatchObject({ phase: 'finished', exitCode: 0 })
    expect(await stdoutOf(oak, slow.cell)).toBe(linesTo(40))
    const filled = await ended(oak, cell)
    expect(filled).toMatchObject({ phase: 'finished', exitCode: 4 })
    expect((await fileOf(oak, cell, '/out/x')).length).toBe(filled.files[0]?.bytes)
    await until('the host has forgotten them', async () => {
      const { cells } = await pine.client.call<{ cells: CellReply[] }>('/cells', { query: { all: '1' } })
      return cells.length === 0
    })
  })

  it('with cells that wait, or were just accepted, runs them when it is back', async () => {
    const busy = await submit(oak, { module: SLEEPER, args: ['60', '20'], on: 'rowan' })
    await running(oak, busy.cell)
    const cells = [
      await submit(oak, { module: SLEEPER, args: ['3', '1'], on: 'rowan' }),
      await submit(oak, { module: SLEEPER, args: ['3', '1'], on: 'pine' }),
      await submit(oak, { module: SLEEPER, args: ['3', '1'] }),
    ]
    await mesh.kill(oak)
    oak = await restart(oak, pine)
    for (const { cell } of [busy, ...cells]) expect(await ended(oak, cell)).toMatchObject({ phase: 'finished' })
    for (const { cell } of cells) expect(await stdoutOf(oak, cell)).toBe(linesTo(3))
    expect(await stdoutOf(oak, busy.cell)).toBe(linesTo(60))
  })
})

describe('a host that goes down in order', () => {
  it('tells so: its cell is lost at once, and the peer has left', async () => {
    const { cell } = await submit(oak, { module: SLEEPER, args: ['500', '20'], on: 'pine' })
    await running(oak, cell)
    await mesh.down(pine)
    expect(await ended(oak, cell, 10_000)).toMatchObject({ phase: 'lost' })
    await sees(oak, pine, 'left', 10_000)
    pine = await restart(pine, oak)
    await expectWell([oak, pine, rowan])
  })
})
