// Entry of a process that does one thing, measures it and ends: runs a program on the cell's WASI, untouched or as the
// runtime runs cells, or instruments a module. One process each, because V8 shares compiled code between equal modules.

import { instrument } from '../../cells/instrument/instrument.ts'
import { CellStorage } from '../../cells/runtime/cell-storage.ts'
import { Control } from '../../cells/runtime/control.ts'
import { Program } from '../../cells/runtime/program.ts'
import type { CellFile, CellLimits } from '../../cells/types.ts'
import { ExitStatus, Wasi, type WasiHost } from '../../cells/wasi/index.ts'
import { sha256Hex } from '../../core/bytes.ts'
import { systemClock } from '../../core/clock.ts'
import { seededRandom } from '../../core/random.ts'

export interface RunJob {
  readonly kind: 'plain' | 'cell'
  /** Untouched for `plain`, instrumented for `cell`. */
  readonly module: Uint8Array
  readonly args: readonly string[]
  readonly files: readonly CellFile[]
}

export type Job = RunJob | { readonly kind: 'instrument'; readonly module: Uint8Array }

export interface Ran {
  /** CPU of the thread that did it, milliseconds; compiling in the background is not in it. */
  readonly cpuMs: number
  /** SHA-256 over everything that the program wrote. */
  readonly result: string
  /** Bytes of an instrumented module. */
  readonly bytes: number
  /** Polls that a cell passed. */
  readonly polls: number
}

/** Linear memory is capped by the instrumenter, or not at all. */
export const LIMITS: CellLimits = {
  memoryBytes: 2 ** 30,
  wallMs: 600_000,
  fuel: Number.MAX_SAFE_INTEGER,
  outputBytes: 2 ** 24,
  diskBytes: 2 ** 28,
}

process.on('message', (job: Job) => {
  process.send?.(job.kind === 'instrument' ? instrumented(job.module) : ran(job), () => process.exit(0))
})

/** What was written, as it comes. */
class Written {
  readonly parts: Uint8Array[] = []

  result(files: readonly CellFile[]): string {
    return sha256Hex(...this.parts, ...files.map(({ bytes }) => bytes))
  }
}

function ran(job: RunJob): Ran {
  return job.kind === 'plain' ? ranPlain(job) : ranAsCell(job)
}

function ranPlain(job: RunJob): Ran {
  const written = new Written()
  const host: WasiHost = {
    output: (_stream, _offset, bytes) => written.parts.push(bytes),
    wait: () => false,
  }
  const surroundings = { limits: LIMITS, clock: systemClock, random: seededRandom(1), host }
  const wasi = new Wasi({ args: job.args, env: {}, files: job.files, stdin: new Uint8Array(0), ...surroundings })
  const module = new WebAssembly.Module(job.module)
  const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi.imports() })
  const { memory, _start: start } = instance.exports
  if (!(memory instanceof WebAssembly.Memory) || typeof start !== 'function') throw new Error('not a WASI command')
  wasi.bind(memory)
  const { cpuMs } = measured(() => {
    try {
      start()
    } catch (error) {
      if (!(error instanceof ExitStatus) || error.exitCode !== 0) throw error
    }
  })
  return {
    cpuMs,
    result: written.result(new CellStorage(undefined).results(wasi).files),
    bytes: job.module.length,
    polls: 0,
  }
}

/** As a worker of the runtime would: with its polls, its pace, its batches of output. */
function ranAsCell(job: RunJob): Ran {
  const written = new Written()
  const control = new Control()
  const program = new Program({
    compiled: {
      build: 'movable',
      module: new WebAssembly.Module(job.module),
      moduleHash: '',
      layoutHash: '',
      baselines: [],
    },
    start: {
      origin: { kind: 'launch', args: job.args, env: {}, files: job.files, stdin: new Uint8Array(0) },
      limits: LIMITS,
      share: 1,
    },
    clock: systemClock,
    random: seededRandom(1),
    port: {
      control,
      takeMail: () => undefined,
      work: () => undefined,
      storage: new CellStorage(undefined),
      resumed: () => undefined,
      send: (parts, bytes) => {
        written.parts.push(...parts.map((part) => part.bytes))
        control.acknowledge(bytes)
      },
      over: () => undefined,
    },
  })
  const { value: outcome, cpuMs } = measured(() => program.run())
  if (outcome.kind !== 'ended' || outcome.exit.kind !== 'exited' || outcome.exit.exitCode !== 0)
    throw new Error(`the cell did not end well: ${JSON.stringify(outcome)}`)
  const { files, usage } = outcome.exit
  return { cpuMs, result: written.result(files), bytes: job.module.length, polls: usage.fuel }
}

function instrumented(module: Uint8Array): Ran {
  const { value, cpuMs } = measured(() => instrument(module, { memoryMaxPages: 16_384 }))
  return { cpuMs, result: value.layoutHash, bytes: value.bytes.length, polls: value.stats.polls }
}

function measured<T>(work: () => T): { value: T; cpuMs: number } {
  const before = process.threadCpuUsage()
  const value = work()
  const { user, system } = process.threadCpuUsage(before)
  return { value, cpuMs: (user + system) / 1000 }
}
