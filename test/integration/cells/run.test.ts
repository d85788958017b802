// Programs in real host processes: what they print, leave behind and end with, and how they end when they must.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ProcessCellEngine } from '../../../cells/runtime/engine.ts'
import { MAX_CELLS_PER_HOST } from '../../../cells/runtime/limits.ts'
import type { CellExit, CellLimits } from '../../../cells/types.ts'
import { eventually } from '../../support/eventually.ts'
import { program, Recorder, sampleModule, startedEngine } from './support.ts'

const fault = sampleModule('fault')

/** For tests that leave it as they found it: whatever a program does must not touch the next one. */
const engine = new ProcessCellEngine({})
beforeAll(() => engine.start())
afterAll(() => engine.stop())

async function run(mode: string[], limits: Partial<CellLimits> = {}): Promise<{ exit: CellExit; recorder: Recorder }> {
  const recorder = new Recorder()
  const cell = await engine.launch('fault', 'owner', program(fault, ['fault', ...mode], { limits }), recorder)
  return { exit: await cell.ended, recorder }
}

describe('a cell', () => {
  it('runs a program: output, files, exit code, usage', async () => {
    const recorder = new Recorder()
    const text = 'one two two three three three\n'.repeat(50)
    const cell = program(sampleModule('wordcount'), ['wordcount', '/in.txt', '3'], { files: { '/in.txt': text } })
    const exit = await (await engine.launch('a', 'owner', cell, recorder)).ended
    expect(exit).toMatchObject({ kind: 'exited', exitCode: 0, files: [] })
    expect(recorder.stdout).toMatch(/three/)
    expect(exit.usage.outputBytes).toBe(recorder.stdout.length)
    expect(exit.usage.fuel).toBeGreaterThan(0)
    expect(exit.usage.wallMs).toBeGreaterThanOrEqual(exit.usage.busyMs)
    const written = await engine.launch('b', 'owner', program(fault, ['fault', 'fill', '/full']), new Recorder())
    const end = await written.ended
    expect(end).toMatchObject({ kind: 'exited', exitCode: 4, files: [{ path: '/full' }] })
    expect((await written.readFile('/full'))?.bytes).toHaveLength(end.usage.diskBytes)
  })

  it('ends with the code of its program', async () => {
    expect((await run(['exit', '37'])).exit).toMatchObject({ kind: 'exited', exitCode: 37 })
  })

  it.each([['trap'], ['divide'], ['pointer'], ['abort']])('fails as trapped: %s', async (mode) => {
    const { exit } = await run([mode])
    expect(exit).toMatchObject({ kind: 'failed', code: 'CELL_TRAPPED' })
  })

  it('fails when it recurses too deeply', async () => {
    expect((await run(['recurse'])).exit).toMatchObject({ kind: 'failed', code: 'CELL_STACK_TOO_DEEP' })
  })

  it('cannot have more memory than its limit', async () => {
    const { exit, recorder } = await run(['oom'], { memoryBytes: 4 << 20 })
    expect(exit).toMatchObject({ kind: 'exited', exitCode: 3 })
    expect(exit.usage.memoryBytes).toBeLessThanOrEqual(4 << 20)
    expect(recorder.stdout).toMatch(/out of memory after 3\d\d\d KiB/)
  })

  it('is refused when it starts with more memory than its limit', async () => {
    await expect(run(['oom'], { memoryBytes: 65_536 })).rejects.toMatchObject({ code: 'CELL_MEMORY_LIMIT' })
  })

  it('cannot write more than its limit, and what fits arrives', async () => {
    const { exit, recorder } = await run(['flood'], { outputBytes: 3_000_000 })
    expect(exit).toMatchObject({ kind: 'failed', code: 'CELL_OUTPUT_LIMIT' })
    expect(recorder.stdout.length + recorder.stderr.length).toBeLessThanOrEqual(3_000_000)
    expect(recorder.stdout.length).toBeGreaterThan(2_900_000)
  })

  it('cannot fill more disk than its limit', async () => {
    const { exit, recorder } = await run(['fill', '/big'], { diskBytes: 1 << 20 })
    expect(exit).toMatchObject({ kind: 'exited', exitCode: 4 })
    expect(recorder.stdout).toMatch(/1048576 bytes written/)
  })

  it('ends by its wall limit, spinning or asleep', async () => {
    const spinning = await run(['spin'], { wallMs: 300 })
    expect(spinning.exit).toMatchObject({ kind: 'failed', code: 'CELL_TIME_LIMIT' })
    const sleeper = program(sampleModule('sleeper'), ['sleeper', '2', '3600000'], { limits: { wallMs: 300 } })
    const exit = await (await engine.launch('s', 'owner', sleeper, new Recorder())).ended
    expect(exit).toMatchObject({ kind: 'failed', code: 'CELL_TIME_LIMIT' })
    expect(exit.usage.busyMs).toBeLessThan(exit.usage.wallMs)
  })

  it('ends by its fuel limit', async () => {
    const { exit } = await run(['spin'], { fuel: 1_000_000 })
    expect(exit).toMatchObject({ kind: 'failed', code: 'CELL_FUEL_LIMIT' })
    expect(exit.usage.fuel).toBeGreaterThanOrEqual(1_000_000)
    expect(exit.usage.fuel).toBeLessThan(1_100_000)
  })

  it('is killed in the middle of an endless loop', async () => {
    const cell = await engine.launch('spin', 'owner', program(fault, ['fault', 'spin']), new Recorder())
    await eventually(async () => (await cell.usage()).busyMs > 20)
    await cell.kill()
    expect(await cell.ended).toMatchObject({ kind: 'killed' })
    expect((await cell.usage()).busyMs).toBeGreaterThan(20)
    await expect(cell.suspend({})).rejects.toMatchObject({ code: 'CELL_ENDED' })
    await cell.kill()
  })

  it.each([
    ['not wasm', Uint8Array.of(1, 2, 3), 'CELL_NOT_WASM'],
    ['no command', Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0), 'CELL_NOT_A_COMMAND'],
  ])('is refused: %s', async (_name, module, code) => {
    await expect(engine.inspect(module)).rejects.toMatchObject({ code })
    await expect(engine.launch('x', 'owner', program(module, ['x']), new Recorder())).rejects.toMatchObject({ code })
    // A refusal costs nobody anything: the process goes on.
    const exit = await (await engine.launch('y', 'owner', program(fault, ['fault', 'exit']), new Recorder())).ended
    expect(exit).toMatchObject({ kind: 'exited', exitCode: 0 })
  })

  it('shows a file of its tree while it runs', async () => {
    const cell = await engine.launch(
      'spin',
      'owner',
      program(fault, ['fault', 'spin'], { files: { '/in/a.txt': 'hello' } }),
      new Recorder(),
    )
    expect((await cell.readFile('/in/a.txt'))?.bytes).toEqual(new Uint8Array(Buffer.from('hello')))
    expect(await cell.readFile('/in/b.txt')).toBeUndefined()
    await cell.kill()
  })
})

