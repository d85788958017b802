// `npm run bench -- NAME`: prints what a person wants to see, and as its last line one JSON object with the figures.
import { cpus, loadavg } from 'node:os'
import type { Bench } from './types.ts'

const BENCHES: Readonly<Record<string, () => Promise<{ bench: Bench }>>> = {
  bulk: () => import('./bulk.ts'),
  cells: () => import('./cells.ts'),
  files: () => import('./files.ts'),
  move: () => import('./move.ts'),
  peer: () => import('./peer.ts'),
  state: () => import('./state.ts'),
}

const [name = '', seedText = '1'] = process.argv.slice(2)
const load = BENCHES[name]
const seed = Number(seedText)
if (load === undefined || !Number.isSafeInteger(seed)) {
  process.stderr.write(`usage: npm run bench -- ${Object.keys(BENCHES).join('|')} [SEED]\n`)
  process.exit(2)
}
const { bench } = await load()
process.stdout.write(`${name}: ${bench.about}\n`)
const figures = await bench.run(seed)
// JSON has no word for what was not measured: a key without a number would look like a figure.
for (const [key, value] of Object.entries(figures))
  if (!Number.isFinite(value)) throw new Error(`${key} was not measured`)
const rounded = Object.fromEntries(Object.entries(figures).map(([key, value]) => [key, Number(value.toPrecision(4))]))
const cpu = `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`
// The machine's load over the last minute, this bench included: times of a machine with other work to do compare with nothing.
const load1m = Number((loadavg()[0] ?? 0).toFixed(1))
process.stdout.write(`${JSON.stringify({ bench: name, node: process.version, cpu, load1m, seed, figures: rounded })}\n`)
process.exit(0)
