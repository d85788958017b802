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
import { hostMono } from '../../../core/clock.ts'
import { CodedError } from '../../../core/errors.ts'

/** What the toy wrote is its whole state; the last part counts, and it has to come after all others. */
interface ToyPart {
  readonly n: number
  readonly isLast: boolean
  readonly wrote: Record<OutputStream, number>
}

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
    this.#mustGoOn(signal)
    this.isRunning = false
    return { bytes: this.#part(0, true), moduleHash: '', quiesceMs: 0, packMs: 0 }
  }

  /** What happens while a part of a round is made. */
  onRound: (() => void | Promise<void>) | undefined
  /** Bytes left by the rounds, the first one first; then nothing. */
  dirty: number[] = []
  /** Rounds that were begun. */
  rounds = 0

  async copy({ signal }: { readonly signal?: AbortSignal }): Promise<LiveCopy> {
    this.#mustGoOn(signal)
    const program = this
    let n = 0
    return {
      async *round() {
        program.rounds++
        for (let parts = 0; parts < 2; parts++) {
          await program.onRound?.()
          program.#mustGoOn(signal)
          yield program.#part(n++, false)
        }
      },
      dirtyBytes: async () => {
        this.#mustGoOn(signal)
        return this.dirty.shift() ?? 0
      },
      stop: async () => {
        this.#mustGoOn(signal)
        this.isRunning = false
        const stoppedAt = hostMono()
        return { parts: [this.#part(n++, true)], stoppedAt, quiesceMs: 0, packMs: 0, moduleHash: '' }
      },
      cancel: async () => undefined,
    }
  }

  #mustGoOn(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted()
    if (this.hasEnded) throw new CodedError('CELL_ENDED', 'it has ended')
  }

  #part(n: number, isLast: boolean): Uint8Array {
    return utf8(JSON.stringify({ n, isLast, wrote: this.#wrote } satisfies ToyPart))
  }

  async writeStdin(): Promise<never> {
    throw new Error('the toy reads nothing')
  }

  async resumeHere(): Promise<Resumed> {
    this.isRunning = true
    return { resumedAt: hostMono() }
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
    domain: string,
    module: Uint8Array,
    snapshot: Uint8Array,
    limits: unknown,
    events: CellEvents,
  ): Promise<CellHandle> {
    const arriving = await this.receive(id, domain, module, limits, events)
    await arriving.add(snapshot)
    return arriving.finish()
  }

  async receive(
    id: string,
    _domain: string,
    _module: Uint8Array,
    _limits: unknown,
    events: CellEvents,
  ): Promise<ArrivingCell> {
    let parts = 0
    let last: ToyPart | undefined
    return {
      add: async (bytes) => {
        const part = JSON.parse(fromUtf8(bytes)) as ToyPart
        if (part.n !== parts++ || last !== undefined) throw new CodedError('SNAPSHOT_MALFORMED', 'a part out of place')
        if (part.isLast) last = part
      },
      finish: async () => {
        if (last === undefined) throw new CodedError('SNAPSHOT_MALFORMED', 'the last part is missing')
        return this.#add(new ToyProgram(id, events, last.wrote, false))
      },
      abandon: async () => undefined,
    }
  }

  #add(program: ToyProgram): ToyProgram {
    this.programs.push(program)
    return program
  }
}
