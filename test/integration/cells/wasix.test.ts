// Programs on Wasmer's runtime, each in a process of its own: modules that need WASIX, and what they share with others.
import { describe, expect, it } from 'vitest'
import type { CellExit, CellLimits, CellProgram } from '../../../cells/types.ts'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { eventually } from '../../support/eventually.ts'
import { asm, type Code, i32, WasmBuilder } from '../../support/wasm-builder.ts'
import { program, Recorder, runMoved, sampleModule, startedEngine } from './support.ts'

const fault = sampleModule('fault')

async function run(cell: CellProgram): Promise<{ exit: CellExit; recorder: Recorder }> {
  const engine = await startedEngine()
  const recorder = new Recorder()
  const handle = await engine.launch('w', 'owner', { ...cell, engine: 'wasix' }, recorder)
  return { exit: await handle.ended, recorder }
}

const faulty = (args: string[], limits: Partial<CellLimits> = {}) => run(program(fault, ['fault', ...args], { limits }))

/** Prints its working directory, which preview1 has no call for. */
function printsDirectory(): Uint8Array {
  const b = new WasmBuilder()
  const getcwd = b.import('getcwd', [i32, i32], [i32], 'wasix_32v1')
  const write = b.import('fd_write', [i32, i32, i32, i32], [i32])
  const exit = b.import('proc_exit', [i32], [])
  const store = (address: number, value: Code): Code => [...asm.i32(address), ...value, 0x36, 2, 0]
  const load: Code = [...asm.i32(4), 0x28, 2, 0]
  b.func({
    export: '_start',
    code: [
      // The buffer is at 64; its size and then the path's is at 4, where the length of the output is to stand too.
      ...store(4, asm.i32(256)),
      ...store(0, asm.i32(64)),
      ...[asm.i32(64), asm.i32(4), asm.call(getcwd), [OP.drop]].flat(),
      ...[asm.i32(1), asm.i32(0), asm.i32(1), asm.i32(16), asm.call(write), [OP.drop]].flat(),
      ...load,
      ...asm.call(exit),
    ],
  })
  return b.build()
}

describe('a cell on the engine wasix', () => {
  it('runs a module that needs WASIX, which wasi refuses', async () => {
    const engine = await startedEngine()
    const cell = program(printsDirectory(), ['pwd'])
    const refused = engine.launch('p', 'owner', cell, new Recorder())
    await expect(refused).rejects.toMatchObject({ code: 'CELL_UNKNOWN_IMPORT' })
    await expect(engine.inspect(cell.module)).rejects.toMatchObject({ code: 'CELL_UNKNOWN_IMPORT' })
    expect(await engine.inspect(cell.module, { engine: 'wasix' })).toMatchObject({
      imports: ['getcwd', 'fd_write', 'proc_exit'],
    })
    const { exit, recorder } = await run(cell)
    expect(recorder.stdout).toBe('/workspace')
    expect(exit).toMatchObject({ kind: 'exited', exitCode: '/workspace'.length })
  })

  it('refuses what it would ignore', async () => {
    const engine = await startedEngine()
    const cell = { ...program(fault, ['fault', 'exit', '0']), engine: 'wasix' as const }
    for (const option of [{ stdinOpen: true }, { randomSeed: Uint8Array.of(1) }]) {
      const refused = engine.launch('w', 'owner', { ...cell, ...option }, new Recorder())
      await expect(refused).rejects.toMatchObject({ code: 'CELL_OPTION_UNSUPPORTED' })
    }
    expect(engine.hostPids()).toEqual([])
  })

  it('gives what it gives on the engine wasi: arguments, files in and out, output', async () => {
    const engine = await startedEngine()
    const operations = 'set a 1\nset b 2\nget a\ndel b\n'
    const cell = program(sampleModule('kvstore'), ['kvstore', '/in/ops.txt', '/workspace/results.txt', '3'], {
      files: { '/in/ops.txt': operations, '/workspace/results.txt': 'old' },
    })
    const wasi = await runMoved([engine], cell, 0)
    const wasix = await run(cell)
    if (wasi.exit.kind !== 'exited' || wasix.exit.kind !== 'exited') throw new Error(JSON.stringify(wasix.exit))
    expect(wasix.exit.exitCode).toBe(0)
    expect(wasix.exit.files).toEqual(wasi.exit.files)
    expect(wasix.recorder.stdout).toBe(wasi.recorder.stdout)
  })

  it('ends with the code of its program, and traps as one that trapped', async () => {
    expect((await faulty(['exit', '37'])).exit).toMatchObject({ kind: 'exited', exitCode: 37 })
    expect((await faulty(['trap'])).exit).toMatchObject({ kind: 'failed', code: 'CELL_TRAPPED' })
  })

  it('cannot have more memory than its limit', async () => {
    const { exit, recorder } = await faulty(['oom'], { memoryBytes: 8 << 20 })
    expect(exit).toMatchObject({ kind: 'exited', exitCode: 3 })
    expect(recorder.stdout).toMatch(/out of memory after [67]\d\d\d KiB/)
  })

  it('cannot write more than its limit, and what fits arrives', async () => {
    const { exit, recorder } = await faulty(['flood'], { outputBytes: 500_000 })
    expect(exit).toMatchObject({ kind: 'failed', code: 'CELL_OUTPUT_LIMIT' })
    expect(recorder.stdout).toHaveLength(500_000)
  })

  it('ends by its wall limit', async () => {
    expect((await faulty(['spin'], { wallMs: 300 })).exit).toMatchObject({ kind: 'failed', code: 'CELL_TIME_LIMIT' })
  })

  it('cannot fill more disk than its limit', async () => {
    const { exit } = await faulty(['fill', '/workspace/big'], { diskBytes: 16 << 20, wallMs: 20_000 })
    expect(exit).toMatchObject({ kind: 'failed', code: 'CELL_DISK_LIMIT' })
  })

  it('is alone in its process, is killed with it, and cannot be moved', async () => {
    const engine = await startedEngine()
    const spin: CellProgram = { ...program(fault, ['fault', 'spin']), engine: 'wasix' }
    const first = await engine.launch('1', 'owner', spin, new Recorder())
    const second = await engine.launch('2', 'owner', spin, new Recorder())
    expect(new Set(engine.hostPids()).size).toBe(2)
    expect(first.migratable).toBe(false)
    await expect(first.suspend({})).rejects.toMatchObject({ code: 'ENGINE_NOT_MIGRATABLE' })
    await first.kill()
    expect(await first.ended).toMatchObject({ kind: 'killed' })
    expect(await second.usage()).toMatchObject({ fuel: 0 })
    await second.kill()
    await eventually(() => engine.hostPids().length === 0)
  })

  it.each([
    ['neither a module nor a package', Uint8Array.of(1, 2, 3), 'CELL_NOT_WASM'],
    ['a package that is broken', Uint8Array.of(0, 0x77, 0x65, 0x62, 0x63, 0x30, 0x30, 0x33, 1), 'CELL_NOT_WASM'],
    ['more memory than it may have', sampleModule('fault'), 'CELL_MEMORY_LIMIT'],
  ])('is refused: %s', async (_name, module, code) => {
    const limits = code === 'CELL_MEMORY_LIMIT' ? { memoryBytes: 65_536 } : {}
    await expect(run(program(module, ['x'], { limits }))).rejects.toMatchObject({ code })
  })
})
