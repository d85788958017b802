// Host processes and their threads, by what they serve: who is given to whom, and when they end.
import { describe, expect, it } from 'vitest'
import { WorkerPool } from '../../../cells/runtime/worker-pool.ts'
import { systemClock } from '../../../core/clock.ts'
import { eventually } from '../../support/eventually.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { program, Recorder, sampleModule, startedEngine } from './support.ts'

describe('a host process', () => {
  it('that took the place of an idle one which died does not end when that one would have', async () => {
    const clock = new ManualClock()
    const hostIdleMs = 6_000
    const engine = await startedEngine({ clock, hostIdleMs })
    const sleeper = sampleModule('sleeper')
    const first = await engine.launch('a', 'owner', program(sleeper, ['sleeper', '1', '1']), new Recorder())
    await first.ended
    const [idle] = engine.hostPids()
    if (idle === undefined) throw new Error('it has ended already')
    process.kill(idle, 'SIGKILL')
    await eventually(() => engine.hostPids().length === 0)
    const cell = program(sleeper, ['sleeper', '2', '3600000'], { limits: { wallMs: 2 ** 31 } })
    const second = await engine.launch('b', 'owner', cell, new Recorder())
    const pids = engine.hostPids()
    expect(pids).toHaveLength(1)
    await clock.advance(hostIdleMs)
    expect(engine.hostPids()).toEqual(pids)
    await second.kill()
    await clock.advance(hostIdleMs)
    expect(engine.hostPids()).toEqual([])
  })
})

describe('a worker pool', () => {
  it('gives no worker that is being ended to another cell, whatever it still reports', async () => {
    const pool = new WorkerPool(systemClock, 128)
    const nobody = { onReport: () => undefined, onGone: () => undefined }
    const first = await pool.take(nobody)
    const waiting = pool.take(nobody)
    first.terminate()
    pool.giveBack(first)
    const second = await waiting
    expect(second).not.toBe(first)
    const third = pool.take(nobody)
    second.terminate()
    expect(await third).not.toBe(second)
    ;(await third).terminate()
  })
})
