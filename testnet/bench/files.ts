// What it costs a program that its files do not stay in memory: an external sort in an engine that puts them aside, and in one
// that has no folder to put them in.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ProcessCellEngine } from '../../cells/runtime/engine.ts'
import type { CellExit, CellProgram } from '../../cells/types.ts'
import { abortable, deadline } from '../../core/lifecycle.ts'
import { samplePath } from '../processes/cells.ts'
import { median } from './statistics.ts'
import type { Bench, Figures } from './types.ts'

const DATA_MIB = 256
const ROUNDS = 3
const RUN_TIMEOUT_MS = 300_000
const EVENTS = { onOutput: () => undefined }

export const bench: Bench = {
  about:
    `an external sort of ${DATA_MIB} MiB, made by the program itself, with runs and a result of the same size; ` +
    `vsMemory: busy time / in an engine that keeps all files in memory, medians of ${ROUNDS}; *PeakMb: what the host process took at the most`,
  async run(): Promise<Figures> {
    const folder = await mkdtemp(join(tmpdir(), 'cloudskin-bench-'))
    try {
      const module = new Uint8Array(await readFile(samplePath('extsort')))
      const [spilled, held] = [[] as Sorted[], [] as Sorted[]]
      for (let round = 1; round <= ROUNDS; round++) {
        spilled.push(await sorted(module, join(folder, 'engine')))
        held.push(await sorted(module))
      }
      const figures = {
        'files.vsMemory': median(spilled.map(({ busyMs }) => busyMs)) / median(held.map(({ busyMs }) => busyMs)),
        'files.peakMb': median(spilled.map(({ peakMb }) => peakMb)),
        'files.memoryPeakMb': median(held.map(({ peakMb }) => peakMb)),
      }
      for (const [name, runs] of Object.entries({ 'on disk': spilled, 'in memory': held }))
        for (const { busyMs, peakMb } of runs)
          process.stdout.write(`  ${name}: ${busyMs.toFixed(0)} ms busy, at most ${peakMb.toFixed(0)} MB\n`)
      return figures
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
}

interface Sorted {
  readonly busyMs: number
  readonly peakMb: number
}

/** Makes a file and sorts it: two programs in a process of their own, the second given what the first left. */
async function sorted(module: Uint8Array, folder?: string): Promise<Sorted> {
  const engine = new ProcessCellEngine(folder === undefined ? {} : { folder })
  await engine.start()
  try {
    const made = await ran(engine, module, ['make', String(DATA_MIB), '/data'])
    const input = { files: made.files, largeFiles: made.largeFiles }
    const { usage } = await ran(engine, module, ['/data', '/out/sorted', '4'], input)
    const peaks = await Promise.all(engine.hostPids().map(peakMb))
    return { busyMs: made.usage.busyMs + usage.busyMs, peakMb: Math.max(...peaks) }
  } finally {
    await engine.stop()
  }
}

async function ran(
  engine: ProcessCellEngine,
  module: Uint8Array,
  args: readonly string[],
  input: Partial<Pick<CellProgram, 'files' | 'largeFiles'>> = {},
): Promise<Extract<CellExit, { kind: 'exited' }>> {
  const limits = {
    memoryBytes: 64 << 20,
    wallMs: RUN_TIMEOUT_MS,
    fuel: Number.MAX_SAFE_INTEGER,
    outputBytes: 1 << 20,
    diskBytes: 4 * DATA_MIB * 2 ** 20,
  }
  const program = { module, args: ['extsort', ...args], env: {}, files: [], stdin: new Uint8Array(0), limits, ...input }
  const cell = await engine.launch('bench', 'bench', program, EVENTS)
  const exit = await abortable(cell.ended, deadline(RUN_TIMEOUT_MS))
  if (exit.kind !== 'exited' || exit.exitCode !== 0) throw new Error(`the sort did not end well: ${exit.kind}`)
  return exit
}

async function peakMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return (Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) * 1024) / 1e6
}
