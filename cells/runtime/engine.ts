// The cell engine of a peer: which host process runs which cell, and what each of them has compiled already.

import { hex, sha256Hex } from '../../core/bytes.ts'
import { type Clock, systemClock } from '../../core/clock.ts'
import { CodedError, isCoded } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import { WASM_PAGE_BYTES } from '../snapshot/format.ts'
import { malformed } from '../snapshot/part.ts'
import { moduleMismatch, stateHeaderOf } from '../snapshot/snapshot.ts'
import type {
  ArrivalMode,
  ArrivingCell,
  CellEngine,
  CellEngineInit,
  CellEvents,
  CellHandle,
  CellLimits,
  CellMode,
  CellProgram,
  ModuleFacts,
  ResumeInit,
} from '../types.ts'
import { type Domain, Domains } from './domains.ts'
import { clearFolders } from './host-folder.ts'
import { COMPILE_TIMEOUT_MS, HOST_ANSWER_MS, HOST_HEAP_MB } from './limits.ts'
import { answers, type Build, type CellOrigin, type ModuleRef, NEED_MODULE } from './messages.ts'
import { moduleKey } from './module-cache.ts'
import { PeerArrival } from './peer-arrival.ts'
import type { HostKind } from './permissions.ts'
import { RunningCell } from './running-cell.ts'

/** No owner has an empty key: inspections run here, away from every cell. */
const INSPECTION = ''
const WASI: HostKind = { entry: 'host' }

/** A cell that is to begin here, from its start or from a snapshot. */
interface Beginning {
  readonly id: string
  readonly trustDomain: string
  readonly module: Uint8Array
  readonly mode: CellMode
  readonly limits: CellLimits
  readonly events: CellEvents
  readonly origin: CellOrigin
}

export class ProcessCellEngine implements CellEngine {
  readonly #clock: Clock
  readonly #share: number
  readonly #folder: string | undefined
  readonly #domains: Domains
  readonly #running = new Map<RunningCell, { readonly cell: Beginning; readonly domain: Domain }>()
  /** By identity: hashing 20 MB at each start would cost more than the start. */
  readonly #hashes = new WeakMap<Uint8Array, string>()
  #nextCell = 0
  #started = false

