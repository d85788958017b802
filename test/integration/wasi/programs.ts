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
  /** Of ours. @default 'native' */
  readonly nan?: 'canonical'
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
    const bytes = wasi.contentOf(path)?.bytes()
    if (bytes !== undefined) files[path] = sha256Hex(bytes)
  }
  for (const { path, content } of wasi.changedFiles()) files[path] = sha256Hex(content.bytes())
  const text = (stream: 'stdout' | 'stderr'): string => fromUtf8(concat(pieces[stream]))
  return { exitCode, stdout: text('stdout'), stderr: text('stderr'), files }
}

/** Runs `program` to its end in a Node process of its own, with a new folder as its root. */
export function runOnNode(program: Program): Outcome {
  return inFolder(program, (folder, root) => {
    const init = { args: program.args, env: program.env ?? {}, root }
    const child = spawnSync(
      process.execPath,
      ['--no-warnings', '--input-type=module', '-e', NODE_RUNNER, asJson(init)],
      {
        cwd: folder,
        input: program.stdin ?? new Uint8Array(0),
        maxBuffer: 2 ** 26,
      },
    )
    return {
      exitCode: child.status ?? -1,
      stdout: child.stdout.toString(),
      stderr: child.stderr.toString(),
      files: Object.fromEntries(filesBelow(root, '')),
    }
  })
}

/**
 * Runs `program` to its end on `@wasmer/wasi`, in a Node process of its own because a panic there leaves nothing usable.
 * After one, `exitCode` is -1 and the outcome is what there was until then.
 */
export function runOnWasmer(program: Program): Outcome {
  return inFolder(program, (folder, root) => {
    const paths = (program.files ?? []).map(({ path }) => path)
    const stdin = fromUtf8(program.stdin ?? new Uint8Array(0))
    const init = {
      args: program.args,
      env: program.env ?? {},
      root,
      paths,
      stdin,
      wasmer: import.meta.resolve('@wasmer/wasi'),
    }
    const child = spawnSync(
      process.execPath,
      ['--no-warnings', '--input-type=module', '-e', WASMER_RUNNER, asJson(init)],
      { cwd: folder, maxBuffer: 2 ** 26, encoding: 'utf8' },
    )
    return JSON.parse(child.stdout.slice(child.stdout.lastIndexOf('\n{') + 1)) as Outcome
  })
}

/** A new folder with the program and, in `root`, its files. */
function inFolder(program: Program, run: (folder: string, root: string) => Outcome): Outcome {
  const folder = mkdtempSync(join(tmpdir(), 'wasi-'))
  try {
    const root = join(folder, 'root')
    for (const name of ['tmp', 'out']) mkdirSync(join(root, name), { recursive: true })
    for (const { path, bytes } of program.files ?? []) {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      writeFileSync(join(root, path), bytes)
    }
    writeFileSync(join(folder, 'program.wasm'), program.module)
    return run(folder, root)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const asJson = (value: unknown): string => JSON.stringify(value)

const NODE_RUNNER = `
import { readFileSync } from 'node:fs'
import { WASI } from 'node:wasi'
const { args, env, root } = JSON.parse(process.argv.at(-1))
const wasi = new WASI({ version: 'preview1', args, env, preopens: { '/': root }, returnOnExit: true })
const module = new WebAssembly.Module(readFileSync('program.wasm'))
const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi.wasiImport })
process.exitCode = wasi.start(instance)
`

const WASMER_RUNNER = `
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
const { args, env, root, paths, stdin, wasmer } = JSON.parse(process.argv.at(-1))
const { init, MemFS, WASI } = await import(wasmer)
await init()
const fs = new MemFS()
const folders = new Set(['/tmp', '/out'])
for (const path of paths) path.split('/').forEach((_, at, names) => { if (at > 0 && at < names.length - 1) folders.add(names.slice(0, at + 1).join('/')) })
for (const folder of folders) fs.createDir(folder)
for (const path of paths) {
  const file = fs.open(path, { read: true, write: true, create: true })
  file.write(readFileSync(root + path))
  file.flush()
  file.free()
}
const wasi = new WASI({ args, env, preopens: { '/': '/' }, fs })
wasi.setStdinString(stdin)
const module = new WebAssembly.Module(readFileSync('program.wasm'))
const instance = new WebAssembly.Instance(module, wasi.getImports(module))
wasi.instantiate(instance, {})
let exitCode = -1
try { exitCode = wasi.start(instance) } catch {}
const files = {}
const visit = (folder) => {
  for (const { path } of wasi.fs.readDir(folder)) {
    let directory = true
    try { wasi.fs.readDir(path) } catch { directory = false }
    if (directory) visit(path)
    else files[path] = createHash('sha256').update(wasi.fs.open(path, { read: true }).read()).digest('hex')
  }
}
// An exit by proc_exit leaves the file system locked.
try { visit('/') } catch {}
console.log()
let [stdout, stderr] = ['', '']
try { stdout = wasi.getStdoutString(), stderr = wasi.getStderrString() } catch {}
console.log(JSON.stringify({ exitCode, stdout, stderr, files }))
`

export function exitCodeOf(start: () => void): number {
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
