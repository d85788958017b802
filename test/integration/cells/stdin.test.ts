// Standard input that comes while a cell runs, wherever it runs by then; and random bytes that a seed decides.
import { expect, it } from 'vitest'
import { STDIN_UNREAD_BYTES } from '../../../cells/runtime/limits.ts'
import type { CellHandle, CellProgram } from '../../../cells/types.ts'
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

/** Sends one piece after the other, and checks that all of it was taken. */
function sender(): (to: CellHandle, text: string, end?: boolean) => Promise<void> {
  let at = 0
  return async (to, text, end) => {
    const bytes = utf8(text)
    expect(await to.writeStdin({ at, bytes, end })).toEqual({ bytes: at + bytes.length, closed: end === true })
    at += bytes.length
  }
}

it('a program that waits for its input is moved, and gets what comes after', async () => {
  const [first, second] = [await startedEngine(), await startedEngine()]
  const recorder = new Recorder()
  const cell = open(echo(), { stdin: utf8('at once, ') })
  const there = await first.launch('echo', 'owner', cell, recorder)
  await eventually(() => recorder.stdout === 'at once, ')
  const send = sender()
  await send(there, 'at once, ')
  await send(there, 'sent, ')
  await eventually(() => recorder.stdout === 'at once, sent, ')
  const snapshot = await there.suspend({})
  await expect(send(there, 'lost')).rejects.toThrow(/suspended/)
  const here = await second.resume('echo', 'owner', cell.module, snapshot.bytes, cell.limits, recorder)
  await there.discard()
  await send(here, 'after the move, ')
  await eventually(() => recorder.stdout.endsWith('move, '))
  await send(here, 'and the end', true)
  expect(await here.ended).toMatchObject({ kind: 'exited', exitCode: 0 })
  expect(recorder.stdout).toBe('at once, sent, after the move, and the end')
  await expect(send(here, 'x')).rejects.toMatchObject({ code: 'CELL_ENDED' })
})

it('so does one that cannot be moved', async () => {
  const engine = await startedEngine()
  const recorder = new Recorder()
  const cell = await engine.launch('echo', 'owner', open(echo(), { migratable: false }), recorder)
  const send = sender()
  await send(cell, 'one ')
  await eventually(() => recorder.stdout === 'one ')
  await send(cell, 'two', true)
  expect(await cell.ended).toMatchObject({ kind: 'exited' })
  expect(recorder.stdout).toBe('one two')
})

it('what comes twice, overlaps or comes too soon is read once and in order', async () => {
  const engine = await startedEngine()
  const recorder = new Recorder()
  const cell = await engine.launch('echo', 'owner', open(echo()), recorder)
  const write = (at: number, text: string, end = false) => cell.writeStdin({ at, bytes: utf8(text), end })
  expect(await write(0, '')).toEqual({ bytes: 0, closed: false })
  expect(await write(3, 'too soon')).toEqual({ bytes: 0, closed: false })
  expect(await write(0, '0123')).toEqual({ bytes: 4, closed: false })
  expect(await write(0, '0123')).toEqual({ bytes: 4, closed: false })
  expect(await write(2, '2345')).toEqual({ bytes: 6, closed: false })
  // An end that is not the end of what there is.
  expect(await write(0, '01', true)).toEqual({ bytes: 6, closed: false })
  expect(await write(6, '6', true)).toEqual({ bytes: 7, closed: true })
  expect(await cell.ended).toMatchObject({ kind: 'exited' })
  expect(recorder.stdout).toBe('0123456')
})

it('of input that nobody reads some is taken', async () => {
  const b = new WasmBuilder()
  b.func({ export: '_start', code: asm.loop(VOID, asm.br(0)) })
  const engine = await startedEngine()
  const cell = await engine.launch('busy', 'owner', open(b.build()), new Recorder())
  const full = { bytes: STDIN_UNREAD_BYTES, closed: false }
  expect(await cell.writeStdin({ at: 0, bytes: new Uint8Array(STDIN_UNREAD_BYTES + 1), end: true })).toEqual(full)
  expect(await cell.writeStdin({ at: STDIN_UNREAD_BYTES, bytes: utf8('x') })).toEqual(full)
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
