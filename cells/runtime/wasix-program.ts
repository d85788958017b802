// One program on Wasmer's runtime: its package, its files in and out, its output, its end. Knows no processes or messages.
import { type Command, type Package, type Process, type Sandbox, Wasmer, WasmerError } from '@wasmer/sdk/node'
import type { Clock, Timer } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import { isPackage } from '../instrument/facts.ts'
import { cappedModule } from '../instrument/untouched.ts'
import type { CellFile, CellLimits, CellUsage, OutputStream } from '../types.ts'
import type { WasiErrorCode } from '../wasi/errors.ts'
import { MAX_FILES, WASIX_LOOK_MS, WASIX_OWN_BYTES } from './limits.ts'
import { bounded, type CellOrigin } from './messages.ts'

/** The folder that a program shares with the outside: the only one whose files come back. */
const WORKSPACE = '/workspace/'
/** What Wasmer takes as the name of a command. */
const COMMAND_NAME = /^[\w.+-]{1,64}$/
/** `(module (memory 1) (func (export "_start")))`: a package of files must have a command. */
const NOTHING = Uint8Array.from([
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 5, 3, 1, 0, 1, 7, 19, 2],
  ...[6, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 2, 0, 6, 0x5f, 0x73, 0x74, 0x61, 0x72, 0x74, 0, 0, 10, 4, 1, 2, 0, 0x0b],
])

export interface WasixProgramInit {
  /** A WASI or WASIX module, or a package in the WEBC format. */
  readonly module: Uint8Array
  readonly memoryMaxPages: number
  readonly launch: Extract<CellOrigin, { kind: 'launch' }>
  readonly limits: CellLimits
  readonly clock: Clock
  /** Resolves when more may be sent. */
  readonly send: (stream: OutputStream, offset: number, bytes: Uint8Array) => Promise<void>
  /** The program is over; its files are being read. */
  readonly over: () => void
}

export type WasixEnd =
  | { readonly kind: 'exited'; readonly exitCode: number; readonly files: CellFile[] }
  | { readonly kind: 'failed'; readonly code: CellErrorCode; readonly message: string }

export class WasixProgram {
  readonly #init: WasixProgramInit
  readonly #sandbox: Sandbox
  readonly #process: Process
  readonly #startedAt: number
  readonly #written = { stdout: 0, stderr: 0 }
  readonly #broken = Promise.withResolvers<never>()
  #diskBytes = 0
  #next: Timer | undefined
  #over = false

  private constructor(init: WasixProgramInit, sandbox: Sandbox, process: Process) {
    this.#init = init
    this.#sandbox = sandbox
    this.#process = process
    this.#startedAt = init.clock.mono()
    this.#broken.promise.catch(() => undefined)
  }

  /** Throws `CELL_NOT_WASM`, `CELL_NOT_A_COMMAND`, `CELL_MEMORY_LIMIT`, `CELL_FILE_PATH_INVALID`. */
  static async start(init: WasixProgramInit): Promise<WasixProgram> {
    try {
      const wasmer = new Wasmer({ cache: false })
      const [sandbox, command] = await commandOf(wasmer, init)
      const spawned = await command.spawn({ stdin: 'pipe', stdout: 'pipe', stderr: 'pipe' })
      const program = new WasixProgram(init, sandbox, spawned)
      program.#watch()
      return program
    } catch (error) {
      throw isCoded(error) ? error : new CodedError(refusalOf(error), `Wasmer does not take it: ${messageOf(error)}`)
    }
  }

  async ended(): Promise<WasixEnd> {
    try {
      return await Promise.race([this.#run(), this.#broken.promise])
    } catch (error) {
      const code = isCoded<CellErrorCode>(error) ? error.code : 'CELL_TRAPPED'
      // The stack below is Wasmer's.
      const [trap] = messageOf(error).split('\n', 1)
      const message = isCoded(error) ? error.message : `the program trapped: ${trap}`
      return { kind: 'failed', code, message: bounded(message) }
    } finally {
      this.#over = true
      this.#next?.cancel()
    }
  }

  /** A file of the workspace as it is now; undefined for any other. */
  async readFile(path: string): Promise<Uint8Array | undefined> {
    if (!path.startsWith(WORKSPACE)) return undefined
    return this.#sandbox.fs.readFile(path).catch(() => undefined)
  }

  /** CPU and memory are those of the process, Wasmer's own included. */
  usage(): CellUsage {
    const { user, system } = process.cpuUsage()
    return {
      busyMs: (user + system) / 1000,
      wallMs: this.#init.clock.mono() - this.#startedAt,
      fuel: 0,
      memoryBytes: process.memoryUsage.rss(),
      outputBytes: this.#written.stdout + this.#written.stderr,
      diskBytes: this.#diskBytes,
    }
  }

  async #run(): Promise<WasixEnd> {
    const { stdin, stdout, stderr } = this.#process
    // A program may end without reading what it was given.
    const give = async (): Promise<void> => {
      await stdin?.write(this.#init.launch.stdin)
      await stdin?.close()
    }
    give().catch(() => undefined)
    await Promise.all([this.#pump('stdout', stdout), this.#pump('stderr', stderr)])
    const { exitCode } = await this.#process.wait()
    this.#init.over()
    return { kind: 'exited', exitCode: exitCode >>> 0, files: await this.#changedFiles() }
  }

  async #pump(stream: OutputStream, chunks: AsyncIterable<Uint8Array> | null): Promise<void> {
    const { outputBytes } = this.#init.limits
    for await (const chunk of chunks ?? []) {
      const left = outputBytes - this.#written.stdout - this.#written.stderr
      // A copy: Wasmer's memory is shared between threads, and so is a view of it.
      const bytes = Uint8Array.from(chunk.subarray(0, left))
      const offset = this.#written[stream]
      this.#written[stream] += bytes.length
      if (bytes.length > 0) await this.#init.send(stream, offset, bytes)
      if (chunk.length > left) throw limit('CELL_OUTPUT_LIMIT', 'outputBytes', outputBytes)
    }
  }

  #watch(): void {
    this.#next = this.#init.clock.after(WASIX_LOOK_MS, () => {
      this.#look().then(
        () => this.#over || this.#watch(),
        (error: unknown) => this.#broken.reject(error),
      )
    })
  }

