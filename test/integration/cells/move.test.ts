// Programs that move between engines, each with host processes of its own: they must not notice.
import { describe, expect, it } from 'vitest'
import { QUIESCE_TIMEOUT_MS } from '../../../cells/runtime/limits.ts'
import type { StateHeader } from '../../../cells/snapshot/format.ts'
import { readParts, sealPart } from '../../../cells/snapshot/part.ts'
import { stateHeaderOf } from '../../../cells/snapshot/snapshot.ts'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { concat, fromUtf8, sha256Hex } from '../../../core/bytes.ts'
import { eventually } from '../../support/eventually.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { asm, type Code, i32, VOID, WasmBuilder } from '../../support/wasm-builder.ts'
import { operations } from '../wasi/inputs.ts'
import { fliteModule, LIMITS, program, Recorder, resultOf, runMoved, sampleModule, startedEngine } from './support.ts'

describe('a moved cell', () => {
  it.each([
    ['primes', program(sampleModule('primes'), ['primes', '3000000', '4'])],
    ['queens', program(sampleModule('queens'), ['queens', '13'])],
    ['matmul', program(sampleModule('matmul'), ['matmul', '350'])],
    [
      'kvstore',
      program(sampleModule('kvstore'), ['kvstore', '/in/ops.txt', '/results.txt', '40'], {
        files: { '/in/ops.txt': fromUtf8(operations(3_000)) },
      }),
    ],
  ])('gives what it gives unmoved: %s', async (_name, cell) => {
    const engines = [await startedEngine(), await startedEngine()]
    const unmoved = await runMoved(engines, cell, 0)
    const moved = await runMoved(engines, cell, 25)
    expect(unmoved.exit).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(resultOf(moved)).toEqual(resultOf(unmoved))
    expect(moved.moves).toBeGreaterThan(2)
    // A suspension may count a poll twice; nothing else may be lost or repeated.
    expect(Math.abs(moved.exit.usage.fuel - unmoved.exit.usage.fuel)).toBeLessThanOrEqual(100)
  })

  it('speaks the same WAV: flite, moved three times', async () => {
    const engines = [await startedEngine({ fuelShare: 0.3 }), await startedEngine({ fuelShare: 0.3 })]
    const text = 'A program that is moved while it runs does not notice, and neither does anyone who listens. '.repeat(
      4,
    )
    const cell = program(fliteModule(), ['flite', '-f', '/in/text.txt', '-o', '/a.wav'], {
      files: { '/in/text.txt': text },
    })
    const unmoved = await runMoved(engines, cell, 0)
    const moved = await runMoved(engines, cell, 3)
    expect(unmoved.exit).toMatchObject({ kind: 'exited', exitCode: 0, files: [{ path: '/a.wav' }] })
    expect(moved.moves).toBe(3)
    expect(resultOf(moved)).toEqual(resultOf(unmoved))
    // Its 16 MB of initial data stay where they are.
    for (const { bytes } of moved.snapshots) expect(bytes.length).toBeLessThan(2 << 20)
  })

  it('moves while it sleeps, and sleeps on', async () => {
    const engines = [await startedEngine(), await startedEngine()]
    const cell = program(sampleModule('sleeper'), ['sleeper', '6', '150'])
    const moved = await runMoved(engines, cell, 5, (_handle, recorder, move) =>
      eventually(() => recorder.stdout.includes(`line ${move + 1}\n`)),
    )
    expect(moved.exit).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(moved.recorder.stdout).toBe(Array.from({ length: 6 }, (_, i) => `line ${i + 1}\n`).join(''))
    expect(moved.moves).toBe(5)
    expect(moved.exit.usage.wallMs).toBeGreaterThan(5 * 100)
  })

  it('keeps its limits over moves', async () => {
    const engines = [await startedEngine(), await startedEngine()]
    const spin = program(sampleModule('fault'), ['fault', 'spin'], { limits: { fuel: 30_000_000 } })
    const moved = await runMoved(engines, spin, 10)
    expect(moved.exit).toMatchObject({ kind: 'failed', code: 'CELL_FUEL_LIMIT' })
    expect(moved.exit.usage.fuel).toBeLessThan(30_200_000)
    const flood = program(sampleModule('fault'), ['fault', 'flood'], { limits: { outputBytes: 2_000_000 } })
    const flooded = await runMoved(engines, flood, 10)
    expect(flooded.exit).toMatchObject({ kind: 'failed', code: 'CELL_OUTPUT_LIMIT' })
    expect(flooded.recorder.stdout.length).toBeLessThanOrEqual(2_000_000)
  })

  it('goes on in place, any number of times', async () => {
    const engine = await startedEngine()
    const cell = program(sampleModule('queens'), ['queens', '13'])
    const unmoved = await runMoved([engine], cell, 0)
    const recorder = new Recorder()
    const handle = await engine.launch('q', 'owner', cell, recorder)
    for (let i = 0; i < 5; i++) {
      const { bytes } = await handle.suspend({})
      expect(bytes.length).toBeGreaterThan(100)
      expect(await handle.readFile('/none')).toBeUndefined()
      await handle.resumeHere()
    }
    expect(resultOf({ exit: await handle.ended, recorder })).toEqual(resultOf(unmoved))
  })

  it('moves from deep in a recursion, and goes on in place', async () => {
    // f(n) = n + f(n - 1), which at the bottom loops for ever.
    const depth = 60_000
    const b = new WasmBuilder()
    const f = b.nextFunction
    const above: Code = [...asm.get(0), ...asm.get(0), ...asm.i32(1), OP.i32Sub, ...asm.call(f), OP.i32Add]
    const bottom: Code = asm.loop(i32, asm.br(0))
    b.func({ params: [i32], results: [i32], code: [...asm.get(0), OP.i32Eqz, ...asm.if(i32, bottom, above)] })
    b.func({ export: '_start', code: [...asm.i32(depth), ...asm.call(f), OP.drop] })
    const engines = [await startedEngine(), await startedEngine()]
    const cell = program(b.build(), ['deep'])
    const moved = await runMoved(engines, cell, 3, async (handle, _recorder, move) => {
      await eventually(async () => (await handle.usage()).fuel > depth)
      await handle.suspend({})
      await handle.resumeHere()
      if (move === 2) await handle.kill()
    })
    expect(moved.exit).toMatchObject({ kind: 'killed' })
    for (const { bytes } of moved.snapshots) expect(stateHeaderOf(bytes)?.framesBytes).toBeGreaterThan(depth * 8)
  })

  it('stands still while suspended, and can be killed then', async () => {
    const engine = await startedEngine()
    const cell = program(sampleModule('fault'), ['fault', 'spin'])
    const handle = await engine.launch('s', 'owner', cell, new Recorder())
    await handle.suspend({})
    const before = await handle.usage()
    await handle.kill()
    expect(await handle.ended).toMatchObject({ kind: 'killed', usage: { fuel: before.fuel } })
  })

  it('goes on when the suspension is aborted', async () => {
    const engine = await startedEngine()
    const handle = await engine.launch('s', 'owner', program(sampleModule('fault'), ['fault', 'spin']), new Recorder())
    const controller = new AbortController()
    const suspended = handle.suspend({ signal: controller.signal })
    controller.abort(new Error('changed our mind'))
    await expect(suspended).rejects.toThrow('changed our mind')
    const before = await handle.usage()
    await eventually(async () => (await handle.usage()).fuel > before.fuel)
    await handle.suspend({})
    await handle.discard()
    expect(await handle.ended).toMatchObject({ kind: 'killed' })
  })
})

