// Host processes and their threads, by what they serve: who is given to whom, and when they end.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
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
    const child = fork(fileURLToPath(new URL('./children/worker-pool.ts', import.meta.url)))
    try {
      const [said] = await once(child, 'message')
      expect(said).toEqual({ given: 3, terminated: false })
    } finally {
      child.kill('SIGKILL')
    }
  })
})
