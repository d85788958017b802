// Cells that move while they run, several times and through faults: the output is that of a cell left alone.
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sleep, systemClock } from '../../core/clock.ts'
import { type Random, seededRandom } from '../../core/random.ts'
import type { CellReply, MoveReply } from '../../node/control/api.ts'
import {
  cellAt,
  ENDED,
  ended,
  FLITE_PATH,
  fileOf,
  migrate,
  running,
  samplePath,
  stdoutOf,
  submit,
} from '../../testnet/processes/cells.ts'
import { ProcessMesh, type ProcessPeer } from '../../testnet/processes/mesh.ts'
import { until } from '../../testnet/processes/until.ts'
import { again, allAlive, at, cli, expectWell, LONG, meshOf, seedOf } from './fixture.ts'

const SLEEPER = samplePath('sleeper')
const SEED = seedOf('moves')
const LINES = 400

let mesh: ProcessMesh
/** `fir` submits and runs nothing; the others host. */
let fir: ProcessPeer
let larch: ProcessPeer
let yew: ProcessPeer

beforeAll(async () => {
  mesh = await ProcessMesh.create()
  const none = ['--slots', '0']
  ;[fir, larch, yew] = (await meshOf(mesh, ['fir', 'larch', 'yew'], (name) => (name === 'fir' ? none : []))) as [
    ProcessPeer,
    ProcessPeer,
    ProcessPeer,
  ]
}, 120_000)

afterAll(() => mesh?.stop())

const linesTo = (count: number): string => Array.from({ length: count }, (_, index) => `line ${index + 1}\n`).join('')

async function restart(peer: ProcessPeer, known: ProcessPeer): Promise<ProcessPeer> {
  const flags = [...again(known), ...(peer.name === 'fir' ? ['--slots', '0'] : [])]
  return mesh.start({ name: peer.name, home: peer.home, flags })
}

async function moved(cell: string, to: ProcessPeer): Promise<MoveReply> {
  const move = await migrate(fir, cell, to)
  const { outcome, reason } = move
  expect({ outcome, reason, to: move.to }).toEqual({ outcome: 'moved', reason: undefined, to: to.peer })
  await until('the cell runs there', async () => {
    const { phase, host } = await cellAt(fir, cell)
    return phase === 'running' && host === to.peer
  })
  return move
}

/** Everything that hosts say of the cell: who runs it, or could. */
async function runners(cell: string): Promise<string[]> {
  const names: string[] = []
  for (const peer of [larch, yew]) {
    const { cells } = await peer.client.call<{ cells: CellReply[] }>('/cells')
    if (cells.some((one) => one.cell === cell && one.phase === 'running')) names.push(peer.name)
  }
  return names
}

describe('a moved cell', () => {
  it('sleeper goes to and fro, and each line comes once', async () => {
    const { cell } = await submit(fir, { module: SLEEPER, args: [String(LINES), '10'], on: 'larch' })
    await running(fir, cell)
    for (const to of [yew, larch, yew, larch, yew]) await moved(cell, to)
    expect(await runners(cell)).toEqual(['yew'])
    const end = await ended(fir, cell)
    expect(end).toMatchObject({ phase: 'finished', exitCode: 0, hostName: 'yew', epoch: 6 })
    expect(end.moves.filter(({ outcome }) => outcome === 'moved')).toHaveLength(5)
    expect(await stdoutOf(fir, cell)).toBe(linesTo(LINES))
  })

  it('is followed without a gap by who follows it, and moves by the command line', async () => {
    // Both ends must make it the same way.
    const { cell } = await submit(fir, { module: SLEEPER, args: ['500', '20'], on: 'larch', nan: 'canonical' })
    expect(await running(fir, cell)).toMatchObject({ nan: 'canonical' })
    const following = cli(at(fir, 'logs', '-f', cell))
    const there = await cli(at(fir, 'migrate', cell, '--to', 'yew'))
    expect(there).toMatchObject({ code: 0, stdout: expect.stringContaining('moved') })
    const back = await cli(at(fir, 'migrate', cell, '-o', 'json'))
    expect(JSON.parse(back.stdout)).toMatchObject({ outcome: 'moved', to: larch.peer })
    const { code, stdout, stderr } = await following
    expect({ code, stdout }).toEqual({ code: 0, stdout: linesTo(500) })
    expect(stderr).toContain('moved to')
    expect((await cli(at(fir, 'ps', '-a'))).stdout).toMatch(new RegExp(`${cell.slice(0, 12)} .* larch +2 `))
  })

  it('is refused with a reason where it cannot go, and runs on', async () => {
    const { cell } = await submit(fir, { module: SLEEPER, args: ['1000', '20'], on: 'larch' })
    await running(fir, cell)
    for (const to of ['larch', 'fir', 'nobody']) {
      const { code } = await cli(at(fir, 'migrate', cell, '--to', to))
      expect([to, code]).toEqual([to, to === 'nobody' ? 4 : 1])
    }
    expect(await cellAt(fir, cell)).toMatchObject({ phase: 'running', hostName: 'larch', epoch: 1 })
    expect((await cli(at(fir, 'resolve', cell, 'resume'))).stderr).toContain('[CELL_NOT_RUNNING]')
    expect((await cli(at(fir, 'stop', cell))).code).toBe(0)
    expect((await cli(at(fir, 'migrate', cell))).stderr).toContain('[CELL_NOT_RUNNING]')
  })

  it('flite speaks the same sound moved as unmoved', async () => {
    const text = await readFile(fileURLToPath(new URL('../../LICENSE', import.meta.url)))
    const init = {
      module: FLITE_PATH,
      args: ['-f', '/in/text.txt', '-o', '/out/a.wav'],
      // More than it speaks while its first move gets ready.
      files: { '/in/text.txt': Buffer.concat([text, text, text]).subarray(0, 30_000) },
    }
    // The unmoved run comes first: afterwards its host has the module compiled, and no move waits for that.
    const alone = await submit(fir, { ...init, on: 'yew' })
    expect(await ended(fir, alone.cell)).toMatchObject({ phase: 'finished', exitCode: 0 })
    const { cell } = await submit(fir, { ...init, on: 'larch' })
    await running(fir, cell, 60_000)
    let moves = 0
    for (const to of [yew, larch, yew]) {
      const { outcome, reason } = await migrate(fir, cell, to)
      // A fast machine may have spoken all of it by now, though not everybody has heard of that.
      if (outcome !== 'moved' && /ended/.test(reason ?? '')) break
      expect({ outcome, reason }).toEqual({ outcome: 'moved', reason: undefined })
      moves++
    }
    expect(moves).toBeGreaterThan(0)
    expect(await ended(fir, cell)).toMatchObject({ phase: 'finished', exitCode: 0 })
    const hash = async (one: string): Promise<string> =>
      createHash('sha256')
        .update(await fileOf(fir, one, '/out/a.wav'))
        .digest('hex')
    expect(await hash(cell)).toBe(await hash(alone.cell))
  })
})