  /** Wasm memories are capped one by one; what a program takes with many of them, or with files, only shows here. */
  async #look(): Promise<void> {
    const { memoryBytes, diskBytes } = this.#init.limits
    if (process.memoryUsage.rss() > memoryBytes + diskBytes + WASIX_OWN_BYTES)
      throw limit('CELL_MEMORY_LIMIT', 'memoryBytes', memoryBytes)
    this.#diskBytes = 0
    for await (const { size } of this.#files()) this.#diskBytes += size
    if (this.#diskBytes > diskBytes) throw limit('CELL_DISK_LIMIT', 'diskBytes', diskBytes)
  }

  /** Every file of the workspace. */
  async *#files(): AsyncGenerator<{ readonly path: string; readonly size: number }> {
    const folders = [WORKSPACE]
    let count = 0
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      for (const { name, kind, size } of await this.#sandbox.fs.readDir(folder)) {
        count += 1
        if (count > MAX_FILES) throw limit('CELL_DISK_LIMIT', 'number of files', MAX_FILES)
        if (kind === 'directory') folders.push(`${folder}${name}/`)
        else yield { path: `${folder}${name}`, size }
      }
    }
  }

  async #changedFiles(): Promise<CellFile[]> {
    await this.#look()
    const inputs = new Map(this.#init.launch.files.map(({ path, bytes }) => [path, bytes]))
    const files: CellFile[] = []
    for await (const { path } of this.#files()) {
      const bytes = await this.#sandbox.fs.readFile(path)
      const input = inputs.get(path)
      if (input === undefined || Buffer.compare(input, bytes) !== 0) files.push({ path, bytes })
    }
    return files.sort((a, b) => (a.path < b.path ? -1 : 1))
  }
}

async function commandOf(wasmer: Wasmer, init: WasixProgramInit): Promise<[Sandbox, Command]> {
  const { args, env, files } = init.launch
  const [name = '', ...rest] = args
  const main = await mainPackage(wasmer, init, name)
  const packages = [main]
  const inside = files.filter(({ path }) => path.startsWith(WORKSPACE))
  const outside = files.filter(({ path }) => !path.startsWith(WORKSPACE))
  if (outside.length > 0) packages.push(await filePackage(wasmer, outside))
  const sandbox = await wasmer.sandboxes.create({
    packages,
    files: byPath(inside),
    env,
    network: { mode: 'disabled' },
  })
  const selector = main.commands.includes(name) ? main.command(name) : main
  return [sandbox, sandbox.command(selector, rest)]
}

function mainPackage(wasmer: Wasmer, { module, memoryMaxPages }: WasixProgramInit, name: string): Promise<Package> {
  if (isPackage(module)) return wasmer.packages.load(module)
  const capped = cappedModule(module, memoryMaxPages)
  const command = COMMAND_NAME.test(name) && !/^\.+$/.test(name) ? name : 'main'
  return wasmer.packages.create({ modules: { program: capped }, commands: { [command]: { module: 'program' } } })
}

/** Only a package can put files where the program is to find them outside of the workspace. */
function filePackage(wasmer: Wasmer, files: readonly CellFile[]): Promise<Package> {
  const commands = { 'cell-files': { module: 'nothing' } }
  return wasmer.packages.create({ modules: { nothing: NOTHING }, commands, files: byPath(files) })
}

function byPath(files: readonly CellFile[]): Record<string, Uint8Array> {
  return Object.fromEntries(files.map(({ path, bytes }) => [path, bytes]))
}

function refusalOf(error: unknown): CellErrorCode | WasiErrorCode {
  if (!(error instanceof WasmerError)) return 'CELL_NOT_WASM'
  if (error.code === 'INVALID_PATH' || error.code === 'FILESYSTEM_ERROR') return 'CELL_FILE_PATH_INVALID'
  return error.code === 'PACKAGE_HAS_NO_ENTRYPOINT' ? 'CELL_NOT_A_COMMAND' : 'CELL_NOT_WASM'
}

function limit(code: CellErrorCode, what: string, value: number): CodedError<CellErrorCode> {
  return new CodedError(code, `the cell used its ${what} of ${value}: give it more, or make the program do less`)
}
