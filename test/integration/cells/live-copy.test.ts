// Programs that are copied while they run: they must not notice, whatever becomes of the copy.
import { describe, expect, it } from 'vitest'
import type { ProcessCellEngine } from '../../../cells/runtime/engine.ts'
import type { ArrivingCell, CellExit, CellHandle, CellProgram, LiveCopy } from '../../../cells/types.ts'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { fromUtf8 } from '../../../core/bytes.ts'
import { isCoded } from '../../../core/errors.ts'
import { seededRandom } from '../../../core/random.ts'
import { eventually } from '../../support/eventually.ts'
import { asm, i32, i64, VOID, WasmBuilder } from '../../support/wasm-builder.ts'
import { operations } from '../wasi/inputs.ts'
import { fliteModule, program, Recorder, resultOf, sampleModule, startedEngine } from './support.ts'

async function addRound(copy: LiveCopy, arriving: ArrivingCell): Promise<void> {
  for await (const part of copy.round()) await arriving.add(part)
}

/** Engines that have compiled both builds of `cell`: nothing of that takes time when it matters. */
async function warmEngines(cell: CellProgram, ...which: readonly string[]): Promise<ProcessCellEngine[]> {
  const engines: ProcessCellEngine[] = []
  for (const _ of which) {
    const engine = await startedEngine()
    const handle = await engine.launch('warm', 'owner', cell, new Recorder())
    const copy = await handle.copy({}).catch(() => undefined)
    await copy?.cancel()
    await handle.kill()
    engines.push(engine)
  }
  return engines
}

/** Moves `cell` live to `to`, with so many rounds. */
async function moveLive(
  handle: CellHandle,
  to: ProcessCellEngine,
  cell: CellProgram,
  events: Recorder,
  rounds: number,
): Promise<CellHandle> {
  const arriving = await to.receive(handle.id, 'owner', cell.module, cell.limits, events)
  try {
    const copy = await handle.copy({})
    for (let i = 0; i < rounds; i++) await addRound(copy, arriving)
    const { parts, stoppedAt } = await copy.stop()
    for (const part of parts) await arriving.add(part)
    const arrived = await arriving.finish()
    const { resumedAt } = await arrived.resumeHere()
    expect(resumedAt).toBeGreaterThan(stoppedAt)
    await handle.discard()
    return arrived
  } catch (error) {
    await arriving.abandon()
    throw error
  }
}

interface Outcome {
  readonly exit: CellExit
  readonly recorder: Recorder
  readonly moves: number
}

/** Moves it for as long as it runs, at most so often. */
async function runMovedLive(cell: CellProgram, moves: number, rounds: (move: number) => number): Promise<Outcome> {
  const engines = await warmEngines(cell, 'from', 'to')
  const engineOf = (move: number): ProcessCellEngine => {
    const engine = engines[move % 2]
    if (engine === undefined) throw new Error('no engine')
    return engine
  }
  const recorder = new Recorder()
  let handle: CellHandle = await engineOf(0).launch('live', 'owner', cell, recorder)
  let moved = 0
  try {
    for (; moved < moves; moved++) {
      handle = await moveLive(handle, engineOf(moved + 1), cell, recorder, rounds(moved))
    }
  } catch (error) {
    if (!isCoded(error, 'CELL_ENDED')) throw error
  }
  return { exit: await handle.ended, recorder, moves: moved }
}

const bigheap = program(sampleModule('bigheap'), ['bigheap', '12', '256', '1000', '2500'])

