// Running one WASI program twice, on ours and on Node's own (uvwasi, over a folder of the disk), to compare the two.
import { spawnSync } from 'node:child_process'
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { CellFile } from '../../../cells/types.ts'
import { ExitStatus, Wasi } from '../../../cells/wasi/index.ts'
import { concat, fromUtf8, sha256Hex } from '../../../core/bytes.ts'
import { systemClock } from '../../../core/clock.ts'
import { seededRandom } from '../../../core/random.ts'

export interface Program {
  readonly module: Uint8Array
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly files?: readonly CellFile[]
  readonly stdin?: Uint8Array
  /** Of ours; Node's has the disk. @default 2^28 */
  readonly diskBytes?: number
}

export interface Outcome {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  /** SHA-256 of every regular file in the tree, by path. */
  readonly files: Readonly<Record<string, string>>
}

const SAMPLES = new URL('../../../cells/samples/wasm/', import.meta.url)

/** A module of the samples. */
export function sample(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`${name}.wasm`, SAMPLES)))
}

/** Runs `program` to its end on ours. */
export function runOnOurs(program: Program): Outcome {
  const pieces: Record<'stdout' | 'stderr', Uint8Array[]> = { stdout: [], stderr: [] }
  const written = { stdout: 0, stderr: 0 }
  const inputs = program.files ?? []
  const wasi = new Wasi({
    args: program.args,
    env: program.env ?? {},
    files: inputs,
    stdin: program.stdin ?? new Uint8Array(0),
    limits: { outputBytes: 2 ** 20, diskBytes: program.diskBytes ?? 2 ** 28 },
    clock: systemClock,
    random: seededRandom(1),
    host: {
      output: (stream, offset, bytes) => {
        if (offset !== written[stream]) throw new Error(`output at ${offset} does not follow`)
        written[stream] += bytes.length
        pieces[stream].push(bytes)
      },
      wait: (ms) => {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
        return false
      },
    },
  })
  const instance = new WebAssembly.Instance(new WebAssembly.Module(program.module), {
    wasi_snapshot_preview1: wasi.imports(),
  })
  const { memory, _start: start } = instance.exports as { memory?: WebAssembly.Memory; _start?: () => void }
  if (memory === undefined || start === undefined) throw new Error('not a command')
  wasi.bind(memory)
  const exitCode = exitCodeOf(start)
  const files: Record<string, string> = {}
  for (const { path } of inputs) {
    const bytes = wasi.readFile(path)
    if (bytes !== undefined) files[path] = sha256Hex(bytes)
  }
  for (const { path, bytes } of wasi.changedFiles()) files[path] = sha256Hex(bytes)
  const text = (stream: 'stdout' | 'stderr'): string => fromUtf8(concat(pieces[stream]))
  return { exitCode, stdout: text('stdout'), stderr: text('stderr'), files }
}

/** Runs `program` to its end in a Node process of its own, with a new folder as its root. */
export function runOnNode(program: Program): Outcome {
  const folder = mkdtempSync(join(tmpdir(), 'wasi-'))
  try {
    const root = join(folder, 'root')
    for (const name of ['tmp', 'out']) mkdirSync(join(root, name), { recursive: true })
    for (const { path, bytes } of program.files ?? []) {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      writeFileSync(join(root, path), bytes)
    }
    writeFileSync(join(folder, 'program.wasm'), program.module)
    const init = JSON.stringify({ args: program.args, env: program.env ?? {}, root })
    const child = spawnSync(process.execPath, ['--no-warnings', '--input-type=module', '-e', NODE_RUNNER, init], {
      cwd: folder,
      input: program.stdin ?? new Uint8Array(0),
      maxBuffer: 2 ** 26,
    })
    return {
      exitCode: child.status ?? -1,
      stdout: child.stdout.toString(),
      stderr: child.stderr.toString(),
      files: Object.fromEntries(filesBelow(root, '')),
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const NODE_RUNNER = `
import { readFileSync } from 'node:fs'
import { WASI } from 'node:wasi'
const { args, env, root } = JSON.parse(process.argv.at(-1))
const wasi = new WASI({ version: 'preview1', args, env, preopens: { '/': root }, returnOnExit: true })
const module = new WebAssembly.Module(readFileSync('program.wasm'))
const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi.wasiImport })
process.exitCode = wasi.start(instance)
`

function exitCodeOf(start: () => void): number {
  try {
    start()
    return 0
  } catch (error) {
    if (error instanceof ExitStatus) return error.exitCode
    throw error
  }
}

function* filesBelow(root: string, prefix: string): Generator<[string, string]> {
  for (const name of readdirSync(join(root, prefix)).sort()) {
    const path = `${prefix}/${name}`
    const kind = lstatSync(join(root, path))
    if (kind.isDirectory()) yield* filesBelow(root, path)
    else if (kind.isFile()) yield [path, sha256Hex(new Uint8Array(readFileSync(join(root, path))))]
  }
}
