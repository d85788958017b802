// How much slower a program is as a cell than untouched, on V8's tiers as they come and optimised only; and how much
// larger its code is.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { instrument } from '../../cells/instrument/instrument.ts'
import { HINTING } from '../../cells/runtime/permissions.ts'
import { systemClock } from '../../core/clock.ts'
import { deadline } from '../../core/lifecycle.ts'
import type { BenchProgram } from './cells-programs.ts'
import type { Job, Ran } from './cells-runner.ts'
import { median } from './statistics.ts'

const ROUNDS = 5
/** On a busy machine there are fewer rounds, but two at least. */
const ROUNDS_BUDGET_MS = 55_000
const RUN_TIMEOUT_MS = 60_000

/** V8's flags. Optimised only: everything is compiled before it runs, so that no compiling is measured. */
export const TIERS = { default: [], optimised: ['--no-liftoff', '--no-wasm-lazy-compilation'] } as const

export interface Slowdown {
  readonly name: string
  readonly ratio: number
  /** Bytes of code out / in: without the rewind copies, and with them. */
  readonly fastSize: number
  readonly allSize: number
}

/** Plain and as a cell in turn, so that whatever else the machine does disturbs both alike. */
export async function slowdownsOf(
  programs: readonly BenchProgram[],
  tier: keyof typeof TIERS,
  roundsBudgetMs = ROUNDS_BUDGET_MS,
): Promise<Slowdown[]> {
  const rows = programs.map((program) => ({
    ...program,
    cell: instrument(program.module, { memoryMaxPages: 16_384 }),
    plainMs: [] as number[],
    cellMs: [] as number[],
    polls: 0,
  }))
  const from = systemClock.mono()
  let rounds = 0
  for (; rounds < ROUNDS && (rounds < 2 || systemClock.mono() - from < roundsBudgetMs); rounds++) {
    for (const row of rows) {
      const what = { args: row.args, files: row.files }
      const plain = await inProcess({ kind: 'plain', module: row.module, ...what }, TIERS[tier])
      const cell = await inProcess({ kind: 'cell', module: row.cell.bytes, ...what }, TIERS[tier])
      if (plain.result !== cell.result) throw new Error(`${row.name} wrote something else as a cell`)
      row.plainMs.push(plain.cpuMs)
      row.cellMs.push(cell.cpuMs)
      row.polls = cell.polls
    }
  }
  process.stdout.write(
    `  ${tier}, median of ${rounds}   plain ms   cell ms   slow-down   polls/us   code x fast, all\n`,
  )
  return rows.map(({ name, plainMs, cellMs, polls, cell }) => {
    const [plain, asCell] = [median(plainMs), median(cellMs)]
    const { codeBytesIn, fastCodeBytesOut, codeBytesOut } = cell.stats
    const [fastSize, allSize] = [fastCodeBytesOut / codeBytesIn, codeBytesOut / codeBytesIn]
    const columns = [
      plain.toFixed(0),
      asCell.toFixed(0),
      (asCell / plain).toFixed(2),
      (polls / asCell / 1000).toFixed(1),
    ]
    const text = [...columns, fastSize.toFixed(2), allSize.toFixed(2)].map((column) => column.padStart(11)).join('')
    process.stdout.write(`  ${name.padEnd(16)}${text}\n`)
    return { name, ratio: asCell / plain, fastSize, allSize }
  })
}

/** Runs a job in a process of its own. */
export async function inProcess(job: Job, flags: readonly string[] = []): Promise<Ran> {
  const runner = fileURLToPath(new URL('./cells-runner.ts', import.meta.url))
  const child = fork(runner, { serialization: 'advanced', execArgv: [...process.execArgv, HINTING, ...flags] })
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
