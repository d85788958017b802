// A program with a large heap that is copied while it runs: little is left for the stop, and what is killed meanwhile leaves one
// history. Real peers; `fir` submits, the others host.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sleep, systemClock } from '../../core/clock.ts'
import { type Random, seededRandom } from '../../core/random.ts'
import type { CellReply, MoveReply } from '../../node/control/api.ts'
import { cellAt, ENDED, ended, migrate, running, samplePath, stdoutOf, submit } from '../../testnet/processes/cells.ts'
import { ProcessMesh, type ProcessPeer } from '../../testnet/processes/mesh.ts'
import { until } from '../../testnet/processes/until.ts'
import { again, allAlive, at, cli, expectWell, LONG, meshOf, seedOf } from './fixture.ts'

const MIB = 1024 * 1024
const HEAP_MIB = 16
/** How often the program writes to its hot part: some seconds of work. What it prints at its end depends on that alone. */
const TURNS = 30_000
const ENDS_MS = 240_000

const random = seededRandom(seedOf('live-moves'))
let mesh: ProcessMesh
let fir: ProcessPeer
let larch: ProcessPeer
let yew: ProcessPeer
/** What the program prints when it is left alone. */
let alone: string

beforeAll(async () => {
  mesh = await ProcessMesh.create()
  const flags = (name: string): string[] => (name === 'fir' ? ['--slots', '0'] : [])
  ;[fir, larch, yew] = (await meshOf(mesh, ['fir', 'larch', 'yew'], flags)) as [ProcessPeer, ProcessPeer, ProcessPeer]
  const { cell } = await submit(fir, heap('yew'))
  expect(await ended(fir, cell, ENDS_MS)).toMatchObject({ phase: 'finished', exitCode: 0 })
  alone = await stdoutOf(fir, cell)
  expect(alone).toMatch(new RegExp(`^filled\\n${TURNS} [0-9a-f]{16}\\n$`))
}, ENDS_MS + 120_000)

afterAll(() => mesh?.stop())

function heap(on: string): Parameters<typeof submit>[1] {
  const args = [HEAP_MIB, 256, 3_000, TURNS].map(String)
  return { module: samplePath('bigheap'), args, limits: { memoryBytes: (HEAP_MIB + 16) * MIB }, on }
}

/** A program at work on its hot part. */
async function atWork(on: string): Promise<string> {
  const { cell } = await submit(fir, heap(on))
  await running(fir, cell, 60_000)
  await until('its heap is filled', async () => (await stdoutOf(fir, cell)) === 'filled\n', 120_000)
  return cell
}

/** Moves as long as the program runs, at most `most` times. */
async function movedToAndFro(cell: string, most: number): Promise<MoveReply[]> {
  const moves: MoveReply[] = []
  for (const to of Array.from({ length: most }, (_, n) => (n % 2 === 0 ? yew : larch))) {
    const move = await migrate(fir, cell, to)
    if (move.outcome !== 'moved' && /ended/.test(move.reason ?? '')) break
    expect([move.outcome, move.reason]).toEqual(['moved', undefined])
    moves.push(move)
    await until('it is there', async () => {
      const { phase, host } = await cellAt(fir, cell)
      return ENDED.has(phase) || (phase === 'running' && host === to.peer)
    })
    if (ENDED.has((await cellAt(fir, cell)).phase)) break
  }
  return moves
}

describe('a program with a large heap', () => {
  it('is copied while it runs, and comes to the same end', { timeout: 2 * ENDS_MS }, async () => {
    const cell = await atWork('larch')
    const moves = await movedToAndFro(cell, 3)
    expect(moves.length).toBeGreaterThan(0)
    for (const { rounds = 0, movedBytes = 0, lastBytes = 0, stopMs = 0, totalMs = 0 } of moves) {
      expect(rounds).toBeGreaterThan(0)
      // Noise does not compress: all of it travels once, the hot part some times.
      expect(movedBytes).toBeGreaterThan(HEAP_MIB * MIB)
      expect(movedBytes).toBeLessThan(1.3 * HEAP_MIB * MIB)
      expect(lastBytes).toBeLessThan(2 * MIB)
      expect(stopMs).toBeLessThan(totalMs)
    }
    expect(await ended(fir, cell, ENDS_MS)).toMatchObject({ phase: 'finished', exitCode: 0 })
    expect(await stdoutOf(fir, cell)).toBe(alone)
    await expectWell([fir, larch, yew])
  })
})

