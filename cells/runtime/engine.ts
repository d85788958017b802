// The cell engine of a peer: which host process runs which cell, and what each of them has compiled already.

import { hex, sha256Hex } from '../../core/bytes.ts'
import { type Clock, systemClock, type Timer } from '../../core/clock.ts'
import { CodedError, isCoded } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import { type SnapshotUsage, WASM_PAGE_BYTES } from '../snapshot/format.ts'
import { readSnapshotHeader } from '../snapshot/snapshot.ts'
import type {
  ArrivingCell,
  CellEngine,
  CellEngineInit,
  CellEvents,
  CellHandle,
  CellLimits,
  CellProgram,
  ModuleFacts,
  ResumeInit,
} from '../types.ts'
import { HostProcess } from './host-process.ts'
import { COMPILE_TIMEOUT_MS, HOST_ANSWER_MS } from './limits.ts'
import { answers, type CellOrigin, type ModuleRef, NEED_MODULE } from './messages.ts'
import { RunningCell } from './running-cell.ts'

/** No owner has an empty key: inspections run here, away from every cell. */
const INSPECTION = ''

interface Domain {
  readonly host: HostProcess
  /** Modules, by hash and memory cap, that this process has been given. */
  readonly known: Set<string>
  idle: Timer | undefined
}

export class ProcessCellEngine implements CellEngine {
  readonly #clock: Clock
  readonly #share: number
  readonly #heapMb: number
  readonly #idleMs: number
  readonly #domains = new Map<string, Domain>()
  readonly #running = new Set<RunningCell>()
  /** By identity: hashing 20 MB at each start would cost more than the start. */
  readonly #hashes = new WeakMap<Uint8Array, string>()
  #nextCell = 0
  #started = false

  constructor(init: CellEngineInit) {
    this.#clock = init.clock ?? systemClock
    this.#share = init.fuelShare ?? 1
    this.#heapMb = init.hostHeapMb ?? 512
    this.#idleMs = init.hostIdleMs ?? 30_000
    if (!(this.#share > 0 && this.#share <= 1)) throw new RangeError(`fuelShare is ${this.#share}, not in (0, 1]`)
  }

  async start(): Promise<void> {
    this.#started = true
  }

  async stop(): Promise<void> {
    this.#started = false
    for (const cell of [...this.#running]) cell.onEngineStopped()
    const domains = [...this.#domains.values()]
    this.#domains.clear()
    for (const domain of domains) domain.idle?.cancel()
    await Promise.all(domains.map((domain) => domain.host.end()))
  }

  /** Process ids of the host processes that run now. */
  hostPids(): number[] {
    return [...this.#domains.values()].flatMap(({ host }) => (host.pid === undefined ? [] : [host.pid]))
  }

  inspect(module: Uint8Array): Promise<ModuleFacts> {
    return this.#with(INSPECTION, (domain) => {
      return domain.host.ask({ kind: 'inspect', module }, answers.facts, { timeoutMs: COMPILE_TIMEOUT_MS * 2 }).answer
    })
  }

  async prepare(module: Uint8Array, trustDomain: string, limits: Pick<CellLimits, 'memoryBytes'>): Promise<void> {
    await this.#with(trustDomain, (domain) => {
      return this.#withModule(domain, module, limits, (ref, timeoutMs) => {
        return domain.host.ask({ kind: 'prepare', module: ref }, answers.nothing, { timeoutMs }).answer
      })
    })
  }

  launch(id: string, trustDomain: string, program: CellProgram, events: CellEvents): Promise<CellHandle> {
    const { module, limits, args, env, files, stdin } = program
    const origin: CellOrigin = { kind: 'launch', args, env, files, stdin }
    return this.#begin({ id, trustDomain, module, limits, events, origin, earlier: undefined, paused: false })
  }

