// Flags of a cell host process: Node's permission model as a seat belt, and a heap cap. What it may read is the code it
// runs and a folder of its own, nothing else of the file system; it may write to that folder alone, and start no process.
import { existsSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { CellLimits } from '../types.ts'
import type { HostFolder } from './host-folder.ts'
import { WASIX_OWN_BYTES } from './limits.ts'

/** Wasmer's own memory holds the cell's files, and itself takes about 100 MiB: the flag caps every memory of the process. */
function wasixPages({ memoryBytes, diskBytes }: Pick<CellLimits, 'memoryBytes' | 'diskBytes'>): number {
  return Math.min(65_536, Math.ceil(Math.max(memoryBytes, diskBytes + WASIX_OWN_BYTES) / 65_536))
}

/** What the host's code is loaded from: `cells/`, `core/`, the package file that names their type, and `packages`. */
function readable(packages: readonly string[]): string[] {
  const here = realpathSync(fileURLToPath(new URL('../..', import.meta.url)))
  return [
    join(here, 'cells'),
    join(here, 'core'),
    packageFile(here),
    ...packages.map((name) => packageFolder(here, name)),
  ]
}

/** Where Node finds a package: a real folder or, as some installers have it, a link. */
function packageFolder(from: string, name: string): string {
  const folder = join(from, 'node_modules', name)
  if (existsSync(folder)) return folder
  if (dirname(from) === from) throw new Error(`the package ${name} is not installed: run npm ci`)
  return packageFolder(dirname(from), name)
}

/** The nearest `package.json` at or above `folder`: in the published package the code lies one folder deeper. */
function packageFile(folder: string): string {
  const file = join(folder, 'package.json')
  return existsSync(file) || dirname(folder) === folder ? file : packageFile(dirname(folder))
}

/** What a process is for: many cells on the engine `wasi`, or one on `wasix`, with its limits. */
export type HostKind =
  | { readonly entry: 'host' }
  | { readonly entry: 'wasix-host'; readonly limits: Pick<CellLimits, 'memoryBytes' | 'diskBytes'> }

/** How V8 is to run what the instrumenter made: its polls are marked as hardly ever taken, and so cost loops no register. */
export const HINTING = '--experimental-wasm-branch-hinting'

const V8_FLAGS: readonly string[] = [
  // A process that ends may hang else: https://github.com/nodejs/node/issues/54918.
  '--no-concurrent-sparkplug',
  // Marked in steps, the heap would be marked whenever a copy's bytes pass, on all cores, also while its program stands still.
  '--no-incremental-marking',
]

/** `execArgv` of a cell host process. Node grants a folder with all that is in it. */
export function hostFlags(heapMb: number, kind: HostKind = { entry: 'host' }, folder?: HostFolder): string[] {
  const wasix = kind.entry === 'wasix-host'
  return [
    '--no-warnings',
    '--permission',
    // Else Node looks at every folder on the way to a package, which it may not.
    '--preserve-symlinks',
    '--preserve-symlinks-main',
    '--allow-worker',
    ...readable(wasix ? ['cborg', '@wasmer/sdk'] : ['cborg']).map((path) => `--allow-fs-read=${path}`),
    ...(folder === undefined
      ? []
      : [`--allow-fs-read=${folder.grants.read}`, `--allow-fs-write=${folder.grants.write}`]),
    `--max-old-space-size=${heapMb}`,
    ...V8_FLAGS,
    // Foreign hints are of no use: what is there to be read can be misread.
    ...(wasix ? [] : [HINTING]),
    ...(wasix ? [`--wasm-max-mem-pages=${wasixPages(kind.limits)}`] : []),
  ]
}