describe('a cell that is moved live', () => {
  it.each([
    ['primes', program(sampleModule('primes'), ['primes', '3000000', '8'])],
    ['queens', program(sampleModule('queens'), ['queens', '13'])],
    ['matmul', program(sampleModule('matmul'), ['matmul', '400'])],
    ['bigheap', bigheap],
    [
      'kvstore',
      program(sampleModule('kvstore'), ['kvstore', '/in/ops.txt', '/results.txt', '60'], {
        files: { '/in/ops.txt': fromUtf8(operations(3_000)) },
      }),
    ],
  ])('gives what it gives unmoved: %s', async (_name, cell) => {
    const random = seededRandom(7)
    const unmoved = await runMovedLive(cell, 0, () => 0)
    const moved = await runMovedLive(cell, 8, () => random.int(4))
    expect(unmoved.exit).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(resultOf(moved)).toEqual(resultOf(unmoved))
    expect(moved.moves).toBeGreaterThan(1)
    expect(Math.abs(moved.exit.usage.fuel - unmoved.exit.usage.fuel)).toBeLessThanOrEqual(200)
  })

  it('speaks the same WAV: flite, moved twice', async () => {
    const files = { '/in/text.txt': 'A program that is copied while it runs does not notice. '.repeat(40) }
    const cell = program(fliteModule(), ['flite', '-f', '/in/text.txt', '-o', '/a.wav'], { files })
    const unmoved = await runMovedLive(cell, 0, () => 0)
    const moved = await runMovedLive(cell, 2, () => 2)
    expect(resultOf(moved)).toEqual(resultOf(unmoved))
    expect(moved.moves).toBeGreaterThan(0)
  })

  it('sleeps on where it goes', async () => {
    const cell = program(sampleModule('sleeper'), ['sleeper', '12', '120'])
    const moved = await runMovedLive(cell, 3, (move) => move)
    expect(moved.recorder.stdout).toBe(Array.from({ length: 12 }, (_, i) => `line ${i + 1}\n`).join(''))
    expect(moved.moves).toBe(3)
  })

  it('sends less and less: what was not written again is not sent again', async () => {
    const engine = await startedEngine()
    const recorder = new Recorder()
    const endless = { ...bigheap, args: bigheap.args.slice(0, 4) }
    const handle = await engine.launch('live', 'owner', endless, recorder)
    await eventually(async () => recorder.stdout.includes('filled'))
    const copy = await handle.copy({})
    const sizes: number[] = []
    for (let i = 0; i < 3; i++) {
      let bytes = 0
      for await (const part of copy.round()) bytes += part.length
      sizes.push(bytes)
    }
    expect(sizes[0]).toBeGreaterThan(12 << 20)
    expect(sizes[0]).toBeLessThan(13 << 20)
    expect(sizes[1]).toBeLessThan(400 << 10)
    expect(await copy.dirtyBytes()).toBeGreaterThan(200 << 10)
    const { parts } = await copy.stop()
    expect(parts).toHaveLength(1)
    expect(parts[0]?.length).toBeLessThan(400 << 10)
    await handle.kill()
  })
})

describe('a program that writes a file without end', () => {
  it('is copied in rounds that end, and moved', async () => {
    const limits = { diskBytes: 4 << 20 }
    const cell = program(rewriting(), ['writer'], { limits })
    const [from, to] = await warmEngines(cell, 'from', 'to')
    if (from === undefined || to === undefined) throw new Error('no engine')
    const recorder = new Recorder()
    const handle = await from.launch('live', 'owner', cell, recorder)
    await eventually(async () => (await handle.usage()).diskBytes > 2 << 20)
    const arrived = await moveLive(handle, to, cell, recorder, 2)
    const { fuel } = await arrived.usage()
    await eventually(async () => (await arrived.usage()).fuel > fuel)
    await arrived.kill()
  })

  it('stops soon though each of its loop turns takes long: after its launch, in its copy, and where it arrived', async () => {
    const cell = program(rewriting(2 << 20), ['writer'])
    const [from, to] = await warmEngines(cell, 'from', 'to')
    if (from === undefined || to === undefined) throw new Error('no engine')
    const recorder = new Recorder()
    const launched = await from.launch('live', 'owner', cell, recorder)
    await launched.suspend({})
    await launched.resumeHere()
    const copy = await launched.copy({})
    await copy.stop()
    await launched.resumeHere()
    const arrived = await moveLive(launched, to, cell, recorder, 0)
    await arrived.suspend({})
    await arrived.discard()
  })
})

