// Snapshots with a right hash and anything in them: each is refused with a code, or a program goes on that ends by its
// limits. The process that runs them, and who else runs in it, notices nothing.
import { expect, it } from 'vitest'
import type { CellExit, CellHandle, CellProgram } from '../../../cells/types.ts'
import { CodedError, isCoded } from '../../../core/errors.ts'
import { seededRandom } from '../../../core/random.ts'
import { damagedSnapshot } from '../../support/damaged-snapshot.ts'
import { program, Recorder, sampleModule, startedEngine } from './support.ts'

/** `npm run test:long` tries many more. */
const LONG = process.env.CLOUDSKIN_LONG !== undefined
const TRIES = LONG ? 20_000 : 200
const TIMEOUT_MS = LONG ? 3_600_000 : 240_000

const limits = { memoryBytes: 16 << 20, wallMs: 2_000, fuel: 20_000_000, outputBytes: 1 << 20, diskBytes: 4 << 20 }
const lines = Array.from({ length: 300 }, (_, i) => `set key${i % 37} value${i}\nget key${i % 11}\n`).join('')
const PROGRAMS: readonly CellProgram[] = [
  program(sampleModule('queens'), ['queens', '14']),
  program(sampleModule('kvstore'), ['kvstore', '/in/ops.txt', '/results.txt', '400'], {
    files: { '/in/ops.txt': lines },
  }),
  program(sampleModule('matmul'), ['matmul', '300', '9']),
  program(sampleModule('sleeper'), ['sleeper', '9', '200']),
  program(sampleModule('fault'), ['fault', 'spin']),
]

it(
  'a damaged snapshot is refused with a code, or its program ends by its limits',
  async () => {
    const engine = await startedEngine()
    const neighbour = await engine.launch(
      'neighbour',
      'owner',
      program(sampleModule('fault'), ['fault', 'spin'], { limits: { wallMs: TIMEOUT_MS } }),
      new Recorder(),
    )
    const [pid] = engine.hostPids()
    const taken = await Promise.all(
      PROGRAMS.map(async (cell, i) => {
        const handle = await engine.launch(`whole-${i}`, 'owner', cell, new Recorder())
        const { bytes } = await handle.suspend({})
        await handle.discard()
        return bytes
      }),
    )
    const seen = new Map<string, number>()
    for (let seed = 0; seed < TRIES; seed++) {
      const random = seededRandom(seed)
      const which = random.int(PROGRAMS.length)
      const snapshot = damagedSnapshot(taken[which] ?? new Uint8Array(0), random)
      let what: string
      try {
        const { module } = PROGRAMS[which] as CellProgram
        // Output may go on at any offset that the snapshot says.
        const handle = await engine.resume(`damaged-${seed}`, 'owner', module, snapshot, limits, {
          onOutput: () => undefined,
        })
        if (seed % 2 === 0) await suspendAgain(handle)
        what = nameOf(await handle.ended, seed)
      } catch (error) {
        if (!(error instanceof CodedError)) throw new Error(`seed ${seed}: ${String(error)}`, { cause: error })
        what = nameOf(
          { kind: 'failed', code: error.code, message: error.message, usage: await neighbour.usage() },
          seed,
        )
      }
      seen.set(what, (seen.get(what) ?? 0) + 1)
      expect(engine.hostPids(), `seed ${seed}`).toEqual([pid])
    }
    expect(seen.get('SNAPSHOT_MALFORMED') ?? 0).toBeGreaterThan(TRIES / 20)
    expect(seen.get('exited 0') ?? 0).toBeGreaterThan(0)
    await neighbour.kill()
    expect(await neighbour.ended).toMatchObject({ kind: 'killed' })
  },
  TIMEOUT_MS,
)

/** What the frames said is gone over once more: they are turned, and packed. */
async function suspendAgain(handle: CellHandle): Promise<void> {
  try {
    await handle.suspend({})
  } catch (error) {
    if (isCoded(error, 'CELL_ENDED')) return
    throw error
  }
  await handle.resumeHere()
}

/** How it went, if that is a way in which it may go. */
function nameOf(exit: CellExit, seed: number): string {
  if (exit.kind !== 'failed') return exit.kind === 'exited' ? `exited ${exit.exitCode}` : exit.kind
  expect(exit.code, `seed ${seed}: ${exit.message}`).toMatch(
    /^(SNAPSHOT_[A-Z_]+|CELL_(TRAPPED|[A-Z]+_LIMIT|STACK_TOO_DEEP))$/,
  )
  // A trap is the engine's word for what the program did, not an error in our own code.
  expect(exit.message, `seed ${seed}`).not.toMatch(
    /TypeError|Cannot read|not a function|(of|is) undefined|Invalid typed array|offset is out/,
  )
  return exit.code
}