/** Milliseconds after the request at which somebody is killed: before, in and after the hand-over of a move of some 100 ms. */
function killTimes(random: Random): number[] {
  if (!LONG) return [random.int(120)]
  return Array.from({ length: 24 }, (_, index) => index * 8 + random.int(8))
}

/** Moves a fresh sleeper from larch to yew and kills `victim` meanwhile; resolves once the victim is back. */
async function killDuring(ms: number, victim: 'fir' | 'larch' | 'yew'): Promise<string> {
  const { cell } = await submit(fir, { module: SLEEPER, args: [String(LINES), '10'], on: 'larch' })
  await running(fir, cell)
  await until('it has printed', async () => (await stdoutOf(fir, cell)).includes('line 2\n'))
  const move = migrate(fir, cell, yew).catch((error: unknown) => error)
  await sleep(systemClock, ms)
  const peers = { fir, larch, yew }
  await mesh.kill(peers[victim])
  const back = await restart(peers[victim], victim === 'larch' ? yew : larch)
  if (victim === 'fir') fir = back
  else if (victim === 'larch') larch = back
  else yew = back
  await allAlive([fir, larch, yew])
  await move
  return cell
}

/**
 * However it went: the cell ends, by itself or lost or by a decision, and its output is the whole or the beginning of the
 * right one, each line once. At no time do two hosts run it.
 */
async function expectOneHistory(cell: string): Promise<CellReply> {
  const end = await until(
    `cell ${cell.slice(0, 12)} has ended`,
    async () => {
      expect((await runners(cell)).length).toBeLessThan(2)
      const reply = await cellAt(fir, cell)
      if (reply.phase === 'in-doubt') await cli(at(fir, 'resolve', cell, 'resume'))
      return ENDED.has(reply.phase) && reply
    },
    60_000,
  )
  const output = await stdoutOf(fir, cell)
  if (end.phase === 'finished') expect(output).toBe(linesTo(LINES))
  else expect(linesTo(LINES).startsWith(output)).toBe(true)
  expect(end.phase).toMatch(/finished|lost/)
  return end
}

describe('a peer that is killed during a move', () => {
  const random = seededRandom(SEED)
  it.each(killTimes(random))(
    'the destination, after %i ms: the cell runs on at one place, or says that it is lost',
    async (ms) => {
      await expectOneHistory(await killDuring(ms, 'yew'))
      await expectWell([fir, larch, yew])
    },
  )

  it.each(killTimes(random))(
    'the source, after %i ms: the cell runs on at one place, or says that it is lost',
    async (ms) => {
      await expectOneHistory(await killDuring(ms, 'larch'))
      await expectWell([fir, larch, yew])
    },
  )

  it.each(killTimes(random))('the authority, after %i ms: nothing is lost', async (ms) => {
    const end = await expectOneHistory(await killDuring(ms, 'fir'))
    expect(end).toMatchObject({ phase: 'finished', exitCode: 0 })
    await expectWell([fir, larch, yew])
  })
})