describe('a copy that comes to nothing', () => {
  const cell = program(sampleModule('bigheap'), ['bigheap', '4', '64', '1000', '20000'])
  /** What it prints alone, here or on any other WASI. */
  const ALONE = 'filled\n20000 ca9ac02ddf1a951e\n'

  /** Runs the cell, does that to it in mid-run: it must give what it gives alone. */
  async function unharmedBy(act: (handle: CellHandle, engine: ProcessCellEngine) => Promise<unknown>): Promise<void> {
    const [engine] = await warmEngines(cell, 'alone')
    if (engine === undefined) throw new Error('no engine')
    const recorder = new Recorder()
    const handle = await engine.launch('live', 'owner', cell, recorder)
    await act(handle, engine)
    expect(await handle.ended).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(recorder.stdout).toBe(ALONE)
  }

  it('is cancelled at every step, again and again', async () => {
    await unharmedBy(async (handle) => {
      const begun = await handle.copy({})
      await begun.cancel()
      await begun.cancel()
      const inRound = await handle.copy({})
      for await (const part of inRound.round()) {
        expect(part.length).toBeGreaterThan(0)
        await inRound.cancel()
        break
      }
      const afterRound = await handle.copy({})
      for await (const part of afterRound.round()) expect(part.length).toBeGreaterThan(0)
      await afterRound.cancel()
      await expect(afterRound.stop()).rejects.toMatchObject({ code: 'CELL_STATE_NOT_SERIALIZABLE' })
      const stopped = await handle.copy({})
      await stopped.stop()
      await stopped.cancel()
      await handle.resumeHere()
      expect((await handle.suspend({})).bytes.length).toBeGreaterThan(1_000)
      await handle.resumeHere()
    })
  })

  it('is aborted at every step', async () => {
    await unharmedBy(async (handle) => {
      const steps = ['copy', 'round', 'stop'] as const
      for (const step of steps) {
        const controller = new AbortController()
        const abort = (): void => controller.abort(new Error('changed our mind'))
        const copying = handle.copy({ signal: controller.signal })
        if (step === 'copy') {
          abort()
          await expect(copying).rejects.toThrow('changed our mind')
          continue
        }
        const copy = await copying
        if (step === 'stop') {
          const stopping = copy.stop()
          abort()
          await expect(stopping).rejects.toThrow('changed our mind')
        } else {
          const round = copy.round()[Symbol.asyncIterator]()
          await round.next()
          abort()
          await expect(round.next()).rejects.toThrow('changed our mind')
        }
      }
      // Commands reach a program in order: once this one is answered, those before have been obeyed.
      await handle.readFile('/none')
      const again = await handle.copy({})
      await again.cancel()
    })
  })

  it('goes on in place when what arrived was not everything, which is noticed', async () => {
    await unharmedBy(async (handle, engine) => {
      const arriving = await engine.receive('there', 'owner', cell.module, cell.limits, new Recorder())
      const copy = await handle.copy({})
      const parts: Uint8Array[] = []
      for await (const part of copy.round()) parts.push(part)
      const { parts: last } = await copy.stop()
      const lacking = [...parts.slice(0, 1), ...parts.slice(2, -1), ...last]
      const added = lacking.reduce((before, part) => before.then(() => arriving.add(part)), Promise.resolve())
      await expect(added).rejects.toMatchObject({ code: 'SNAPSHOT_MALFORMED' })
      await expect(arriving.finish()).rejects.toMatchObject({ code: 'SNAPSHOT_MALFORMED' })
      await handle.resumeHere()
    })
  })

  it('cannot go on from a round that was not taken to its end', async () => {
    await unharmedBy(async (handle) => {
      const copy = await handle.copy({})
      for await (const _part of copy.round()) break
      const again = copy.round()[Symbol.asyncIterator]()
      await expect(again.next()).rejects.toMatchObject({ code: 'CELL_STATE_NOT_SERIALIZABLE' })
      await expect(copy.stop()).rejects.toMatchObject({ code: 'CELL_STATE_NOT_SERIALIZABLE' })
      await copy.cancel()
    })
  })

  it('ends with the cell', async () => {
    const engine = await startedEngine()
    const spin = program(spinning(), ['spin'])
    for (const step of ['copied', 'in round'] as const) {
      const handle = await engine.launch(step, 'owner', spin, new Recorder())
      const copy = await handle.copy({})
      const round = copy.round()[Symbol.asyncIterator]()
      if (step === 'in round') await round.next()
      await handle.kill()
      const rest = (async () => {
        // Some parts may have come already.
        while ((await round.next()).done !== true);
      })()
      await expect(rest).rejects.toMatchObject({ code: 'CELL_ENDED' })
      await expect(handle.copy({})).rejects.toMatchObject({ code: 'CELL_ENDED' })
      await copy.cancel()
      expect(await handle.ended).toMatchObject({ kind: 'killed' })
    }
  })

  it('is abandoned where what arrives is not a snapshot', async () => {
    const engine = await startedEngine()
    const handle = await engine.launch('live', 'owner', cell, new Recorder())
    const { bytes } = await handle.suspend({})
    await expect(handle.writeStdin({ at: 0, bytes: Uint8Array.of(1) })).rejects.toMatchObject({
      code: 'CELL_NOT_RUNNING',
    })
    const receive = () => engine.receive('there', 'owner', cell.module, cell.limits, new Recorder())
    for (const wrong of [
      Uint8Array.of(1, 2, 3),
      Buffer.concat([bytes, Uint8Array.of(1, 2, 3)]),
      Buffer.concat([bytes, bytes]),
    ]) {
      const arriving = await receive()
      await expect(arriving.finish()).rejects.toMatchObject({ code: 'SNAPSHOT_MALFORMED' })
      await expect(arriving.add(wrong)).rejects.toMatchObject({ code: 'SNAPSHOT_MALFORMED' })
      // It is gone there.
      await expect(arriving.add(bytes)).rejects.toMatchObject({ code: 'CELL_ENDED' })
    }
    const arriving = await receive()
    await arriving.add(bytes)
    await expect(arriving.add(bytes)).rejects.toMatchObject({ code: 'SNAPSHOT_MALFORMED' })
    await handle.resumeHere()
    await handle.kill()
  })
})