describe('an engine', () => {
  it('runs cells of one owner in one process, those of another in another', async () => {
    const engine = await startedEngine()
    const spin = program(fault, ['fault', 'spin'])
    const first = await engine.launch('1', 'alice', spin, new Recorder())
    const second = await engine.launch('2', 'alice', spin, new Recorder())
    expect(engine.hostPids()).toHaveLength(1)
    const third = await engine.launch('3', 'bob', spin, new Recorder())
    expect(new Set(engine.hostPids()).size).toBe(2)
    await eventually(async () => {
      const usages = await Promise.all([first, second, third].map((cell) => cell.usage()))
      return usages.every((usage) => usage.busyMs > 5)
    })
    await Promise.all([first.kill(), second.kill(), third.kill()])
  })

  it('reports the cells of a host process that was killed, and starts another', async () => {
    const engine = await startedEngine()
    const spin = program(fault, ['fault', 'spin'])
    const cells = [
      await engine.launch('1', 'owner', spin, new Recorder()),
      await engine.launch('2', 'owner', spin, new Recorder()),
    ]
    const [pid] = engine.hostPids()
    if (pid === undefined) throw new Error('no host process')
    process.kill(pid, 'SIGKILL')
    for (const cell of cells) expect(await cell.ended).toMatchObject({ kind: 'failed', code: 'CELL_HOST_DIED' })
    const again = await engine.launch('3', 'owner', program(fault, ['fault', 'exit']), new Recorder())
    expect(await again.ended).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(engine.hostPids()).not.toContain(pid)
  })

  it('kills what still runs when it stops, and can be started again', async () => {
    const engine = await startedEngine()
    const cell = await engine.launch('1', 'owner', program(fault, ['fault', 'spin']), new Recorder())
    const [pid] = engine.hostPids()
    await engine.stop()
    expect(await cell.ended).toMatchObject({ kind: 'killed' })
    expect(() => process.kill(pid ?? 0, 0)).toThrow(/ESRCH/)
    await engine.start()
    const again = await engine.launch('2', 'owner', program(fault, ['fault', 'exit', '5']), new Recorder())
    expect(await again.ended).toMatchObject({ exitCode: 5 })
  })

  it('ends a host process that nobody needs', async () => {
    const engine = await startedEngine({ hostIdleMs: 50 })
    const cell = await engine.launch('1', 'owner', program(fault, ['fault', 'exit']), new Recorder())
    await cell.ended
    await eventually(() => engine.hostPids().length === 0)
  })

  it('takes so many cells of one owner at once, and no more', async () => {
    const engine = await startedEngine()
    const tiny = program(fault, ['fault', 'exit'])
    const launch = (n: number) => engine.launch(String(n), 'owner', tiny, new Recorder())
    // None of them has a thread when the last one comes: the module is not compiled yet.
    const begun = await Promise.allSettled(Array.from({ length: MAX_CELLS_PER_HOST + 1 }, (_, n) => launch(n)))
    const refused = begun.filter((launched) => launched.status === 'rejected')
    expect(refused.map(({ reason }) => reason.code)).toEqual(['CELL_TOO_MANY'])
    expect(await (await launch(0)).ended).toMatchObject({ kind: 'exited' })
  })

  it('serves a burst of starts of one owner', async () => {
    const engine = await startedEngine()
    const exits = await Promise.all(
      Array.from({ length: 60 }, async (_, i) => {
        const cell = program(fault, ['fault', 'exit', String(i)])
        return (await engine.launch(String(i), 'owner', cell, new Recorder())).ended
      }),
    )
    expect(exits.map((exit) => exit.kind === 'exited' && exit.exitCode)).toEqual(exits.map((_, i) => i))
  })
})
