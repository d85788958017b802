// Standard input that comes while a cell runs, wherever it runs by then; and random bytes that a seed decides.
import { expect, it } from 'vitest'
import { STDIN_UNREAD_BYTES } from '../../../cells/runtime/limits.ts'
import type { CellProgram } from '../../../cells/types.ts'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { utf8 } from '../../../core/bytes.ts'
import { eventually } from '../../support/eventually.ts'
import { asm, i32, VOID, WasmBuilder } from '../../support/wasm-builder.ts'
import { program, Recorder, startedEngine } from './support.ts'

const LOAD = [0x28, 2, 0]
const STORE = [0x36, 2, 0]
const DROP = [0x1a]
const FOUR = [i32, i32, i32, i32]

const call = (index: number, ...args: readonly number[]) => [...args.flatMap(asm.i32), ...asm.call(index), ...DROP]

/** Reads standard input into 64, at most 256 bytes at once, and writes what it got. */
function echo(): Uint8Array {
  const b = new WasmBuilder()
  const read = b.import('fd_read', FOUR, [i32])
  const write = b.import('fd_write', FOUR, [i32])
  const bytesRead = [...asm.i32(8), ...LOAD]
  const body = [
    call(read, 0, 0, 1, 8),
    [...asm.i32(20), ...bytesRead, ...STORE],
    [...bytesRead, OP.i32Eqz],
    asm.brIf(1),
    call(write, 1, 16, 1, 12),
    asm.br(0),
  ]
  b.func({ export: '_start', code: asm.block(VOID, asm.loop(VOID, ...body)) })
  b.data(0, [64, 0, 0, 0, 0, 1, 0, 0]).data(16, [64, 0, 0, 0])
  return b.build()
}

const open = (module: Uint8Array, init: Partial<CellProgram> = {}): CellProgram => ({
  ...program(module, ['program']),
  stdinOpen: true,
  ...init,
})

it('a program that waits for its input is moved, and gets what comes after', async () => {
  const [first, second] = [await startedEngine(), await startedEngine()]
  const recorder = new Recorder()
  const cell = open(echo(), { stdin: utf8('at once, ') })
  const there = await first.launch('echo', 'owner', cell, recorder)
  await eventually(() => recorder.stdout === 'at once, ')
  await there.writeStdin(utf8('sent, '))
  await eventually(() => recorder.stdout === 'at once, sent, ')
  const snapshot = await there.suspend({})
  await expect(there.writeStdin(utf8('lost'))).rejects.toThrow(/suspended/)
  const here = await second.resume('echo', 'owner', cell.module, snapshot.bytes, cell.limits, recorder)
  await there.discard()
  await here.writeStdin(utf8('after the move, '))
  await eventually(() => recorder.stdout.endsWith('move, '))
  await here.writeStdin(utf8('and the end'), { end: true })
  expect(await here.ended).toMatchObject({ kind: 'exited', exitCode: 0 })
  expect(recorder.stdout).toBe('at once, sent, after the move, and the end')
  await expect(here.writeStdin(utf8('x'))).rejects.toMatchObject({ code: 'CELL_ENDED' })
})

it('so does one that cannot be moved', async () => {
  const engine = await startedEngine()
  const recorder = new Recorder()
  const cell = await engine.launch('echo', 'owner', open(echo(), { migratable: false }), recorder)
  await cell.writeStdin(utf8('one '))
  await eventually(() => recorder.stdout === 'one ')
  await cell.writeStdin(utf8('two'), { end: true })
  expect(await cell.ended).toMatchObject({ kind: 'exited' })
  expect(recorder.stdout).toBe('one two')
})

it('input that nobody reads is refused at some time', async () => {
  const b = new WasmBuilder()
  b.func({ export: '_start', code: asm.loop(VOID, asm.br(0)) })
  const engine = await startedEngine()
  const cell = await engine.launch('busy', 'owner', open(b.build()), new Recorder())
  await cell.writeStdin(new Uint8Array(STDIN_UNREAD_BYTES))
  await expect(cell.writeStdin(utf8('x'))).rejects.toMatchObject({ code: 'CELL_STDIN_FULL' })
  await cell.kill()
})

it('a seed decides the random bytes of a program, and without one they are new', async () => {
  const b = new WasmBuilder()
  const random = b.import('random_get', [i32, i32], [i32])
  const write = b.import('fd_write', FOUR, [i32])
  b.func({ export: '_start', code: [...call(random, 64, 8), ...call(write, 1, 0, 1, 8)] })
  const module = b.data(0, [64, 0, 0, 0, 8, 0, 0, 0]).build()
  const engine = await startedEngine()
  const bytesOf = async (randomSeed?: Uint8Array): Promise<string> => {
    const recorder = new Recorder()
    const cell = await engine.launch('random', 'owner', { ...program(module, ['random']), randomSeed }, recorder)
    expect(await cell.ended).toMatchObject({ kind: 'exited' })
    return recorder.stdout
  }
  const [first, second, other] = [await bytesOf(utf8('seed')), await bytesOf(utf8('seed')), await bytesOf(utf8('else'))]
  expect(first).not.toBe('')
  expect(first).toBe(second)
  expect(first).not.toBe(other)
  expect(await bytesOf()).not.toBe(await bytesOf())
})
