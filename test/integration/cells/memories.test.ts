// Programs with several memories: they are moved, live and in one go, and all of them count.
import { describe, expect, it } from 'vitest'
import type { ProcessCellEngine } from '../../../cells/runtime/engine.ts'
import { stateHeaderOf } from '../../../cells/snapshot/snapshot.ts'
import type { CellHandle, CellProgram } from '../../../cells/types.ts'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { isCoded } from '../../../core/errors.ts'
import { eventually } from '../../support/eventually.ts'
import { asm, type Code, i32, VOID, WasmBuilder } from '../../support/wasm-builder.ts'
import { program, Recorder, startedEngine } from './support.ts'

const I32_LOAD = 0x28
const I32_STORE = 0x36
const PAGE = 65_536
const FOUR = [i32, i32, i32, i32]

/** A call of `fd_write` with what stands at 32 in the memory that WASI sees, of `length` bytes. */
const say = (write: number, length: number, memory: number): Code => [
  ...[...asm.i32(0), ...asm.i32(32), ...asm.access(I32_STORE, 0, memory)],
  ...[...asm.i32(4), ...asm.i32(length), ...asm.access(I32_STORE, 0, memory)],
  ...[...asm.i32(1), ...asm.i32(0), ...asm.i32(1), ...asm.i32(8), ...asm.call(write), OP.drop],
]

/**
 * Counts to `turns` in words that lie in three memories, far apart, and copies between them; writes a letter every 2^21 turns,
 * and in the end the sums of what stands in each as letters.
 */
function counting(turns: number): Uint8Array {
  const b = new WasmBuilder().memory({ min: 2, max: 40 })
  b.anotherMemory({ min: 3, max: 40 }).anotherMemory({ min: 1 })
  const write = b.import('fd_write', FOUR, [i32])
  const [turn, at, sum] = [0, 1, 2]
  const add = (memory: number, address: Code): Code => [
    ...address,
    ...address,
    ...asm.access(I32_LOAD, 0, memory),
    ...asm.get(turn),
    OP.i32Add,
    ...asm.access(I32_STORE, 0, memory),
  ]
  // A word somewhere in 64 KiB, another one each turn.
  const somewhere: Code = [...asm.get(turn), ...asm.i32(2_654_435), 0x6c, ...asm.i32(0xfff0), 0x71]
  const copy: Code = [...asm.i32(PAGE), ...somewhere, ...asm.i32(16), 0xfc, 10, 2, 1]
  const letter = (value: Code): Code => [
    ...[...asm.i32(32), ...value, ...asm.i32(15), 0x71, ...asm.i32(97), OP.i32Add, ...asm.access(0x3a, 0)],
    ...say(write, 1, 0),
  ]
  const now = [...asm.get(turn), ...asm.i32(0x1fffff), 0x71, OP.i32Eqz]
  const body: Code[] = [
    add(0, [...somewhere, ...asm.i32(PAGE), OP.i32Add]),
    add(1, somewhere),
    copy,
    now,
    asm.if(VOID, letter(asm.get(turn))),
    [...asm.get(turn), ...asm.i32(1), OP.i32Add, ...asm.tee(turn), ...asm.i32(turns), OP.i32LtS],
    asm.brIf(0),
  ]
  const summed = (memory: number): Code => [
    ...[...asm.i32(PAGE), ...asm.set(at)],
    ...asm.loop(VOID, [
      ...[
        ...asm.get(sum),
        ...asm.i32(31),
        0x6c,
        ...asm.get(at),
        ...asm.access(I32_LOAD, 0, memory),
        OP.i32Add,
        ...asm.set(sum),
      ],
      ...[...asm.get(at), ...asm.i32(4), OP.i32Add, ...asm.tee(at), ...asm.i32(2 * PAGE), OP.i32LtS, ...asm.brIf(0)],
    ]),
    ...letter(asm.get(sum)),
    ...letter([...asm.get(sum), ...asm.i32(8), 0x76]),
    ...letter([...asm.get(sum), ...asm.i32(16), 0x76]),
  ]
  // The third one is grown while the program runs.
  const grow: Code = [...asm.i32(1), OP.memoryGrow, 2, OP.drop]
  const code = [...grow, ...asm.loop(VOID, ...body), ...summed(0), ...summed(1), ...summed(2)]
  b.func({ export: '_start', locals: [i32, i32, i32], code })
  return b.build()
}

