// How long a program stands still when it moves, and what travels: two peers, real processes on loopback, pass programs back and
// forth while they run.
import { readFile } from 'node:fs/promises'
import { utf8 } from '../../core/bytes.ts'
import type { MoveReply } from '../../node/control/api.ts'
import { cellAt, FLITE_PATH, migrate, type RunInit, running, samplePath, stdoutOf, submit } from '../processes/cells.ts'
import { ProcessMesh, type ProcessPeer, peersSeenBy } from '../processes/mesh.ts'
import { until } from '../processes/until.ts'
import { median, percentile } from './statistics.ts'
import type { Bench, Figures } from './types.ts'

const MOVES = 30
/** The destinations of the first moves fetch, instrument and compile: told, not counted. */
const WARM_MOVES = 2
/** A share of a core: on two cores the peers, their host processes and the program's other end have to fit beside it. */
const FLAGS = ['--fuel-share', '0.5', '--slots', '2', '--round-interval-s', '0', '--cell-memory-mb', '512']
const HEAPS_MIB = [4, 64, 256] as const
const HOT_KIB = 256
const COMPRESSIBLE_MIB = 64
const NOISE_BITS = 8
const MIB = 1024 * 1024
/** Longer than any of them is watched: a program that has been moved often enough is stopped. */
const SECONDS = 900
const NO_END = 2 ** 32 - 1
const MORE_THAN_READ = 400

export const bench: Bench = {
  about:
    `${MOVES} live moves each, two processes on loopback. stop4MbP95Ms, stop64MbP95Ms, stop256MbP95Ms (and ...MedianMs): from the last guest instruction ` +
    `at the source to the first at the destination on one clock, hand-over included; heaps of incompressible noise with ${HOT_KIB} KiB of it written over and over. ` +
    `bytesRatio: bytes moved per byte of heap, the worst of these moves; bytesRatioCompressible: of a heap that is mostly alike. ` +
    `stopFliteMs (median), stopFliteP95Ms: flite at work. stopAnsweredP95Ms: of the 256 MiB heap, until the source has the answer`,
  async run(): Promise<Figures> {
    const mesh = await ProcessMesh.create()
    try {
      const here = await mesh.start({ name: 'here', flags: FLAGS })
      const there = await mesh.start({ name: 'there', flags: [...FLAGS, '--join', await mesh.ticket(here)] })
      await until(
        'both see both',
        async () => (await peersSeenBy(here)).filter((row) => row.status === 'alive').length === 2,
      )
      return await figuresOf(here, there)
    } finally {
      await mesh.stop()
    }
  },
}

async function figuresOf(here: ProcessPeer, there: ProcessPeer): Promise<Figures> {
  const figures: Record<string, number> = {}
  const ratios: number[] = []
  for (const heapMib of HEAPS_MIB) {
    process.stdout.write(`a heap of ${heapMib} MiB, ${HOT_KIB} KiB hot\n`)
    const moves = await movesOf(bigheap(heapMib), here, there, /filled/)
    const stops = moves.map(stoodStill)
    figures[`stop${heapMib}MbP95Ms`] = percentile(stops, 95)
    figures[`stop${heapMib}MbMedianMs`] = median(stops)
    ratios.push(...moves.map(({ movedBytes = Number.NaN }) => movedBytes / (heapMib * MIB)))
    if (heapMib === 256)
      figures.stopAnsweredP95Ms = percentile(
        moves.map(({ stopMs = Number.NaN }) => stopMs),
        95,
      )
  }
  figures.bytesRatio = Math.max(...ratios)
  process.stdout.write(`a heap of ${COMPRESSIBLE_MIB} MiB in which ${NOISE_BITS} of 64 bits are noise\n`)
  const alike = await movesOf(bigheap(COMPRESSIBLE_MIB, NOISE_BITS), here, there, /filled/)
  figures.bytesRatioCompressible = Math.max(
    ...alike.map(({ movedBytes = Number.NaN }) => movedBytes / (COMPRESSIBLE_MIB * MIB)),
  )
  process.stdout.write('flite at work\n')
  const stops = (await movesOf(await flite(), here, there)).map(stoodStill)
  return { ...figures, stopFliteMs: median(stops), stopFliteP95Ms: percentile(stops, 95) }
}

function bigheap(heapMib: number, bits = 64): RunInit {
  const limits = { memoryBytes: (heapMib + 16) * MIB }
  return {
    module: samplePath('bigheap'),
    args: [heapMib, HOT_KIB, SECONDS, NO_END, bits].map(String),
    limits,
    on: 'here',
  }
}

/** It speaks a long text; its heap holds the speech so far. */
async function flite(): Promise<RunInit> {
  const page = await readFile(new URL('../demo/page.txt', import.meta.url), 'utf8')
  return {
    module: FLITE_PATH,
    args: ['-f', '/in/page.txt', '-o', '/out/page.wav'],
    files: { '/in/page.txt': utf8(page.repeat(MORE_THAN_READ)) },
    on: 'here',
  }
}

async function movesOf(
  program: RunInit,
  here: ProcessPeer,
  there: ProcessPeer,
  begun?: RegExp,
): Promise<readonly MoveReply[]> {
  const { cell } = await submit(here, program)
  await running(here, cell)
  if (begun !== undefined) await until('it has begun', async () => begun.test(await stdoutOf(here, cell)), 120_000)
  const moves: MoveReply[] = []
  for (let n = 0; n < WARM_MOVES + MOVES; n++) {
    const to = n % 2 === 0 ? there : here
    const move = await migrate(here, cell, to)
    process.stdout.write(`  move ${n - WARM_MOVES + 1} to ${to.name}: ${said(move)}\n`)
    if (move.outcome !== 'moved') throw new Error(`the cell was not moved: ${move.reason ?? move.outcome}`)
    moves.push(move)
    await until('it runs there', async () => {
      const { phase, host } = await cellAt(here, cell)
      return phase === 'running' && host === to.peer
    })
  }
  await here.client.call(`/cells/${cell}/stop`, { method: 'POST' })
  return moves.slice(WARM_MOVES)
}

/** On the one clock that all processes of this machine share. */
function stoodStill({ hostStoppedAt = Number.NaN, hostStartedAt = Number.NaN }: MoveReply): number {
  return hostStartedAt - hostStoppedAt
}

function said(move: MoveReply): string {
  const { stopMs = Number.NaN, totalMs = Number.NaN, rounds = 0, movedBytes = 0, lastBytes = 0 } = move
  const stopped = `stopped ${stoodStill(move).toFixed(1)} ms (${stopMs.toFixed(1)} until the answer)`
  return `${move.outcome}, ${stopped} of ${totalMs.toFixed(0)} ms, ${rounds} rounds, ${movedBytes} bytes, the last ${lastBytes}`
}
