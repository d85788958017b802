// Ends that come from outside, wherever the program is, and what they cost others.
import { describe, expect, it } from 'vitest'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { eventually } from '../../support/eventually.ts'
import { asm, type Code, i32, WasmBuilder } from '../../support/wasm-builder.ts'
import { program, Recorder, sampleModule, startedEngine } from './support.ts'

const fault = sampleModule('fault')
const MEMORY = 4_096

/**
 * Straight-line code, in which V8 looks for nothing: `times` fills of 256 MiB each, after so much output that it is sent
 * at once.
 */
function filling(times: number): Uint8Array {
  const fill: Code = [...asm.i32(4_096), ...asm.i32(1), ...asm.i32((MEMORY - 1) * 65_536), 0xfc, 11, 0]
  const b = new WasmBuilder().memory({ min: MEMORY }).data(0, [0, 16, 0, 0, 0, 0, 1, 0])
  const write = b.import('fd_write', [i32, i32, i32, i32], [i32])
  const say: Code = [...[1, 0, 1, 8].flatMap((value) => asm.i32(value)), ...asm.call(write), OP.drop]
  b.func({ export: '_start', code: [...say, ...Array.from({ length: times }, () => fill).flat()] })
  return b.build()
}

const limits = { memoryBytes: MEMORY * 65_536 }

describe('a killed cell', () => {
  it('ends at a poll, and its thread runs the next one', async () => {
    const engine = await startedEngine()
    for (let n = 0; n < 5; n++) {
      const cell = await engine.launch('spin', 'owner', program(fault, ['fault', 'spin']), new Recorder())
      await eventually(async () => (await cell.usage()).fuel > 0)
      await cell.kill()
      const exit = await cell.ended
      expect(exit.kind).toBe('killed')
      expect(exit.usage.fuel).toBeGreaterThan(0)
    }
    expect(
      await (await engine.launch('x', 'owner', program(fault, ['fault', 'exit', '2']), new Recorder())).ended,
    ).toMatchObject({ exitCode: 2 })
  })

  it('ends in its sleep, and while it waits for its output to be read', async () => {
    const engine = await startedEngine()
    const recorder = new Recorder()
    const sleeper = await engine.launch(
      's',
      'owner',
      program(sampleModule('sleeper'), ['sleeper', '2', '3600000']),
      recorder,
    )
    await eventually(() => recorder.stdout.includes('line 1'))
    await sleeper.kill()
    expect(await sleeper.ended).toMatchObject({ kind: 'killed' })
    const flood = await engine.launch(
      'f',
      'owner',
      program(fault, ['fault', 'flood'], { limits: { outputBytes: 2 ** 40 } }),
      new Recorder(),
    )
    await flood.kill()
    expect(await flood.ended).toMatchObject({ kind: 'killed' })
  })

  it('takes no other cell of its owner with it when it is stuck', async () => {
    const engine = await startedEngine()
    const recorder = new Recorder()
    const lines = 40
    const neighbour = await engine.launch(
      'n',
      'owner',
      program(sampleModule('sleeper'), ['sleeper', String(lines), '100']),
      recorder,
    )
    await eventually(() => recorder.stdout.includes('line 1'))
    const [before] = engine.hostPids()
    // For minutes.
    const said = new Recorder()
    const stuck = await engine.launch('s', 'owner', program(filling(20_000), ['stuck'], { limits }), said)
    await eventually(() => said.stdout.length > 0)
    await stuck.kill()
    expect(await stuck.ended).toMatchObject({ kind: 'killed' })
    expect(await neighbour.ended).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(recorder.stdout).toBe(Array.from({ length: lines }, (_, n) => `line ${n + 1}\n`).join(''))
    expect(engine.hostPids()).not.toContain(before)
    expect(engine.hostPids()).toHaveLength(1)
  })
})

describe('cells of the owner of one that is stuck', () => {
  const sleeper = program(sampleModule('sleeper'), ['sleeper', '80', '150'])
  const SAYS = Array.from({ length: 80 }, (_, n) => `line ${n + 1}\n`).join('')

  it('survive in the middle of a move: copied, suspended, arrived', async () => {
    const [engine, elsewhere] = [await startedEngine(), await startedEngine()]
    const recorders = Array.from({ length: 4 }, () => new Recorder())
    const [heardCopied, heardStopped, heardSuspended, heardArrived] = recorders
    if (!heardCopied || !heardStopped || !heardSuspended || !heardArrived) throw new Error('no recorder')
    const launch = (recorder: Recorder) => engine.launch('n', 'owner', sleeper, recorder)
    const copied = await launch(heardCopied)
    const copy = await copied.copy({})
    for await (const part of copy.round()) expect(part.length).toBeGreaterThan(0)
    const stopped = await launch(heardStopped)
    const stoppedCopy = await stopped.copy({})
    for await (const part of stoppedCopy.round()) expect(part.length).toBeGreaterThan(0)
    await stoppedCopy.stop()
    const suspended = await launch(heardSuspended)
    await suspended.suspend({})
    const source = await elsewhere.launch('a', 'owner', sleeper, heardArrived)
    const { bytes } = await source.suspend({})
    const receive = () => engine.receive('a', 'owner', sleeper.module, sleeper.limits, heardArrived)
    const arriving = await receive()
    await arriving.add(bytes)
    const unfinished = await receive()
    const [before] = engine.hostPids()
    const said = new Recorder()
    const stuck = await engine.launch('s', 'owner', program(filling(20_000), ['stuck'], { limits }), said)
    await eventually(() => said.stdout.length > 0)
    const killed = stuck.kill()
    // Asked for while it leaves: it waits for that.
    await eventually(() => engine.hostPids().length === 2)
    const resumedEarly = suspended.resumeHere()
    await killed
    await expect(copy.stop()).rejects.toMatchObject({ code: 'CELL_STATE_NOT_SERIALIZABLE' })
    await resumedEarly
    await stopped.resumeHere()
    const arrived = await arriving.finish()
    await arrived.resumeHere()
    await expect(unfinished.add(bytes)).rejects.toMatchObject({ code: 'CELL_HOST_DIED' })
    for (const cell of [copied, stopped, suspended, arrived])
      expect(await cell.ended).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(recorders.map(({ stdout }) => stdout)).toEqual(recorders.map(() => SAYS))
    expect(engine.hostPids()).not.toContain(before)
  })
})

describe('a program without loop or recursion', () => {
  it('is bound by wall time, though no fuel is used', async () => {
    const engine = await startedEngine()
    const cell = program(filling(20_000), ['stuck'], { limits: { ...limits, wallMs: 200, fuel: 1 } })
    const exit = await (await engine.launch('s', 'owner', cell, new Recorder())).ended
    expect(exit).toMatchObject({ kind: 'failed', code: 'CELL_TIME_LIMIT' })
  })
})
