// The peer's own watch over the wall time of a cell, beside the one that the cell's thread keeps.
import { describe, expect, it } from 'vitest'
import type { CellHostProcess, CellListener } from '../../../cells/runtime/host-process.ts'
import { RESULTS_TIMEOUT_MS, WALL_GRACE_MS } from '../../../cells/runtime/limits.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { cellOf, USAGE } from './cells.ts'

const WALL_MS = 1_000

function startedCell(wallMs = WALL_MS) {
  const clock = new ManualClock()
  const asked: string[] = []
  let listener: CellListener | undefined
  const host: CellHostProcess = {
    ask: (command) => {
      asked.push(command.kind)
      return { seq: 1, answer: new Promise(() => undefined) }
    },
    attach: (_cell, attached) => {
      listener = attached
    },
    detach: () => undefined,
    destroy: () => undefined,
  }
  const cell = cellOf(host, clock, wallMs)
  cell.began()
  if (listener === undefined) throw new Error('it does not listen')
  return { cell, clock, asked, listener }
}

describe('the wall time of a cell', () => {
  it('ends it when its thread is late', async () => {
    const { cell, clock, asked, listener } = startedCell()
    await clock.advance(WALL_MS + WALL_GRACE_MS - 1)
    expect(asked).toEqual([])
    await clock.advance(1)
    expect(asked).toEqual(['kill'])
    listener.onEnded({ kind: 'killed', usage: USAGE })
    expect(await cell.ended).toMatchObject({ kind: 'failed', code: 'CELL_TIME_LIMIT' })
  })

  it('does not run while the results of a program that is over are on their way', async () => {
    const { cell, clock, asked, listener } = startedCell()
    await clock.advance(WALL_MS)
    listener.onOver()
    await clock.advance(RESULTS_TIMEOUT_MS - 1)
    expect(asked).toEqual([])
    listener.onEnded({ kind: 'exited', exitCode: 0, files: [], usage: USAGE })
    expect(await cell.ended).toMatchObject({ kind: 'exited' })
  })

  it('does not wait for results without end', async () => {
    const { cell, clock, asked, listener } = startedCell()
    listener.onOver()
    await clock.advance(RESULTS_TIMEOUT_MS)
    expect(asked).toEqual(['kill'])
    listener.onEnded({ kind: 'killed', usage: USAGE })
    expect(await cell.ended).toMatchObject({ kind: 'failed', code: 'CELL_HOST_DIED' })
  })

  it('may be more than a timer takes', async () => {
    const wallMs = 2 ** 31 + 5_000
    const { clock, asked } = startedCell(wallMs)
    await clock.advance(wallMs + WALL_GRACE_MS - 1)
    expect(asked).toEqual([])
    await clock.advance(1)
    expect(asked).toEqual(['kill'])
  })
})
