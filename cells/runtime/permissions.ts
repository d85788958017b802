// Flags of a cell host process: Node's permission model as a seat belt, and a heap cap. What it may read is the code it
// runs, nothing else of the file system; it may write nothing and start no process.
import { existsSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What the host's code is loaded from: `cells/`, `core/`, the package file that names their type, and `cborg`. */
function readable(): string[] {
  const here = realpathSync(fileURLToPath(new URL('../..', import.meta.url)))
  return [join(here, 'cells'), join(here, 'core'), packageFile(here), packageFolder(here, 'cborg')]
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

/** `execArgv` of a cell host process. Node grants a folder with all that is in it. */
export function hostFlags(heapMb: number): string[] {
  return [
    '--no-warnings',
    '--permission',
    // Else Node looks at every folder on the way to a package, which it may not.
    '--preserve-symlinks',
    '--allow-worker',
    ...readable().map((path) => `--allow-fs-read=${path}`),
    `--max-old-space-size=${heapMb}`,
  ]
}
