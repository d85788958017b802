// What starting a cell costs: a program that returns at once, from its launch to its end, in a process and with a pool of
// workers that are warm; one after the other, and many at a time.
import { readFile } from 'node:fs/promises'
import { ProcessCellEngine } from '../../cells/runtime/engine.ts'
import type { CellProgram } from '../../cells/types.ts'
import { systemClock } from '../../core/clock.ts'
import { abortable, deadline } from '../../core/lifecycle.ts'
import { median, percentile } from './statistics.ts'
import type { Figures } from './types.ts'

const RUN_TIMEOUT_MS = 60_000
const COLD_STARTS = 5
const FIRST_STARTS = 50
const STARTS = 1_000
const BURST_STARTS = 5_000
/** Starts that are under way at once in a burst. */
const IN_FLIGHT = 32
/** `/proc/PID/stat` counts in USER_HZ, which is 100 on Linux: proc(5). */
const TICK_MS = 10

/** `(module (memory 1) (func (export "_start")))` */
const RETURNS_AT_ONCE = Uint8Array.from([
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[1, 4, 1, 0x60, 0, 0],
  ...[3, 2, 1, 0],
  ...[5, 3, 1, 0, 1],
  ...[7, 10, 1, 6, 0x5f, 0x73, 0x74, 0x61, 0x72, 0x74, 0, 0],
  ...[10, 4, 1, 2, 0, 0x0b],
])

const PROGRAM: CellProgram = {
  module: RETURNS_AT_ONCE,
  args: ['nothing'],
  env: {},
  files: [],
  stdin: new Uint8Array(0),
  limits: {
    memoryBytes: 64 << 20,
    wallMs: 60_000,
    fuel: Number.MAX_SAFE_INTEGER,
    outputBytes: 1 << 20,
    diskBytes: 1 << 20,
  },
}

/**
 * `start.p50Ms`, `start.p95Ms`: launch to end, one after the other. `start.perSecond`: starts that one core's time is
 * enough for, all threads of the peer and the host process counted; only where `/proc` tells. `start.coldMs`: no process yet.
 */
export async function startFigures(): Promise<Figures> {
  const cold: number[] = []
  for (let n = 0; n < COLD_STARTS; n++) await withEngine(async (engine) => cold.push(await startMs(engine)))
  return withEngine(async (engine) => {
    for (let n = 0; n < FIRST_STARTS; n++) await startMs(engine)
    const warm: number[] = []
    for (let n = 0; n < STARTS; n++) warm.push(await startMs(engine))
    const burst = await burstOf(engine)
    const [p50, p95] = [median(warm), percentile(warm, 95)]
    process.stdout.write(`  warm starts, ms: median ${p50.toFixed(2)}, 95 % within ${p95.toFixed(2)}\n`)
    process.stdout.write(`  cold starts, ms: ${cold.map((ms) => ms.toFixed(0)).join(' ')}\n`)
    return { 'start.p50Ms': p50, 'start.p95Ms': p95, 'start.coldMs': median(cold), ...burst }
  })
}

async function burstOf(engine: ProcessCellEngine): Promise<Figures> {
  const run = async (count: number): Promise<void> => {
    let left = count
    const lane = async (): Promise<void> => {
      while (left-- > 0) await startMs(engine)
    }
    await Promise.all(Array.from({ length: IN_FLIGHT }, lane))
  }
  // As many threads as it takes have started then.
  await run(BURST_STARTS / 10)
  const before = await cpuMs(engine)
  const from = systemClock.mono()
  await run(BURST_STARTS)
  const seconds = (systemClock.mono() - from) / 1000
  const after = await cpuMs(engine)
  process.stdout.write(`  ${IN_FLIGHT} at a time: ${(BURST_STARTS / seconds).toFixed(0)} starts/s`)
  if (before === undefined || after === undefined) {
    process.stdout.write('\n')
    return {}
  }
  const each = (after - before) / BURST_STARTS
  process.stdout.write(`, ${each.toFixed(2)} ms of CPU each\n`)
  return { 'start.perSecond': 1000 / each }
}

/** CPU of this process and its host processes so far, every thread of them. */
async function cpuMs(engine: ProcessCellEngine): Promise<number | undefined> {
  const { user, system } = process.cpuUsage()
  let sum = (user + system) / 1000
  for (const pid of engine.hostPids()) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
    const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields === undefined) return undefined
    sum += (Number(fields[11]) + Number(fields[12])) * TICK_MS
  }
  return sum
}

async function withEngine<T>(work: (engine: ProcessCellEngine) => Promise<T>): Promise<T> {
  const engine = new ProcessCellEngine({})
  await engine.start()
  try {
    return await work(engine)
  } finally {
    await engine.stop()
  }
}

async function startMs(engine: ProcessCellEngine): Promise<number> {
  const from = systemClock.mono()
  const cell = await engine.launch('bench', 'bench', PROGRAM, { onOutput: () => undefined })
  const exit = await abortable(cell.ended, deadline(RUN_TIMEOUT_MS))
  if (exit.kind !== 'exited') throw new Error(`a cell did not end well: ${exit.kind}`)
  return systemClock.mono() - from
}