  constructor(init: CellEngineInit) {
    this.#clock = init.clock ?? systemClock
    this.#share = init.fuelShare ?? 1
    const { hostHeapMb: heapMb = HOST_HEAP_MB, hostIdleMs: idleMs = 30_000, folder } = init
    this.#folder = folder
    this.#domains = new Domains({ clock: this.#clock, heapMb, idleMs, folder })
    if (!(this.#share > 0 && this.#share <= 1)) throw new RangeError(`fuelShare is ${this.#share}, not in (0, 1]`)
  }

  async start(): Promise<void> {
    if (this.#folder !== undefined) await clearFolders(this.#folder)
    this.#started = true
  }

  async stop(): Promise<void> {
    this.#started = false
    for (const cell of [...this.#running.keys()]) cell.onEngineStopped()
    await this.#domains.stop()
  }

  /** Process ids of the host processes that run now. */
  hostPids(): number[] {
    return this.#domains.pids()
  }

  inspect(module: Uint8Array, mode: CellMode = {}): Promise<ModuleFacts> {
    return this.#with(INSPECTION, WASI, (domain) => {
      const timeoutMs = COMPILE_TIMEOUT_MS * 2
      return domain.host.ask({ kind: 'inspect', module, mode }, answers.facts, { timeoutMs }).answer
    })
  }

  async prepare(
    module: Uint8Array,
    trustDomain: string,
    limits: Pick<CellLimits, 'memoryBytes'>,
    mode: ArrivalMode = {},
  ): Promise<void> {
    await this.#with(trustDomain, WASI, (domain) => {
      return this.#withModule(domain, { module, limits, mode }, 'movable', (ref, timeoutMs) => {
        return domain.host.ask({ kind: 'prepare', module: ref }, answers.nothing, { timeoutMs }).answer
      })
    })
  }

  async launch(id: string, trustDomain: string, program: CellProgram, events: CellEvents): Promise<CellHandle> {
    this.#refuseUnsupported(program)
    const { module, limits, args, env, files, largeFiles, stdin, stdinOpen, randomSeed } = program
    const origin: CellOrigin = { kind: 'launch', args, env, files, largeFiles, stdin, stdinOpen, randomSeed }
    const start = { id, trustDomain, module, limits, events, origin, mode: program }
    return this.#begin(start)
  }

  async resume(
    id: string,
    trustDomain: string,
    module: Uint8Array,
    snapshot: Uint8Array,
    limits: CellLimits,
    events: CellEvents,
    init: ResumeInit = {},
  ): Promise<CellHandle> {
    // Refused before anything is started.
    const header = stateHeaderOf(snapshot)
    if (header === undefined) throw malformed('it has no state')
    if (hex(header.module) !== this.#hash(module)) throw moduleMismatch(hex(header.module), this.#hash(module))
    const arriving = await this.receive(id, trustDomain, module, limits, events, init)
    await arriving.add(snapshot)
    const cell = await arriving.finish()
    if (init.paused !== true) await cell.resumeHere()
    return cell
  }

  async receive(
    id: string,
    trustDomain: string,
    module: Uint8Array,
    limits: CellLimits,
    events: CellEvents,
    { nan = 'native' }: ArrivalMode = {},
  ): Promise<ArrivingCell> {
    const start = { id, trustDomain, module, limits, events, origin: { kind: 'arrive' }, mode: { nan } } as const
    return new PeerArrival(await this.#begin(start), this.#hash(module))
  }

  #begin(cell: Beginning): Promise<RunningCell> {
    const { id, module, limits, events, origin, mode } = cell
    const number = this.#nextCell++
    // Nothing else is in the process of a cell on `wasix`: it ends with it.
    const alone = mode.engine === 'wasix'
    const key = alone ? `wasix ${number}` : cell.trustDomain
    return this.#with(key, alone ? { entry: 'wasix-host', limits } : WASI, async (domain) => {
      const running: RunningCell = new RunningCell({
        id,
        cell: number,
        host: domain.host,
        clock: this.#clock,
        limits,
        events,
        moduleHash: this.#hash(module),
        arrives: origin.kind === 'arrive',
        track: () => this.#track(running),
        migratable: buildOf(mode) === 'movable',
        alone,
        take: (name, bytes) => {
          const { folder } = this.#running.get(running)?.domain ?? domain
          if (folder === undefined) throw new Error('the process has no folder')
          return folder.take(name, bytes)
        },
        onStuck: () => this.#evacuate(running),
        onEnded: () => {
          const last = this.#running.get(running)?.domain ?? domain
          this.#running.delete(running)
          if (alone) void last.host.end()
          else this.#domains.whenIdle(key, last)
        },
      })
      this.#running.set(running, { cell, domain })
      running.attach()
      try {
        await this.#startIn(domain, number, cell)
        running.began()
        return running
      } catch (error) {
        this.#running.delete(running)
        domain.host.detach(number)
        if (alone) void domain.host.end()
        throw error
      }
    })
  }

  async #startIn(domain: Domain, number: number, cell: Beginning): Promise<void> {
    const { limits, origin } = cell
    const begin = (origin: CellOrigin): Promise<boolean> => {
      const start = { origin, limits, share: this.#share }
      return this.#withModule(domain, cell, buildOf(cell.mode), (ref, timeoutMs) => {
        const command = { kind: 'start', cell: number, module: ref, start } as const
        return domain.host.ask(command, answers.nothing, { timeoutMs }).answer
      })
    }
    if (domain.folder === undefined || origin.kind !== 'launch' || origin.largeFiles === undefined) await begin(origin)
    else await domain.folder.withInputs(origin.largeFiles, (largeFiles) => begin({ ...origin, largeFiles }))
  }

  async #track(running: RunningCell): Promise<void> {
    const at = this.#running.get(running)
    if (at === undefined) return
    const { domain, cell } = at
    await this.#withModule(domain, cell, 'tracking', (ref, timeoutMs) => {
      return domain.host.ask({ kind: 'copy', cell: running.number, module: ref }, answers.nothing, { timeoutMs }).answer
    })
  }

  /** A cell that cannot be ended takes its process with it. The owner's other cells leave that first, if they can. */
  async #evacuate(stuck: RunningCell): Promise<void> {
    const at = this.#running.get(stuck)
    if (at === undefined || !this.#domains.leave(at.cell.trustDomain, at.domain)) return
    const others = [...this.#running].filter(
      ([cell, { domain }]) => domain === at.domain && cell !== stuck && cell.movable,
    )
    await Promise.all(others.map(([cell]) => this.#transfer(cell).catch(() => undefined)))
    at.domain.host.destroy('it did not end a cell in time')
  }

  /** Into another process of the same owner, as by a move. When that fails the cell stays where it is. */
  async #transfer(running: RunningCell): Promise<void> {
    const at = this.#running.get(running)
    if (at === undefined) return
    const cell: Beginning = { ...at.cell, origin: { kind: 'arrive' } }
    await running.evacuate((snapshot, relocate) =>
      this.#with(cell.trustDomain, WASI, async (domain) => {
        const number = this.#nextCell++
        await relocate({ host: domain.host, cell: number }, async () => {
          await this.#startIn(domain, number, cell)
          const command = { kind: 'add', parts: snapshot } as const
          await domain.host.ask({ kind: 'cell', cell: number, command }, answers.added).answer
        })
        if (this.#running.has(running)) this.#running.set(running, { cell, domain })
      }),
    )
  }

  /** Asks with the module's hash alone when the process knows it, else, or if it forgot, with its bytes. */
  async #withModule<T>(
    domain: Domain,
    { module, limits, mode }: { module: Uint8Array; limits: Pick<CellLimits, 'memoryBytes'>; mode: CellMode },
    build: Build,
    ask: (ref: ModuleRef, timeoutMs: number) => Promise<T>,
  ): Promise<T> {
    const memoryMaxPages = Math.min(65_536, Math.floor(limits.memoryBytes / WASM_PAGE_BYTES))
    const ref = { hash: this.#hash(module), memoryMaxPages, build, nan: mode.nan }
    const key = moduleKey(ref)
    if (domain.known.has(key)) {
      try {
        return await ask(ref, COMPILE_TIMEOUT_MS + HOST_ANSWER_MS)
      } catch (error) {
        if (!isCoded(error, NEED_MODULE)) throw error
      }
    }
    domain.known.add(key)
    return ask({ ...ref, bytes: module }, COMPILE_TIMEOUT_MS + HOST_ANSWER_MS)
  }

  #with<T>(key: string, kind: HostKind, work: (domain: Domain) => Promise<T>): Promise<T> {
    if (this.#started) return this.#domains.use(key, kind, work)
    return Promise.reject(new CodedError<CellErrorCode>('CELL_ENDED', 'the cell engine is not started'))
  }

  /** Wasmer's runtime has its files and standard input whole at the start, and its own randomness. */
  #refuseUnsupported({ engine = 'wasi', nan, stdinOpen, randomSeed, largeFiles = [] }: CellProgram): void {
    const refuse = (what: string, instead: string): never => {
      throw new CodedError<CellErrorCode>('CELL_OPTION_UNSUPPORTED', `the cell cannot have ${what}: ${instead}`)
    }
    if (largeFiles.length > 0 && this.#folder === undefined) refuse('largeFiles', 'give the engine a folder')
    if (engine === 'wasi') return
    const instead = 'leave it out, or run the cell on the engine wasi'
    if (largeFiles.length > 0) refuse('largeFiles', instead)
    if (stdinOpen === true) refuse('stdinOpen', instead)
    if (randomSeed !== undefined) refuse('randomSeed', instead)
    if (nan === 'canonical') refuse('canonical NaNs', instead)
  }

  #hash(module: Uint8Array): string {
    const known = this.#hashes.get(module)
    if (known !== undefined) return known
    const hash = sha256Hex(module)
    this.#hashes.set(module, hash)
    return hash
  }
}

function buildOf({ engine = 'wasi', migratable = true }: CellMode): Build {
  return engine === 'wasi' && migratable ? 'movable' : 'untouched'
}
