// What running as a cell costs: the slow-down of programs against the untouched module, the start of a cell, and the time
// to instrument a large module.
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FLITE_PATH } from '../processes/cells.ts'
import { kernelPrograms, referencePrograms, samplePrograms } from './cells-programs.ts'
import { inProcess, slowdownsOf } from './cells-slowdown.ts'
import { startFigures } from './cells-start.ts'
import { wasiFigures } from './cells-wasi.ts'
import { geometricMean, median } from './statistics.ts'
import type { Bench, Figures } from './types.ts'

/** Where `npm ci --prefix test/third-party` puts it. */
const YOSYS_PATH = fileURLToPath(
  new URL('../../test/third-party/node_modules/@yowasp/yosys/gen/yosys.core.wasm', import.meta.url),
)

export const bench: Bench = {
  about:
    'slowdown.*: CPU of the running thread as a cell / untouched on the same WASI, medians of up to 5 each, a process each; ' +
    'optimised*: without the baseline compiler; samples*: of cells/samples; codeSize.*: bytes of code / before; ' +
    'start.*: an empty program from launch to end, warm pool and known module; wasi.vsNodeWasi: CPU of the same calls, ours / ' +
    "Node's; instrument.fliteMs: CPU, first call in a process",
  async run(seed): Promise<Figures> {
    const shared = process.env.CLOUDSKIN_SHARED
    if (shared === undefined) skipped('the reference programs', 'CLOUDSKIN_SHARED is not set')
    const references = shared === undefined ? [] : referencePrograms(join(shared, 'prototypes/cells/wasm'))
    const programs = [...references, ...kernelPrograms()]
    const rows = await slowdownsOf(programs, 'default')
    const optimised = await slowdownsOf(programs, 'optimised')
    const samples = await slowdownsOf(samplePrograms(seed), 'default')
    const ratios = rows.map(({ ratio }) => ratio)
    const optimisedRatios = optimised.map(({ ratio }) => ratio)
    return {
      'slowdown.geomean': geometricMean(ratios),
      'slowdown.max': Math.max(...ratios),
      'slowdown.optimisedGeomean': geometricMean(optimisedRatios),
      'slowdown.optimisedMax': Math.max(...optimisedRatios),
      'slowdown.samplesGeomean': geometricMean(samples.map(({ ratio }) => ratio)),
      'codeSize.fastMax': Math.max(...[...rows, ...samples].map(({ fastSize }) => fastSize)),
      'codeSize.allMax': Math.max(...[...rows, ...samples].map(({ allSize }) => allSize)),
      ...(await startFigures()),
      ...wasiFigures(),
      'instrument.fliteMs': await instrumentMs(FLITE_PATH),
      ...(await yosysFigures()),
    }
  },
}

async function yosysFigures(): Promise<Figures> {
  if (existsSync(YOSYS_PATH)) return { 'instrument.yosysMs': await instrumentMs(YOSYS_PATH) }
  skipped('yosys', 'npm ci --prefix test/third-party was not run')
  return {}
}

function skipped(what: string, why: string): void {
  process.stdout.write(`  without ${what}: ${why}\n`)
}

async function instrumentMs(path: string): Promise<number> {
  const module = new Uint8Array(await readFile(path))
  const times: number[] = []
  for (let n = 0; n < 3; n++) times.push((await inProcess({ kind: 'instrument', module })).cpuMs)
  process.stdout.write(
    `  instrumenting ${path.split('/').at(-1)}, CPU ms: ${times.map((ms) => ms.toFixed(0)).join(' ')}\n`,
  )
  return median(times)
}