/** Writes pieces of that size all over a file of 4 MiB, again and again. */
function rewriting(pieceBytes = 65_536): Uint8Array {
  const b = new WasmBuilder()
    .memory({ min: 64 })
    .data(0, [0x66])
    .data(8, [0, 0, 1, 0, 0, 0, pieceBytes >> 16, 0])
  const open = b.import('path_open', [i32, i32, i32, i32, i32, i64, i64, i32, i32], [i32])
  const write = b.import('fd_pwrite', [i32, i32, i32, i64, i32], [i32])
  const path = [3, 0, 0, 1, 1].flatMap((value) => asm.i32(value))
  const rights = [...asm.i64(2 | 4 | 64), ...asm.i64(0)]
  const at = [...asm.get(0), ...asm.i32(pieceBytes), OP.i32Add, ...asm.i32((4 << 20) - 1), 0x71, ...asm.tee(0), 0xad]
  const piece = [...asm.i32(4), ...asm.i32(8), ...asm.i32(1), ...at, ...asm.i32(24)]
  b.func({
    export: '_start',
    locals: [i32],
    code: [
      ...[...path, ...rights, ...asm.i32(0), ...asm.i32(16), ...asm.call(open), OP.drop],
      ...asm.loop(VOID, piece, asm.call(write), [OP.drop], asm.br(0)),
    ],
  })
  return b.build()
}

function spinning(): Uint8Array {
  const b = new WasmBuilder()
  b.memory({ min: 80 })
  // Not zero, and not compressible at a glance: more slices than are asked for ahead.
  const fill = [...asm.get(0), ...asm.get(0), ...asm.i32(40_503), 0x6c, ...asm.access(0x36, 0)]
  const next = [
    ...asm.get(0),
    ...asm.i32(4),
    OP.i32Add,
    ...asm.tee(0),
    ...asm.i32(80 * 65_536),
    OP.i32LtU,
    ...asm.brIf(0),
  ]
  b.func({ export: '_start', locals: [i32], code: [...asm.loop(VOID, fill, next), ...asm.loop(VOID, asm.br(0))] })
  return b.build()
}