  async receive(
    id: string,
    trustDomain: string,
    module: Uint8Array,
    limits: CellLimits,
    events: CellEvents,
  ): Promise<ArrivingCell> {
    await this.prepare(module, trustDomain, limits)
    const parts: Uint8Array[] = []
    return {
      add: async (part) => {
        parts.push(part)
      },
      finish: () => this.resume(id, trustDomain, module, Buffer.concat(parts), limits, events, { paused: true }),
      abandon: async () => undefined,
    }
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
    const { paused = false } = init
    const header = readSnapshotHeader(snapshot)
    if (hex(header.module) !== this.#hash(module)) {
      throw new CodedError<CellErrorCode>('SNAPSHOT_MODULE_MISMATCH', 'the snapshot belongs to another module', {
        facts: { snapshot: hex(header.module), module: this.#hash(module) },
      })
    }
    const origin: CellOrigin = { kind: 'resume', snapshot }
    return this.#begin({ id, trustDomain, module, limits, events, origin, earlier: header.usage, paused })
  }

  #begin(cell: {
    readonly id: string
    readonly trustDomain: string
    readonly module: Uint8Array
    readonly limits: CellLimits
    readonly events: CellEvents
    readonly origin: CellOrigin
    readonly earlier: SnapshotUsage | undefined
    readonly paused: boolean
  }): Promise<CellHandle> {
    const { id, module, limits, events, origin, earlier, paused } = cell
    return this.#with(cell.trustDomain, async (domain) => {
      const number = this.#nextCell++
      const running = new RunningCell({
        id,
        cell: number,
        host: domain.host,
        clock: this.#clock,
        limits,
        events,
        moduleHash: this.#hash(module),
        earlier,
        paused,
        onEnded: () => {
          this.#running.delete(running)
          this.#whenIdle(cell.trustDomain, domain)
        },
      })
      this.#running.add(running)
      running.attach()
      try {
        const start = { origin, limits, share: this.#share, paused }
        await this.#withModule(domain, module, limits, (ref, timeoutMs) => {
          return domain.host.ask({ kind: 'start', cell: number, module: ref, start }, answers.nothing, { timeoutMs })
            .answer
        })
        running.began()
        return running
      } catch (error) {
        this.#running.delete(running)
        domain.host.detach(number)
        throw error
      }
    })
  }

  /** Asks with the module's hash alone when the process knows it, else, or if it forgot, with its bytes. */
  async #withModule<T>(
    domain: Domain,
    module: Uint8Array,
    limits: Pick<CellLimits, 'memoryBytes'>,
    ask: (ref: ModuleRef, timeoutMs: number) => Promise<T>,
  ): Promise<T> {
    const hash = this.#hash(module)
    const memoryMaxPages = Math.min(65_536, Math.floor(limits.memoryBytes / WASM_PAGE_BYTES))
    const key = `${hash}:${memoryMaxPages}`
    if (domain.known.has(key)) {
      try {
        return await ask({ hash, memoryMaxPages }, COMPILE_TIMEOUT_MS + HOST_ANSWER_MS)
      } catch (error) {
        if (!isCoded(error, NEED_MODULE)) throw error
      }
    }
    domain.known.add(key)
    return ask({ hash, memoryMaxPages, bytes: module }, COMPILE_TIMEOUT_MS + HOST_ANSWER_MS)
  }

  /** Runs `work` with the host process of `trustDomain`, starting one if need be. */
  async #with<T>(trustDomain: string, work: (domain: Domain) => Promise<T>): Promise<T> {
    if (!this.#started) throw new CodedError<CellErrorCode>('CELL_ENDED', 'the cell engine is not started')
    const domain = this.#domain(trustDomain)
    domain.idle?.cancel()
    domain.idle = undefined
    try {
      return await work(domain)
    } finally {
      this.#whenIdle(trustDomain, domain)
    }
  }

  #domain(trustDomain: string): Domain {
    const found = this.#domains.get(trustDomain)
    if (found?.host.alive) return found
    const onExit = (): void => {
      if (this.#domains.get(trustDomain) === domain) this.#domains.delete(trustDomain)
    }
    const host = new HostProcess({ clock: this.#clock, heapMb: this.#heapMb, onExit })
    const domain: Domain = { host, known: new Set(), idle: undefined }
    this.#domains.set(trustDomain, domain)
    return domain
  }

  #whenIdle(trustDomain: string, domain: Domain): void {
    if (!domain.host.idle || !domain.host.alive || this.#domains.get(trustDomain) !== domain) return
    domain.idle?.cancel()
    domain.idle = this.#clock.after(this.#idleMs, () => {
      if (!domain.host.idle) return
      this.#domains.delete(trustDomain)
      void domain.host.end()
    })
  }

  #hash(module: Uint8Array): string {
    const known = this.#hashes.get(module)
    if (known !== undefined) return known
    const hash = sha256Hex(module)
    this.#hashes.set(module, hash)
    return hash
  }
}