describe('a program that passes no poll for long', () => {
  // Straight-line code: 64 MiB are filled 150 times, then it loops for ever.
  const fill: Code = [...asm.i32(0), ...asm.i32(1), ...asm.i32(1024 * 65_536), 0xfc, 11, 0]
  const b = new WasmBuilder().memory({ min: 1024 })
  const fills = Array.from({ length: 150 }, () => fill).flat()
  b.func({ export: '_start', code: [...fills, ...asm.loop(VOID, asm.br(0))] })
  const module = b.build()

  it('is not suspended in time, goes on, and is suspended later', async () => {
    const clock = new ManualClock()
    const engine = await startedEngine({ clock })
    const handle = await engine.launch('slow', 'owner', program(module, ['slow']), new Recorder())
    const suspended = handle.suspend({})
    const refused = expect(suspended).rejects.toMatchObject({ code: 'CELL_QUIESCE_TIMEOUT' })
    await clock.advance(QUIESCE_TIMEOUT_MS)
    await refused
    const { bytes } = await handle.suspend({})
    expect(stateHeaderOf(bytes)?.memoryPages).toEqual([1024])
    await handle.resumeHere()
    await eventually(async () => (await handle.usage()).fuel > (stateHeaderOf(bytes)?.usage.fuel ?? 0))
    await handle.kill()
  })

  it('ends without a poll, and the suspension with it', async () => {
    // The deadline never comes: the clock stands still.
    const engine = await startedEngine({ clock: new ManualClock() })
    const b = new WasmBuilder().memory({ min: 1024 })
    b.func({ export: '_start', code: fills })
    const handle = await engine.launch('slow', 'owner', program(b.build(), ['slow']), new Recorder())
    await expect(handle.suspend({})).rejects.toMatchObject({ code: 'CELL_ENDED' })
    expect(await handle.ended).toMatchObject({ kind: 'exited', exitCode: 0 })
  })

  it('is killed all the same', async () => {
    const engine = await startedEngine()
    const handle = await engine.launch('slow', 'owner', program(module, ['slow']), new Recorder())
    await handle.kill()
    expect(await handle.ended).toMatchObject({ kind: 'killed' })
  })
})