const cell = program(counting(200_000_000), ['counting'])

async function unmoved(): Promise<string> {
  const engine = await startedEngine()
  const recorder = new Recorder()
  const handle = await engine.launch('alone', 'owner', cell, recorder)
  expect(await handle.ended).toMatchObject({ kind: 'exited', exitCode: 0 })
  return recorder.stdout
}

/** Moves it live, with two rounds. */
async function moved(from: CellHandle, to: ProcessCellEngine, of: CellProgram, events: Recorder): Promise<CellHandle> {
  const arriving = await to.receive(from.id, 'owner', of.module, of.limits, events)
  const copy = await from.copy({})
  for (let round = 0; round < 2; round++) for await (const part of copy.round()) await arriving.add(part)
  for (const part of (await copy.stop()).parts) await arriving.add(part)
  const arrived = await arriving.finish()
  await arrived.resumeHere()
  await from.discard()
  return arrived
}

describe('a program with three memories', () => {
  it('gives moved live, to and fro, what it gives unmoved', async () => {
    const [here, there] = [await startedEngine(), await startedEngine()]
    // Both builds are compiled before it matters.
    for (const engine of [here, there]) {
      const warm = await engine.launch('warm', 'owner', cell, new Recorder())
      await (await warm.copy({})).cancel()
      await warm.kill()
    }
    const recorder = new Recorder()
    let handle = await here.launch('moved', 'owner', cell, recorder)
    await eventually(() => recorder.stdout.length > 2)
    let moves = 0
    try {
      for (const to of [there, here, there]) {
        handle = await moved(handle, to, cell, recorder)
        moves++
      }
    } catch (error) {
      // On a busy machine the program may be over before its third move.
      if (!isCoded(error, 'CELL_ENDED')) throw error
    }
    expect(moves).toBeGreaterThan(0)
    expect(await handle.ended).toMatchObject({ kind: 'exited', exitCode: 0 })
    const alone = await unmoved()
    expect(alone).toMatch(/^[a-p]{105}$/)
    expect(recorder.stdout).toBe(alone)
  })

  it('gives packed in one go, by snapshot, what it gives unmoved; the snapshot names all of them', async () => {
    const engine = await startedEngine()
    const recorder = new Recorder()
    const handle = await engine.launch('packed', 'owner', cell, recorder)
    await eventually(() => recorder.stdout.length > 2)
    expect((await handle.usage()).memoryBytes).toBe(7 * PAGE)
    const { bytes } = await handle.suspend({})
    expect(stateHeaderOf(bytes)?.memoryPages).toEqual([2, 3, 2])
    await handle.discard()
    const again = await engine.resume('packed', 'owner', cell.module, bytes, cell.limits, recorder)
    expect(await again.ended).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(recorder.stdout).toBe(await unmoved())
  })

  it('is refused a snapshot of a program with other memories, and one that says it has more than it may', async () => {
    const engine = await startedEngine()
    const small = program(counting(200_000_000), ['counting'], { limits: { memoryBytes: 6 * PAGE } })
    await expect(engine.prepare(small.module, 'owner', small.limits)).resolves.toBeUndefined()
    const recorder = new Recorder()
    const handle = await engine.launch('large', 'owner', cell, recorder)
    await eventually(() => recorder.stdout.length > 0)
    const { bytes } = await handle.suspend({})
    // Seven pages, where six are allowed.
    const resumed = engine.resume('small', 'owner', small.module, bytes, small.limits, new Recorder())
    await expect(resumed).rejects.toMatchObject({ code: 'SNAPSHOT_MALFORMED' })
    await handle.kill()
  })
})

