// What running as a cell costs: the slow-down of programs against the untouched module, the start of a cell, and the time
// to instrument a large module.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { instrument } from '../../cells/instrument/instrument.ts'
import { systemClock } from '../../core/clock.ts'
import { deadline } from '../../core/lifecycle.ts'
import { FLITE_PATH } from '../processes/cells.ts'
import { type BenchProgram, referencePrograms, samplePrograms } from './cells-programs.ts'
import type { Job, Ran } from './cells-runner.ts'
import { startFigures } from './cells-start.ts'
import { wasiFigures } from './cells-wasi.ts'
import { geometricMean, median } from './statistics.ts'
import type { Bench, Figures } from './types.ts'

const ROUNDS = 5
/** On a busy machine there are fewer rounds, but two at least. */
const ROUNDS_BUDGET_MS = 55_000
const RUN_TIMEOUT_MS = 60_000

export const bench: Bench = {
  about:
    'slowdown.*: CPU of the running thread as a cell / untouched on the same WASI, medians of up to 5 each, a process each; ' +
    'start.*: an empty program from launch to end, warm pool and known module; wasi.vsNodeWasi: CPU of the same calls, ours / ' +
    "Node's; instrument.fliteMs: CPU, first call in a process",
  async run(seed): Promise<Figures> {
    const slowdowns = await slowdownsOf(samplePrograms(seed))
    const shared = process.env.CLOUDSKIN_SHARED
    if (shared === undefined)
      process.stdout.write('  the reference programs are skipped: CLOUDSKIN_SHARED is not set\n')
    const references =
      shared === undefined ? [] : await slowdownsOf(referencePrograms(join(shared, 'prototypes/cells/wasm')))
    return {
      'slowdown.geomean': geometricMean(slowdowns),
      'slowdown.max': Math.max(...slowdowns),
      ...(references.length === 0 ? {} : { 'slowdown.referenceGeomean': geometricMean(references) }),
      ...(await startFigures()),
      ...wasiFigures(),
      'instrument.fliteMs': await instrumentMs(FLITE_PATH),
    }
  },
}

/** Plain and as a cell in turn, so that whatever else the machine does disturbs both alike. */
async function slowdownsOf(programs: readonly BenchProgram[]): Promise<number[]> {
  const rows = programs.map((program) => ({
    ...program,
    cell: instrument(program.module, { memoryMaxPages: 16_384 }).bytes,
    plainMs: [] as number[],
    cellMs: [] as number[],
    polls: 0,
  }))
  const from = systemClock.mono()
  let rounds = 0
  for (; rounds < ROUNDS && (rounds < 2 || systemClock.mono() - from < ROUNDS_BUDGET_MS); rounds++) {
    for (const row of rows) {
      const what = { args: [row.name, ...row.args], files: row.files }
      const plain = await inProcess({ kind: 'plain', module: row.module, ...what })
      const cell = await inProcess({ kind: 'cell', module: row.cell, ...what })
      if (plain.result !== cell.result) throw new Error(`${row.name} wrote something else as a cell`)
      row.plainMs.push(plain.cpuMs)
      row.cellMs.push(cell.cpuMs)
      row.polls = cell.polls
    }
  }
  process.stdout.write(`  median of ${rounds}  plain ms   cell ms   slow-down   polls/us   code KB plain, cell\n`)
  return rows.map(({ name, plainMs, cellMs, polls, module, cell }) => {
    const [plain, asCell] = [median(plainMs), median(cellMs)]
    const sizes = [module, cell].map(({ length }) => (length / 1000).toFixed(0).padStart(6)).join('')
    const [first, second] = [plain, asCell].map((ms) => ms.toFixed(0).padStart(10))
    const rate = (polls / asCell / 1000).toFixed(1).padStart(11)
    process.stdout.write(
      `  ${name.padEnd(10)}${first}${second}${(asCell / plain).toFixed(2).padStart(12)}${rate}${sizes}\n`,
    )
    return asCell / plain
  })
}

async function inProcess(job: Job): Promise<Ran> {
  const child = fork(fileURLToPath(new URL('./cells-runner.ts', import.meta.url)), { serialization: 'advanced' })
  const signal = deadline(RUN_TIMEOUT_MS)
  try {
    const answer = once(child, 'message', { signal })
    const gone = once(child, 'exit', { signal })
    child.send(job)
    const said = await Promise.race([answer, gone.then(() => undefined)])
    if (said === undefined) throw new Error('the process that ran the program ended without a word')
    await gone
    return said[0] as Ran
  } finally {
    child.kill('SIGKILL')
  }
}

async function instrumentMs(path: string): Promise<number> {
  const module = new Uint8Array(await readFile(path))
  const times: number[] = []
  for (let n = 0; n < 3; n++) times.push((await inProcess({ kind: 'instrument', module })).cpuMs)
  process.stdout.write(`  instrumenting flite, CPU ms: ${times.map((ms) => ms.toFixed(0)).join(' ')}\n`)
  return median(times)
}