/** The snapshot with another state header, and a hash that is right. */
function packAgain(snapshot: Uint8Array, change: (header: StateHeader) => StateHeader): Uint8Array {
  const parts = [...readParts(snapshot)].map((part) => {
    const header = part.kind === 'state' ? change(part.header) : part.header
    return sealPart(part.kind, header, part.payload).bytes
  })
  return concat(parts)
}

describe('a snapshot', () => {
  it('is refused when it is garbage, of another module, or too big for its limits', async () => {
    const engine = await startedEngine()
    const queens = program(sampleModule('queens'), ['queens', '12'])
    const handle = await engine.launch('q', 'owner', queens, new Recorder())
    const { bytes, moduleHash } = await handle.suspend({})
    expect(moduleHash).toBe(sha256Hex(queens.module))
    const resume = (module: Uint8Array, snapshot: Uint8Array, memoryBytes = LIMITS.memoryBytes): Promise<unknown> =>
      engine.resume('r', 'owner', module, snapshot, { ...LIMITS, memoryBytes }, new Recorder())
    const cut = bytes.subarray(0, bytes.length - 1)
    const garbage = Uint8Array.from({ length: 5_000 }, (_, i) => (i * 31) % 256)
    await expect(resume(queens.module, garbage)).rejects.toMatchObject({ code: 'SNAPSHOT_MALFORMED' })
    await expect(resume(queens.module, cut)).rejects.toMatchObject({ code: 'SNAPSHOT_MALFORMED' })
    await expect(resume(sampleModule('primes'), bytes)).rejects.toMatchObject({ code: 'SNAPSHOT_MODULE_MISMATCH' })
    const lying = packAgain(bytes, (header) => ({ ...header, usage: { ...header.usage, stdoutBytes: 1 } }))
    await expect(resume(queens.module, lying)).rejects.toThrow('counts its output in two ways')
    await handle.resumeHere()
    expect(await handle.usage()).toMatchObject({ outputBytes: 0 })
    await handle.kill()
  })
})
