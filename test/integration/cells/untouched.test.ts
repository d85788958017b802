// Programs that run as they are and cannot be moved: in the same WASI, and within every limit that needs no poll.
import { describe, expect, it } from 'vitest'
import type { CellExit, CellLimits } from '../../../cells/types.ts'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { eventually } from '../../support/eventually.ts'
import { asm, i32, VOID, WasmBuilder } from '../../support/wasm-builder.ts'
import { program, Recorder, runMoved, sampleModule, startedEngine } from './support.ts'

const fault = sampleModule('fault')

async function run(args: string[], limits: Partial<CellLimits> = {}): Promise<{ exit: CellExit; recorder: Recorder }> {
  const engine = await startedEngine()
  const recorder = new Recorder()
  const cell = { ...program(fault, ['fault', ...args], { limits }), migratable: false }
  return { exit: await (await engine.launch('f', 'owner', cell, recorder)).ended, recorder }
}

/** Exits with `code`, computed by an instruction list that leaves an i32. */
function exiting(build: WasmBuilder, ...code: readonly (readonly number[])[]): Uint8Array {
  const exit = build.import('proc_exit', [i32], [])
  build.func({ export: '_start', code: [...code.flat(), ...asm.call(exit)] })
  return build.build()
}

describe('a cell that is not migratable', () => {
  it('gives what it gives as a migratable one', async () => {
    const engine = await startedEngine()
    const operations = 'set a 1\nset b 2\nget a\ndel b\n'
    const cell = program(sampleModule('kvstore'), ['kvstore', '/in/ops.txt', '/results.txt', '3'], {
      files: { '/in/ops.txt': operations },
    })
    const movable = await runMoved([engine], cell, 0)
    const untouched = await runMoved([engine], { ...cell, migratable: false }, 0)
    expect(movable.exit).toMatchObject({ kind: 'exited', exitCode: 0 })
    if (movable.exit.kind !== 'exited' || untouched.exit.kind !== 'exited') throw new Error('it did not exit')
    expect(untouched.exit.files).toEqual(movable.exit.files)
    expect(untouched.recorder.stdout).toBe(movable.recorder.stdout)
    expect(untouched.exit.usage).toMatchObject({
      ...movable.exit.usage,
      fuel: 0,
      busyMs: expect.anything(),
      wallMs: expect.anything(),
    })
  })

  it('runs what is refused otherwise', async () => {
    const engine = await startedEngine()
    const b = new WasmBuilder()
    b.func({ export: 'asyncify_start_unwind', code: [] })
    const module = exiting(b, asm.i32(7))
    const cell = program(module, ['own'])
    const refused = engine.launch('m', 'owner', cell, new Recorder())
    await expect(refused).rejects.toMatchObject({ code: 'CELL_ALREADY_ASYNCIFIED' })
    await expect(refused).rejects.toThrow('--migratable=false')
    await expect(engine.inspect(module)).rejects.toMatchObject({ code: 'CELL_ALREADY_ASYNCIFIED' })
    expect(await engine.inspect(module, { migratable: false })).toMatchObject({ imports: ['proc_exit'] })
    const handle = await engine.launch('m', 'owner', { ...cell, migratable: false }, new Recorder())
    expect(await handle.ended).toMatchObject({ kind: 'exited', exitCode: 7 })
  })

  it.each([
    ['no command', new WasmBuilder().build(), 'CELL_NOT_A_COMMAND'],
    ['garbage', Uint8Array.of(1, 2, 3), 'CELL_NOT_WASM'],
    [
      'other imports',
      exiting(
        (() => {
          const b = new WasmBuilder()
          b.import('f', [], [], 'env')
          return b
        })(),
        asm.i32(0),
      ),
      'CELL_UNKNOWN_IMPORT',
    ],
    [
      'calls that WASI has not got',
      exiting(
        (() => {
          const b = new WasmBuilder()
          b.import('fd_fly', [], [])
          return b
        })(),
        asm.i32(0),
      ),
      'CELL_UNKNOWN_IMPORT',
    ],
    ['too much memory', exiting(new WasmBuilder().memory({ min: 2_000 }), asm.i32(0)), 'CELL_MEMORY_LIMIT'],
    ['a huge table', exiting(new WasmBuilder().table(2_000_000), asm.i32(0)), 'CELL_MEMORY_LIMIT'],
  ])('is refused: %s', async (_name, module, code) => {
    const engine = await startedEngine()
    const launched = engine.launch('x', 'owner', { ...program(module, ['x']), migratable: false }, new Recorder())
    await expect(launched).rejects.toMatchObject({ code })
  })

  it('cannot be suspended, and says so', async () => {
    const engine = await startedEngine()
    const spin = { ...program(fault, ['fault', 'spin']), migratable: false }
    const handle = await engine.launch('s', 'owner', spin, new Recorder())
    expect(handle.migratable).toBe(false)
    await expect(handle.suspend({})).rejects.toMatchObject({ code: 'ENGINE_NOT_MIGRATABLE' })
    await expect(handle.copy({})).rejects.toMatchObject({ code: 'ENGINE_NOT_MIGRATABLE' })
    await eventually(async () => (await handle.usage()).wallMs > 20)
    await handle.kill()
    expect(await handle.ended).toMatchObject({ kind: 'killed' })
  })

  it('keeps its limits of wall time, memory, output and disk', async () => {
    expect((await run(['spin'], { wallMs: 300 })).exit).toMatchObject({ kind: 'failed', code: 'CELL_TIME_LIMIT' })
    const oom = await run(['oom'], { memoryBytes: 4 << 20 })
    expect(oom.exit).toMatchObject({ kind: 'exited', exitCode: 3 })
    expect(oom.recorder.stdout).toMatch(/out of memory after 3\d\d\d KiB/)
    const flood = await run(['flood'], { outputBytes: 1_000_000 })
    expect(flood.exit).toMatchObject({ kind: 'failed', code: 'CELL_OUTPUT_LIMIT' })
    expect(flood.recorder.stdout.length).toBeLessThanOrEqual(1_000_000)
    const fill = await run(['fill', '/big'], { diskBytes: 1 << 20 })
    expect(fill.recorder.stdout).toMatch(/1048576 bytes written/)
    expect((await run(['recurse'])).exit).toMatchObject({ kind: 'failed', code: 'CELL_STACK_TOO_DEEP' })
    // Nothing counts its loop turns.
    expect((await run(['exit', '3'], { fuel: 1 })).exit).toMatchObject({ kind: 'exited', exitCode: 3 })
  })

  it('cannot catch what ends it', async () => {
    const engine = await startedEngine()
    const b = new WasmBuilder()
    const exit = b.import('proc_exit', [i32], [])
    const exiting = (code: number): number[] => [...asm.i32(code), ...asm.call(exit)]
    // try (legacy encoding), catch_all.
    b.func({ export: '_start', code: [0x06, 0x40, ...exiting(3), 0x19, ...exiting(4), OP.end] })
    const cell = { ...program(b.build(), ['catch']), migratable: false }
    const handle = await engine.launch('c', 'owner', cell, new Recorder())
    expect(await handle.ended).toMatchObject({ kind: 'exited', exitCode: 3 })
  })

  it('cannot grow its tables without end', async () => {
    const engine = await startedEngine()
    const grown = [0xd0, 0x70, ...asm.i32(100_000), 0xfc, 15, 0]
    // Counts in local 0 how often 100,000 entries were granted.
    const b = new WasmBuilder().table(1)
    const exit = b.import('proc_exit', [i32], [])
    const turn = [...grown, ...asm.i32(-1), 0x46, OP.if, 0x40, ...asm.get(0), ...asm.call(exit), OP.end]
    const count = [...asm.get(0), ...asm.i32(1), OP.i32Add, ...asm.set(0)]
    b.func({ export: '_start', locals: [i32], code: asm.loop(VOID, turn, count, asm.br(0)) })
    const cell = { ...program(b.build(), ['table']), migratable: false }
    const handle = await engine.launch('t', 'owner', cell, new Recorder())
    expect(await handle.ended).toMatchObject({ kind: 'exited', exitCode: 9 })
  })
})
