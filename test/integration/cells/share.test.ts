// The share of a core that cells get, seen in their usage and in the calibration: ratios, never times.
import { describe, expect, it } from 'vitest'
import { calibrate } from '../../../cells/calibrate/calibrate.ts'
import { program, Recorder, sampleModule, startedEngine } from './support.ts'

describe('a share of a quarter', () => {
  it('makes a cell run a quarter of the time', async () => {
    const engine = await startedEngine({ fuelShare: 0.25 })
    const cell = program(sampleModule('primes'), ['primes', '2000000', '3'])
    const exit = await (await engine.launch('p', 'owner', cell, new Recorder())).ended
    expect(exit.kind).toBe('exited')
    expect(exit.usage.busyMs / exit.usage.wallMs).toBeGreaterThan(0.15)
    expect(exit.usage.busyMs / exit.usage.wallMs).toBeLessThan(0.3)
  })

  it('shows in the calibration', async () => {
    const engines = [await startedEngine(), await startedEngine({ fuelShare: 0.25 })] as const
    // The best of three, taken in turns: other work on this machine slows both.
    const best = [new Map<string, number>(), new Map<string, number>()] as const
    for (let round = 0; round < 3; round++) {
      for (const i of [0, 1] as const) {
        for (const { name, ms } of await calibrate(engines[i])) {
          best[i].set(name, Math.min(ms, best[i].get(name) ?? Number.POSITIVE_INFINITY))
        }
      }
    }
    expect([...best[0].keys()]).toEqual([...best[1].keys()])
    expect(best[0].size).toBe(6)
    const sum = (times: ReadonlyMap<string, number>): number => [...times.values()].reduce((total, ms) => total + ms, 0)
    expect(sum(best[1]) / sum(best[0])).toBeGreaterThan(2)
  })

  it('stops a calibration that is aborted', async () => {
    const engine = await startedEngine()
    const signal = AbortSignal.abort(new Error('no time'))
    await expect(calibrate(engine, { signal })).rejects.toThrow('no time')
  })
})