/** Shares of the time that a move takes: anywhere in its rounds, and about its end, where the program stands still. */
function killTimes(random: Random): number[] {
  const times = Array.from({ length: LONG ? 12 : 1 }, () => random.next())
  return [...times, ...times.map((time) => 0.85 + time * 0.2)]
}

/** Kills one end of a move; resolves with the cell and what the move was said to have come to, where that was said. */
async function killDuring(
  share: number,
  victim: 'larch' | 'yew',
): Promise<{ readonly cell: string; readonly outcome?: MoveReply['outcome'] }> {
  const cell = await atWork('larch')
  // The first move says how long the second one will take, and both ends have compiled the program then.
  const there = await migrate(fir, cell, yew)
  expect([there.outcome, there.reason]).toEqual(['moved', undefined])
  await until('it is there', async () => (await cellAt(fir, cell)).host === yew.peer)
  const move = migrate(fir, cell, larch).catch(() => undefined)
  await sleep(systemClock, share * (there.totalMs ?? 0))
  const [dies, stays] = victim === 'larch' ? [larch, yew] : [yew, larch]
  await mesh.kill(dies)
  const back = await mesh.start({ name: victim, home: dies.home, flags: again(stays) })
  if (victim === 'larch') larch = back
  else yew = back
  await allAlive([fir, larch, yew])
  const { outcome } = (await move) ?? {}
  return outcome === undefined ? { cell } : { cell, outcome }
}

async function expectOneHistory(cell: string, phases: RegExp): Promise<void> {
  const end = await until(
    `cell ${cell.slice(0, 12)} has ended`,
    async () => {
      const hosts = await Promise.all(
        [larch, yew].map(async (peer) => {
          const { cells } = await peer.client.call<{ cells: CellReply[] }>('/cells')
          return cells.filter((one) => one.cell === cell && one.phase === 'running').length
        }),
      )
      expect(hosts.reduce((sum, count) => sum + count, 0)).toBeLessThan(2)
      const reply = await cellAt(fir, cell)
      if (reply.phase === 'in-doubt') await cli(at(fir, 'resolve', cell, 'resume'))
      return ENDED.has(reply.phase) && reply
    },
    ENDS_MS,
  )
  expect(end.phase).toMatch(phases)
  const output = await stdoutOf(fir, cell)
  if (end.phase === 'finished') expect(output).toBe(alone)
  else expect(alone.startsWith(output)).toBe(true)
}

describe('a peer that is killed while a program is copied', () => {
  it.each(killTimes(random))('the source, at %f of the move', { timeout: 2 * ENDS_MS }, async (share) => {
    const { cell } = await killDuring(share, 'yew')
    // A peer that runs a program takes it along: only what it wrote at the stop brings it back.
    await expectOneHistory(cell, /^(finished|lost)$/)
    await expectWell([fir, larch, yew])
  })

  it.each(killTimes(random))(
    'the destination, at %f of the move: nothing is lost before the hand-over',
    { timeout: 2 * ENDS_MS },
    async (share) => {
      const { cell, outcome } = await killDuring(share, 'larch')
      // It was not handed over, or not for good: its old host has it still.
      const isThere = outcome === 'moved' || outcome === 'in-doubt'
      await expectOneHistory(cell, isThere ? /^(finished|lost)$/ : /^finished$/)
      await expectWell([fir, larch, yew])
    },
  )
})
