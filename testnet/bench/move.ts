// How long a program stands still when it moves: flite speaks a long text while two peers, real processes, pass it back and
// forth.
import { readFile } from 'node:fs/promises'
import { utf8 } from '../../core/bytes.ts'
import { systemClock } from '../../core/clock.ts'
import type { MoveReply } from '../../node/control/api.ts'
import { cellAt, FLITE_PATH, migrate, type RunInit, running, submit } from '../processes/cells.ts'
import { ProcessMesh, type ProcessPeer, peersSeenBy } from '../processes/mesh.ts'
import { until } from '../processes/until.ts'
import { median, percentile } from './statistics.ts'
import type { Bench, Figures } from './types.ts'

const MOVES = 20
/** The destination of a first move fetches 21 MB and compiles: told, not counted. */
const WARM_MOVES = 2
/** How often the text is said: for longer than this bench runs, which stops the program when it has seen enough. */
const READINGS = 400
/** A share of a core, so that the program is still at its work after all moves. A stopped program has no share to keep to. */
const FLAGS = ['--fuel-share', '0.2', '--slots', '2', '--round-interval-s', '0']

export const bench: Bench = {
  about: `${MOVES} live moves of flite between two processes on loopback: stopFliteMs (median), stopFliteMinMs, stopFliteP95Ms from the last guest instruction at the source to the first at the destination; transferFliteMs, snapshotFliteBytes (medians; the snapshot holds the speech so far)`,
  async run(): Promise<Figures> {
    const mesh = await ProcessMesh.create()
    try {
      const here = await mesh.start({ name: 'here', flags: FLAGS })
      const there = await mesh.start({ name: 'there', flags: [...FLAGS, '--join', await mesh.ticket(here)] })
      await until(
        'both see both',
        async () => (await peersSeenBy(here)).filter((row) => row.status === 'alive').length === 2,
      )
      return figuresOf(await movesBetween(here, there))
    } finally {
      await mesh.stop()
    }
  },
}

async function movesBetween(here: ProcessPeer, there: ProcessPeer): Promise<MoveReply[]> {
  const page = await readFile(new URL('../demo/page.txt', import.meta.url), 'utf8')
  const program: RunInit = {
    module: FLITE_PATH,
    args: ['-f', '/in/page.txt', '-o', '/out/page.wav'],
    files: { '/in/page.txt': utf8(page.repeat(READINGS)) },
    on: 'here',
  }
  const { cell } = await submit(here, program)
  await running(here, cell)
  const moves: MoveReply[] = []
  for (let n = 0; n < WARM_MOVES + MOVES; n++) {
    const to = n % 2 === 0 ? there : here
    const calledAt = systemClock.mono()
    const move = await migrate(here, cell, to)
    const calledMs = systemClock.mono() - calledAt
    process.stdout.write(
      `  move ${n - WARM_MOVES + 1} to ${to.name}: ${said(move)}; the whole call ${calledMs.toFixed(0)} ms\n`,
    )
    if (move.outcome !== 'moved') throw new Error(`the cell was not moved: ${move.reason ?? move.outcome}`)
    moves.push(move)
    await until('it runs there', async () => {
      const { phase, host } = await cellAt(here, cell)
      return phase === 'running' && host === to.peer
    })
  }
  return moves.slice(WARM_MOVES)
}

function said({ outcome, stopMs = Number.NaN, transferMs = Number.NaN, snapshotBytes = 0 }: MoveReply): string {
  return `${outcome}, stopped ${stopMs.toFixed(1)} ms, of them transfer ${transferMs.toFixed(1)} ms, ${snapshotBytes} bytes`
}

function figuresOf(moves: readonly MoveReply[]): Figures {
  const stops = moves.map(({ stopMs }) => stopMs ?? Number.NaN)
  return {
    stopFliteMs: median(stops),
    stopFliteMinMs: Math.min(...stops),
    stopFliteP95Ms: percentile(stops, 95),
    snapshotFliteBytes: median(moves.map(({ snapshotBytes }) => snapshotBytes ?? Number.NaN)),
    transferFliteMs: median(moves.map(({ transferMs }) => transferMs ?? Number.NaN)),
  }
}
