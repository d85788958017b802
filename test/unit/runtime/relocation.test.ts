// A cell on its way from one host process into another, where anything may happen to it in between.
import { describe, expect, it } from 'vitest'
import type { CellHostProcess, CellListener } from '../../../cells/runtime/host-process.ts'
import type { Place } from '../../../cells/runtime/relocation.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { cellOf, USAGE } from './cells.ts'

/** Answers everything at once; a kill ends the cell. */
function someHost(): { readonly host: CellHostProcess; readonly cells: Map<number, CellListener>; asked: string[] } {
  const cells = new Map<number, CellListener>()
  const asked: string[] = []
  const host: CellHostProcess = {
    ask: (command) => {
      asked.push(command.kind === 'cell' ? command.command.kind : command.kind)
      if (command.kind === 'kill') {
        const listener = cells.get(command.cell)
        cells.delete(command.cell)
        listener?.onEnded({ kind: 'killed', usage: USAGE })
      }
      const stopped = { parts: [], stoppedAt: 0, packMs: 0 }
      return { seq: 1, answer: Promise.resolve(asked.at(-1) === 'suspend' ? stopped : true) as Promise<never> }
    },
    attach: (cell, listener) => cells.set(cell, listener),
    detach: (cell) => cells.delete(cell),
    destroy: () => undefined,
  }
  return { host, cells, asked }
}

async function suspendedCell() {
  const [before, after] = [someHost(), someHost()]
  const cell = cellOf(before.host, new ManualClock())
  await cell.suspend({})
  const place: Place = { host: after.host, cell: 2 }
  return { cell, before, after, place }
}

describe('a cell that leaves its host process', () => {
  it('is left suspended in the next one, and nothing of it in the last', async () => {
    const { cell, before, after, place } = await suspendedCell()
    await cell.evacuate((_snapshot, relocate) => relocate(place, async () => undefined))
    expect([before.cells.size, after.cells.size]).toEqual([0, 1])
    expect(cell.number).toBe(2)
    await cell.resumeHere()
    expect(after.asked).toEqual(['resume-here'])
  })

  it('leaves nothing in the next one when it was killed meanwhile', async () => {
    const { cell, after, place } = await suspendedCell()
    const leaving = cell.evacuate((_snapshot, relocate) => relocate(place, () => cell.kill()))
    await expect(leaving).rejects.toMatchObject({ code: 'CELL_ENDED' })
    expect(await cell.ended).toMatchObject({ kind: 'killed' })
    expect(after.asked).toEqual(['kill'])
    expect(after.cells.size).toBe(0)
  })

  it('stays where it is when the next one fails, or dies', async () => {
    const { cell, before, after, place } = await suspendedCell()
    const fails = cell.evacuate((_snapshot, relocate) => relocate(place, () => Promise.reject(new Error('no room'))))
    await expect(fails).rejects.toThrow('no room')
    const dies = cell.evacuate((_snapshot, relocate) =>
      relocate(place, async () => after.cells.get(2)?.onHostDied('out of memory')),
    )
    await expect(dies).rejects.toMatchObject({ code: 'CELL_HOST_DIED' })
    expect(after.asked).toEqual(['kill', 'kill'])
    expect(before.cells.size).toBe(1)
    await cell.resumeHere()
    expect(before.asked.at(-1)).toBe('resume-here')
  })
})
