// What running as a cell costs: the slow-down of programs against the untouched module, the start of a cell, and the time
// to instrument a large module.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cellEngine } from '../../cells/index.ts'
import { instrument } from '../../cells/instrument/instrument.ts'
import type { CellEngine, CellLimits, CellProgram } from '../../cells/types.ts'
import { systemClock } from '../../core/clock.ts'
import { abortable, deadline } from '../../core/lifecycle.ts'
import { FLITE_PATH, samplePath } from '../processes/cells.ts'
import { type BenchProgram, referencePrograms, samplePrograms } from './cells-programs.ts'
import type { Job, Ran } from './cells-runner.ts'
import { geometricMean, median, percentile } from './statistics.ts'
import type { Bench, Figures } from './types.ts'

const ROUNDS = 5
/** On a busy machine there are fewer rounds, but two at least. */
const ROUNDS_BUDGET_MS = 55_000
const RUN_TIMEOUT_MS = 60_000
const WARM_STARTS = 50
const COLD_STARTS = 5

export const bench: Bench = {
  about:
    'slowdown.*: CPU of the running thread as a cell / untouched on the same WASI, medians of up to 5 each, a process each; ' +
    'start.*: launch to running, warm pool and known module / no host process yet; instrument.fliteMs: CPU, first call in a process',
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

const LIMITS: CellLimits = {
  memoryBytes: 64 << 20,
  wallMs: 60_000,
  fuel: Number.MAX_SAFE_INTEGER,
  outputBytes: 1 << 20,
  diskBytes: 1 << 20,
}

async function startFigures(): Promise<Figures> {
  const module = new Uint8Array(await readFile(samplePath('queens')))
  const program: CellProgram = {
    module,
    args: ['queens', '6'],
    env: {},
    files: [],
    stdin: new Uint8Array(0),
    limits: LIMITS,
  }
  const cold: number[] = []
  const warm: number[] = []
  for (let n = 0; n < COLD_STARTS; n++) {
    const engine = cellEngine()
    await engine.start()
    try {
      cold.push(await startMs(engine, program))
      for (let n = 0; n < WARM_STARTS / COLD_STARTS; n++) warm.push(await startMs(engine, program))
    } finally {
      await engine.stop()
    }
  }
  const text = (values: readonly number[]): string => values.map((ms) => ms.toFixed(1)).join(' ')
  process.stdout.write(`  cold starts, ms: ${text(cold)}\n  warm starts, ms: ${text(warm.sort((a, b) => a - b))}\n`)
  return { 'start.p50Ms': median(warm), 'start.p95Ms': percentile(warm, 95), 'start.coldMs': median(cold) }
}

async function startMs(engine: CellEngine, program: CellProgram): Promise<number> {
  const from = systemClock.mono()
  const cell = await engine.launch('bench', 'bench', program, { onOutput: () => undefined })
  const ms = systemClock.mono() - from
  const exit = await abortable(cell.ended, deadline(RUN_TIMEOUT_MS))
  if (exit.kind !== 'exited') throw new Error(`a cell did not end well: ${exit.kind}`)
  return ms
}

async function instrumentMs(path: string): Promise<number> {
  const module = new Uint8Array(await readFile(path))
  const times: number[] = []
  for (let n = 0; n < 3; n++) times.push((await inProcess({ kind: 'instrument', module })).cpuMs)
  process.stdout.write(`  instrumenting flite, CPU ms: ${times.map((ms) => ms.toFixed(0)).join(' ')}\n`)
  return median(times)
}
