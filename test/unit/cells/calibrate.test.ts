import { expect, it } from 'vitest'
import { calibrate } from '../../../cells/calibrate/calibrate.ts'
import type { CellEngine } from '../../../cells/types.ts'

/** An engine on which every cell takes as long as `times` says, one after the other. */
function engineOf(times: (n: number) => number): { engine: CellEngine; launched: () => number } {
  let n = 0
  const launch = async () => {
    const usage = { wallMs: times(n++) }
    return { ended: Promise.resolve({ kind: 'exited', exitCode: 0, files: [], usage }), kill: async () => undefined }
  }
  return { engine: { launch } as unknown as CellEngine, launched: () => n }
}

it('a kernel counts with the better of two times', async () => {
  const { engine, launched } = engineOf((n) => (n < 6 ? 90 + n : 50 + n))
  const times = await calibrate(engine)
  expect(launched()).toBe(12)
  expect(times.map(({ ms }) => ms)).toEqual([56, 57, 58, 59, 60, 61])
})

it('a peer that is slow, or gives cells a small share, is timed once: it has to start some time', async () => {
  const { engine, launched } = engineOf(() => 5_000)
  expect((await calibrate(engine)).length).toBe(6)
  expect(launched()).toBe(6)
})
