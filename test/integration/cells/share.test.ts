// The share of a core that cells get, seen in their usage and in the calibration: ratios, never times.
import { describe, expect, it } from 'vitest'
import { calibrate } from '../../../cells/calibrate/calibrate.ts'
import { program, Recorder, sampleModule, startedEngine } from './support.ts'

describe('a share of a core', () => {
  it('makes a cell run a quarter of the time when it is a quarter', async () => {
    const engine = await startedEngine({ fuelShare: 0.25 })
    const cell = program(sampleModule('primes'), ['primes', '2000000', '3'])
    const exit = await (await engine.launch('p', 'owner', cell, new Recorder())).ended
    expect(exit.kind).toBe('exited')
    expect(exit.usage.busyMs / exit.usage.wallMs).toBeGreaterThan(0.15)
    expect(exit.usage.busyMs / exit.usage.wallMs).toBeLessThan(0.3)
  })

  it('shows in the calibration', async () => {
    const whole = await calibrate(await startedEngine())
    const tenth = await calibrate(await startedEngine({ fuelShare: 0.1 }))
    expect(whole.map(({ name }) => name)).toEqual(tenth.map(({ name }) => name))
    expect(whole).toHaveLength(6)
    // Ten on an idle machine. On a busy one a thread that mostly sleeps is preempted less than one that never does.
    const sum = (times: readonly { ms: number }[]): number => times.reduce((total, { ms }) => total + ms, 0)
    expect(sum(tenth) / sum(whole)).toBeGreaterThan(2)
  })

  it('stops a calibration that is aborted', async () => {
    const engine = await startedEngine()
    const signal = AbortSignal.abort(new Error('no time'))
    await expect(calibrate(engine, { signal })).rejects.toThrow('no time')
  })
})
