// Flags of a cell host process: Node's permission model as a seat belt, and a heap cap. What it may read is the code it
// runs, nothing else of the file system; it may write nothing and start no process.
import { existsSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What the host's code is loaded from: `cells/`, `core/`, the package file that names their type, and `cborg`. */
function readable(): string[] {
  const here = realpathSync(fileURLToPath(new URL('../..', import.meta.url)))
  const cborg = dirname(realpathSync(fileURLToPath(import.meta.resolve('cborg'))))
  return [join(here, 'cells'), join(here, 'core'), packageFile(here), dirname(packageFile(cborg))]
}

/** The nearest `package.json` at or above `folder`: in the published package the code lies one folder deeper. */
function packageFile(folder: string): string {
  const file = join(folder, 'package.json')
  return existsSync(file) || dirname(folder) === folder ? file : packageFile(dirname(folder))
}

/** `execArgv` of a cell host process. Node grants a folder with all that is in it. */
export function hostFlags(heapMb: number): string[] {
  return [
    '--no-warnings',
    '--permission',
    '--allow-worker',
    ...readable().map((path) => `--allow-fs-read=${path}`),
    `--max-old-space-size=${heapMb}`,
  ]
}