describe('the memory limit', () => {
  it('holds for all memories together, whatever each declares', async () => {
    // Both want to grow to 100 pages; together they may have 64. Says how far each came, as letters.
    const b = new WasmBuilder().memory({ min: 1 })
    b.anotherMemory({ min: 1, max: 100 })
    const write = b.import('fd_write', FOUR, [i32])
    const fill = (memory: number): Code =>
      asm.loop(VOID, [...asm.i32(1), OP.memoryGrow, memory, ...asm.i32(-1), 0x47, ...asm.brIf(0)])
    const size = (memory: number): Code => [...asm.i32(32 + memory), 0x3f, memory, ...asm.access(0x3a, 0)]
    b.func({ export: '_start', code: [...fill(1), ...fill(0), ...size(0), ...size(1), ...say(write, 2, 0)] })
    const engine = await startedEngine()
    const recorder = new Recorder()
    const limits = { memoryBytes: 64 * PAGE }
    const handle = await engine.launch('greedy', 'owner', program(b.build(), ['greedy'], { limits }), recorder)
    const exit = await handle.ended
    expect(exit).toMatchObject({ kind: 'exited', exitCode: 0 })
    const sizes = [...recorder.stdout].map((one) => one.charCodeAt(0))
    expect(sizes).toHaveLength(2)
    expect((sizes[0] ?? 0) + (sizes[1] ?? 0)).toBe(64)
  })

  it('refuses a module whose memories together begin with more', async () => {
    const b = new WasmBuilder().memory({ min: 40 })
    b.anotherMemory({ min: 40 })
    b.func({ export: '_start', code: [] })
    const engine = await startedEngine()
    const large = program(b.build(), ['large'], { limits: { memoryBytes: 64 * PAGE } })
    await expect(engine.launch('large', 'owner', large, new Recorder())).rejects.toMatchObject({
      code: 'CELL_MEMORY_LIMIT',
    })
  })
})

describe('WASI', () => {
  it('reads and writes the memory that is exported as `memory`, whichever it is', async () => {
    const b = new WasmBuilder().exportMemory(1).anotherMemory({ min: 1 })
    const write = b.import('fd_write', FOUR, [i32])
    const read = b.import('fd_read', FOUR, [i32])
    const letters = [...asm.i32(32), ...asm.i32(0x0a6b6f), ...asm.access(I32_STORE, 0, 1)]
    // Waits for its input, into 64, until that ends.
    const wait = [
      ...[...asm.i32(16), ...asm.i32(64), ...asm.access(I32_STORE, 0, 1)],
      ...[...asm.i32(20), ...asm.i32(4), ...asm.access(I32_STORE, 0, 1)],
      ...[...asm.i32(0), ...asm.i32(16), ...asm.i32(1), ...asm.i32(8), ...asm.call(read), OP.drop],
    ]
    b.func({ export: '_start', code: [...letters, ...say(write, 3, 1), ...wait, ...say(write, 3, 1)] })
    const module = b.build()
    const [here, there] = [await startedEngine(), await startedEngine()]
    const recorder = new Recorder()
    const second = { ...program(module, ['second']), stdinOpen: true }
    const handle = await here.launch('second', 'owner', second, recorder)
    await eventually(() => recorder.stdout === 'ok\n')
    const arrived = await moved(handle, there, second, recorder)
    await arrived.writeStdin({ at: 0, bytes: new Uint8Array(0), end: true })
    expect(await arrived.ended).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(recorder.stdout).toBe('ok\nok\n')
  })
})

it('more memories than there may be are refused with a code', async () => {
  const b = new WasmBuilder()
  for (let k = 0; k < 16; k++) b.anotherMemory({ min: 0 })
  b.func({ export: '_start', code: [] })
  const engine = await startedEngine()
  const launched = engine.launch('many', 'owner', program(b.build(), ['many']), new Recorder())
  await expect(launched).rejects.toMatchObject({ code: 'CELL_STATE_NOT_SERIALIZABLE' })
})
