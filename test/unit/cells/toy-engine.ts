// Programs without Wasm: a test says what they print and when they end. What they printed is their whole state.
import type {
  ArrivingCell,
  CellEngine,
  CellEvents,
  CellExit,
  CellFile,
  CellHandle,
  CellSnapshot,
  CellUsage,
  LiveCopy,
  ModuleFacts,
  OutputStream,
  Resumed,
} from '../../../cells/index.ts'
import { fromUtf8, sha256Hex, utf8 } from '../../../core/bytes.ts'
import { CodedError } from '../../../core/errors.ts'

const USAGE: CellUsage = { busyMs: 1, wallMs: 1, fuel: 1, memoryBytes: 1, outputBytes: 1, diskBytes: 1 }

export class ToyProgram implements CellHandle {
  readonly migratable = true
  readonly #exit = Promise.withResolvers<CellExit>()
  readonly #events: CellEvents
  readonly #wrote: Record<OutputStream, number>
  readonly id: string
  isRunning: boolean
  hasEnded = false

  constructor(id: string, events: CellEvents, wrote: Record<OutputStream, number>, isRunning: boolean) {
    this.id = id
    this.#events = events
    this.#wrote = wrote
    this.isRunning = isRunning
  }

  get ended(): Promise<CellExit> {
    return this.#exit.promise
  }

  print(text: string, stream: OutputStream = 'stdout'): void {
    const bytes = utf8(text)
    this.#events.onOutput(stream, this.#wrote[stream], bytes)
    this.#wrote[stream] += bytes.length
  }

  exit(files: readonly CellFile[] = [], exitCode = 0): void {
    this.#end({ kind: 'exited', exitCode, files, usage: USAGE })
  }

  async suspend({ signal }: { readonly signal?: AbortSignal }): Promise<CellSnapshot> {
    signal?.throwIfAborted()
    if (this.hasEnded) throw new CodedError('CELL_ENDED', 'it has ended')
    this.isRunning = false
    return { bytes: utf8(JSON.stringify(this.#wrote)), moduleHash: '', quiesceMs: 0, packMs: 0 }
  }

  async copy(init: { readonly signal?: AbortSignal }): Promise<LiveCopy> {
    return {
      async *round() {},
      dirtyBytes: async () => 1,
      stop: async () => {
        const { bytes, ...times } = await this.suspend(init)
        return { parts: [bytes], stoppedAt: 0, ...times }
      },
      cancel: async () => undefined,
    }
  }

  async resumeHere(): Promise<Resumed> {
    this.isRunning = true
    return { resumedAt: 0 }
  }

  async discard(): Promise<void> {
    await this.kill()
  }

  async kill(): Promise<void> {
    this.#end({ kind: 'killed', usage: USAGE })
  }

  async readFile(): Promise<undefined> {
    return undefined
  }

  async usage(): Promise<CellUsage> {
    return USAGE
  }

  #end(exit: CellExit): void {
    this.isRunning = false
    this.hasEnded = true
    this.#exit.resolve(exit)
  }
}

export class ToyEngine implements CellEngine {
  /** In the order of their starts; those of a peer that was killed count no more. */
  readonly programs: ToyProgram[] = []

  async start(): Promise<void> {}
  async stop(): Promise<void> {}
  async prepare(): Promise<void> {}

  async inspect(module: Uint8Array): Promise<ModuleFacts> {
    const hash = sha256Hex(module)
    return { hash, bytes: module.length, functions: 1, memoryPages: { initial: 1 }, imports: [], opcodeFeatures: [] }
  }

  async launch(id: string, _domain: string, _program: unknown, events: CellEvents): Promise<CellHandle> {
    return this.#add(new ToyProgram(id, events, { stdout: 0, stderr: 0 }, true))
  }

  async resume(
    id: string,
    _domain: string,
    _module: Uint8Array,
    snapshot: Uint8Array,
    _limits: unknown,
    events: CellEvents,
    init?: { readonly paused?: boolean },
  ): Promise<CellHandle> {
    return this.#add(new ToyProgram(id, events, JSON.parse(fromUtf8(snapshot)), init?.paused !== true))
  }

  async receive(
    id: string,
    domain: string,
    module: Uint8Array,
    limits: unknown,
    events: CellEvents,
  ): Promise<ArrivingCell> {
    const parts: Uint8Array[] = []
    return {
      add: async (part) => void parts.push(part),
      finish: () => this.resume(id, domain, module, Buffer.concat(parts), limits, events, { paused: true }),
      abandon: async () => undefined,
    }
  }

  #add(program: ToyProgram): ToyProgram {
    this.programs.push(program)
    return program
  }
}
