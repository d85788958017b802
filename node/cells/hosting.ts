// The peer as a host: takes cells in, runs them, and reports to their authorities.
import type { Logger } from '@libp2p/interface'
import type { ArrivingCell, CellEngine, CellEvents, CellExit, CellHandle } from '../../cells/index.ts'
import { type Clock, sleep } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import { abortable, type Startable, Tasks } from '../../core/lifecycle.ts'
import type { BlobService } from '../../protocols/blobs/index.ts'
import type { PeerKey } from '../../protocols/kit/types.ts'
import type { KeptImage } from '../../protocols/migration/index.ts'
import {
  appendEvent,
  type CellEvent,
  type CellManifest,
  type Command,
  type CommandResult,
  encodeOutbox,
  type Outbox,
  openManifest,
  type Placement,
  type ResultFile,
  type Room,
  restoreOutbox,
} from '../../protocols/placement/index.ts'
import type { BlobAccess } from './blob-access.ts'
import { type HostCapacity, roomBeside } from './host-room.ts'
import { decodeHosted, encodeHosted, type HostedCell, type HostedRecord, isActive } from './hosted-cell.ts'
import { blobUnknown, type ModuleFactsCache, modeOf } from './module-facts.ts'
import { type Fetching, type FileStore, keptResults, programOf } from './program.ts'
import type { FinishedRun, RecordStore } from './types.ts'

export interface HostingInit {
  readonly engine: CellEngine
  readonly records: RecordStore
  readonly store: FileStore
  readonly blobs: BlobService
  readonly access: BlobAccess
  readonly facts: ModuleFactsCache
  readonly capacity: HostCapacity
  readonly self: PeerKey
  readonly clock: Clock
  readonly log: Logger
  readonly onFinished: (run: FinishedRun) => void
  /** Called when the number or the phase of hosted cells changes. */
  readonly onChange: () => void
}

/** Does what owners ask of running cells; see `host-moves.ts`. */
export interface CommandPort {
  command(hosted: HostedCell, command: Command, init: { readonly signal: AbortSignal }): Promise<CommandResult>
  /** A move has the say over this cell. */
  inMove(cell: string): boolean
  /** Resolves when no move of the cell away from here is under way, or soon after `signal` aborts, which gives it up. */
  settledMoves(cell: string, signal: AbortSignal): Promise<void>
  /** The cell is over here, as far as this epoch is concerned. */
  ended(cell: string, epoch: number): void
}

/** The longest a module that is not here any more may take to come from the owner. */
const FETCH_TIMEOUT_MS = 120_000

/** Predicted time of a cell that said nothing about itself, for the backlog. */
const UNKNOWN_RUN_MS = 1_000
/** Between two tries to keep what the disk did not take. */
const KEEP_MS = 250
const KEEP_MAX_MS = 5_000

export class Hosting implements Startable {
  readonly init: HostingInit
  readonly #cells = new Map<string, HostedCell>()
  /** Programs whose end somebody waits for. */
  readonly #watched = new WeakSet<CellHandle>()
  readonly #modules = new Map<string, WeakRef<Uint8Array>>()
  #placement: Placement | undefined
  #tasks: Tasks | undefined
  /** What an earlier life left is here and settled. Before that nobody is told what is held here, and nothing is taken in. */
  isSettled = false
  draining = false
  commands: CommandPort | undefined

  constructor(init: HostingInit) {
    this.init = init
  }

  attach(placement: Placement, commands: CommandPort): void {
    this.#placement = placement
    this.commands = commands
  }

  /** Takes up the records of an earlier life: results are reported again, programs that ran are gone with their process. */
  async start(): Promise<void> {
    if (this.#tasks !== undefined) return
    const { records, clock, log } = this.init
    this.#tasks = new Tasks({ onError: (error, name) => log.error('%s: %e', name, error) })
    for (const [cell, bytes] of await records.list()) {
      const saved = decodeHosted(cell, bytes)
      const { manifest } = await openManifest(saved.signed)
      const outbox = restoreOutbox(saved.outbox, clock.now())
      const record = { ...saved, outbox: encodeOutbox(outbox) }
      // Before it is reported: the next life must be a later one, whatever a clock says then that was set back.
      await records.put(cell, encodeHosted(record)).catch((error: unknown) => {
        log.error('cell %s is reported about in a life that cannot be kept: %e', cell, error)
      })
      const hosted = this.add(record, manifest, outbox)
      hosted.hasSaidLast = !isActive(hosted)
      if (record.phase === 'ended') this.#allowResults(hosted)
    }
  }

  /** Cells of an earlier life whose program is gone with its process, and that no move brings back. */
  async settle(inMove: (cell: string) => boolean): Promise<void> {
    for (const hosted of this.active()) {
      if (hosted.handle === undefined && !inMove(hosted.record.cell))
        await this.lose(hosted, 'its host was restarted while it ran it')
    }
    this.isSettled = true
  }

  /** Takes no more cells, ends those that run, and tells their authorities, as far as `signal` allows. */
  async drain(signal: AbortSignal): Promise<void> {
    this.draining = true
    await Promise.all(
      this.active().map(async ({ record: { cell } }) => {
        // What is just leaving is saved by that, and what comes back from a move is another record of the cell.
        await this.commands?.settledMoves(cell, signal)
        const hosted = this.#cells.get(cell)
        if (hosted === undefined || !isActive(hosted)) return
        // Its move goes on from the journal when this peer is back, or has handed it over already.
        if (hosted.handle === undefined && this.commands?.inMove(hosted.record.cell)) return
        await this.lose(hosted, 'its host went down')
        await hosted.handle?.kill()
        await hosted.reporter.drained({ signal }).catch(() => undefined)
      }),
    )
  }

  async stop(): Promise<void> {
    const tasks = this.#tasks
    this.#tasks = undefined
    this.isSettled = false
    for (const hosted of this.#cells.values()) {
      hosted.cancel.abort(new CodedError('STOPPED', 'the peer is going down'))
      await hosted.reporter.stop()
    }
    await tasks?.stop()
    this.#cells.clear()
  }

  get(cell: string): HostedCell | undefined {
    return this.#cells.get(cell)
  }

  all(): readonly HostedCell[] {
    return [...this.#cells.values()]
  }

  active(): readonly HostedCell[] {
    return this.all().filter(isActive)
  }

  backlogMs(): number {
    return Math.max(0, this.active().length - this.init.capacity.slots) * UNKNOWN_RUN_MS
  }

  /** What is free beside the cells that run or are starting, were they to take all that they may. */
  room(): Room {
    return roomBeside(this.init.capacity, this.active())
  }

  /** Holds a cell and begins to report about it; replaces an older epoch of the same cell. */
  add(record: HostedRecord, manifest: CellManifest, outbox: Outbox): HostedCell {
    const placement = this.#placement
    if (placement === undefined) throw new Error('hosting was not attached to a placement service')
    const reporter = placement.reporter({
      cell: record.cell,
      authority: manifest.owner,
      outbox,
      onProgress: (now) => this.#onProgress(hosted, now),
      onRefused: () => this.#onProgress(hosted, { ...outbox, closed: 'over' }),
    })
    const hosted: HostedCell = { record, manifest, reporter, cancel: new AbortController() }
    this.#cells.set(record.cell, hosted)
    this.init.onChange()
    return hosted
  }

  /** Holds a cell from an image or under another epoch: durable first; what was held of it before reports no more. */
  async replace(held: Omit<HostedRecord, 'outbox'>, manifest: CellManifest, outbox: Outbox): Promise<HostedCell> {
    const next = this.#later(held, outbox)
    const record = { ...held, outbox: encodeOutbox(next) }
    await this.init.records.put(record.cell, encodeHosted(record))
    const { hosted, before } = this.#succeed(held, manifest, next)
    await before?.reporter.stop()
    return hosted
  }

  /** In the same epoch reports go on in a later life, whatever a clock says that was set back. */
  #later({ cell, epoch }: Pick<HostedRecord, 'cell' | 'epoch'>, outbox: Outbox): Outbox {
    const before = this.#cells.get(cell)
    const last = before?.record.epoch === epoch ? before.reporter.outbox.life : -1
    return { ...outbox, life: Math.max(outbox.life, last + 1) }
  }

  #succeed(
    held: Omit<HostedRecord, 'outbox'>,
    manifest: CellManifest,
    outbox: Outbox,
  ): { readonly hosted: HostedCell; readonly before: HostedCell | undefined } {
    const before = this.#cells.get(held.cell)
    const next = this.#later(held, outbox)
    const hosted = this.add({ ...held, outbox: encodeOutbox(next) }, manifest, next)
    if (before?.cancel.signal.aborted) hosted.cancel.abort(before.cancel.signal.reason)
    return { hosted, before }
  }

  /** Holds a cell that just came, from now on; that it is here is durable once `save` has written it. */
  adopt(held: Omit<HostedRecord, 'outbox'>, manifest: CellManifest, outbox: Outbox): HostedCell {
    const { hosted, before } = this.#succeed(held, manifest, outbox)
    this.#run('ending older reports', async () => before?.reporter.stop())
    return hosted
  }

  /** Makes room for a program that comes in parts. */
  async receive(cell: string, manifest: CellManifest, module: Uint8Array): Promise<ArrivingCell> {
    const limits = this.limitsOf(manifest)
    return this.init.engine.receive(cell, manifest.owner, module, limits, this.eventsOf(cell), modeOf(manifest))
  }

  /** A program as its kept parts have it, suspended. Rejects with `MIGRATION_IMAGE_LOST` when they are damaged. */
  async restore(cell: string, manifest: CellManifest, image: KeptImage): Promise<CellHandle> {
    const module = await this.module(manifest.module, [manifest.owner], AbortSignal.timeout(FETCH_TIMEOUT_MS))
    const arriving = await this.receive(cell, manifest, module)
    try {
      for await (const part of image.parts()) await arriving.add(part)
      return await arriving.finish()
    } catch (error) {
      await arriving.abandon()
      // The program may refuse what is damaged long before the end, where the root says that it is.
      for await (const _ of image.parts());
      throw error
    }
  }

  /** Makes a changed record durable, then valid. */
  save(hosted: HostedCell, change: Partial<HostedRecord>): Promise<void> {
    // One after the other: a change builds on the one before it.
    const saved = (hosted.saving ?? Promise.resolve())
      .catch(() => undefined)
      .then(async () => {
        // What is held no more must not come back with a late write.
        if (this.#cells.get(hosted.record.cell) !== hosted) return
        const record = { ...hosted.record, ...change }
        await this.init.records.put(record.cell, encodeHosted(record))
        hosted.record = record
        this.init.onChange()
      })
    hosted.saving = saved
    return saved
  }

  /** The module's bytes, the same array for the same module as long as somebody holds it. */
  async module(cid: string, holders: readonly PeerKey[], signal: AbortSignal): Promise<Uint8Array> {
    const known = this.#modules.get(cid)?.deref()
    if (known !== undefined) return known
    const bytes = await this.init.blobs.get(cid, holders, { signal })
    this.#modules.set(cid, new WeakRef(bytes))
    return bytes
  }

  /** Output goes to the cell's authority in the epoch that is current when it is written. */
  eventsOf(cell: string): CellEvents {
    return {
      onOutput: (stream, offset, bytes) =>
        this.#cells.get(cell)?.reporter.append({ kind: 'output', stream, offset, bytes }),
    }
  }

  /** From now on the program is here: its end will be reported, unless a move holds it then. */
  watch(hosted: HostedCell, handle: CellHandle): void {
    hosted.handle = handle
    if (this.#watched.has(handle)) return
    this.#watched.add(handle)
    this.#tasks?.run('waiting for the end of a cell', async (signal) => {
      const exit = await abortable(handle.ended, signal)
      this.#watched.delete(handle)
      // A program that was moved away ends here by being discarded: that is no end.
      const now = this.#cells.get(hosted.record.cell)
      if (now?.handle === handle && isActive(now)) await this.#onEnd(now, exit)
    })
  }

  /** Reports an end that the program did not come to by itself. */
  async lose(hosted: HostedCell, why: string): Promise<void> {
    await this.#end(hosted, { kind: 'failed', code: 'CELL_HOST_DIED', message: why })
  }

  /** Ends a cell for its owner while no program of it is here. */
  async kill(hosted: HostedCell): Promise<void> {
    await this.#end(hosted, { kind: 'killed' })
  }

  /** The cell's last word from here, which its record has already; until it is said the cell is not done with. */
  sayLast(hosted: HostedCell, event: CellEvent): void {
    hosted.reporter.append(event)
    hosted.hasSaidLast = true
  }

  /** Forgets a cell whose story is told. */
  async drop(hosted: HostedCell): Promise<void> {
    const { cell } = hosted.record
    if (this.#cells.get(cell) !== hosted) return
    this.#cells.delete(cell)
    hosted.cancel.abort(new CodedError('STOPPED', 'the cell is over'))
    await hosted.handle?.kill()
    await hosted.reporter.stop()
    this.init.access.forget(cell)
    await this.init.records.remove(cell)
    this.commands?.ended(cell, hosted.record.epoch)
    this.init.onChange()
  }

  /** Begins to run a cell that is held; how that goes is reported. */
  launch(hosted: HostedCell, holders: readonly PeerKey[]): void {
    this.#run('starting a cell', () => this.#launch(hosted, holders))
  }

  async #launch(hosted: HostedCell, holders: readonly PeerKey[]): Promise<void> {
    const { manifest, reporter, cancel } = hosted
    const { engine } = this.init
    const { signal } = cancel
    let handle: CellHandle | undefined
    try {
      reporter.append({ kind: 'fetching' })
      const module = await this.module(manifest.module, holders, signal)
      const program = await programOf(manifest, module, this.limitsOf(manifest), this.#fetching(holders, signal))
      signal.throwIfAborted()
      handle = await engine.launch(hosted.record.cell, manifest.owner, program, this.eventsOf(hosted.record.cell))
      signal.throwIfAborted()
      await this.save(hosted, { phase: 'running' })
      signal.throwIfAborted()
      reporter.append({ kind: 'running' })
      this.watch(hosted, handle)
    } catch (error) {
      await handle?.kill()
      if (this.#tasks === undefined || this.#cells.get(hosted.record.cell) !== hosted || !isActive(hosted)) return
      if (signal.aborted) return this.#end(hosted, { kind: 'killed' })
      await this.#end(hosted, {
        kind: 'failed',
        code: isCoded(error) ? error.code : 'CELL_FAILED',
        message: messageOf(error),
      })
    }
  }

  #fetching(holders: readonly PeerKey[], signal: AbortSignal): Fetching {
    const { blobs, store } = this.init
    return {
      bytes: ({ cid, bytes: maxBytes }) => blobs.get(cid, holders, { signal, maxBytes }),
      file: async ({ cid, bytes: maxBytes }) => {
        await blobs.fetch(cid, holders, { signal, maxBytes })
        const file = store.fileOf(cid)
        if (file === undefined) throw blobUnknown(cid)
        return file
      },
    }
  }

  /** What the manifest allows, within what this peer allows. */
  limitsOf(manifest: CellManifest): CellManifest['limits'] {
    const { capacity } = this.init
    return { ...manifest.limits, wallMs: Math.min(manifest.limits.wallMs, capacity.wallMs) }
  }

  async #onEnd(hosted: HostedCell, exit: CellExit): Promise<void> {
    if (exit.kind !== 'exited') return this.#end(hosted, exit)
    const { manifest } = hosted
    const occupancy = this.active().length / Math.max(1, this.init.capacity.slots)
    let files: readonly ResultFile[]
    try {
      files = await keptResults(exit, manifest.outputs, this.init.store)
    } catch (error) {
      const message = `its results cannot be kept: ${messageOf(error)}`
      return this.#end(hosted, {
        kind: 'failed',
        code: isCoded(error) ? error.code : 'CELL_FAILED',
        message,
        usage: exit.usage,
      })
    }
    this.init.access.allow(
      hosted.record.cell,
      manifest.owner,
      files.map((file) => file.cid),
    )
    await this.#end(hosted, { kind: 'finished', exitCode: exit.exitCode, files, usage: exit.usage })
    await this.#learn(hosted, exit, occupancy)
  }

  /** The end is on the disk before it is told: a restart tells it again. */
  async #end(hosted: HostedCell, event: Extract<CellEvent, { kind: 'finished' | 'failed' | 'killed' }>): Promise<void> {
    const outbox = encodeOutbox(appendEvent(hosted.reporter.outbox, event, this.init.clock.now()))
    await this.#keep(hosted, { phase: 'ended', outbox })
    this.sayLast(hosted, event)
    this.commands?.ended(hosted.record.cell, hosted.record.epoch)
  }

  /** Insists: a disk that is full now has room again some day, and until then the end is only known here. */
  async #keep(hosted: HostedCell, change: Partial<HostedRecord>): Promise<void> {
    const { clock, log } = this.init
    for (let tries = 0; ; tries++) {
      try {
        return await this.save(hosted, change)
      } catch (error) {
        if (this.#tasks === undefined || this.draining) throw error
        if (tries === 0) log.error('the end of cell %s cannot be kept yet: %e', hosted.record.cell, error)
        await sleep(clock, Math.min(KEEP_MAX_MS, KEEP_MS * 2 ** tries), this.#tasks.signal)
      }
    }
  }

  async #learn(hosted: HostedCell, exit: Extract<CellExit, { kind: 'exited' }>, occupancy: number): Promise<void> {
    const { manifest } = hosted
    const { opcodeFeatures } = await this.init.facts.of(manifest.module, manifest)
    const inputBytes = manifest.inputs.reduce((sum, input) => sum + input.bytes, manifest.stdin?.bytes ?? 0)
    const { busyMs, wallMs } = exit.usage
    this.init.onFinished({
      manifest,
      opcodeFeatures,
      inputBytes,
      busyMs,
      wallMs,
      occupancy,
      moved: hosted.record.moved,
    })
  }

  #allowResults(hosted: HostedCell): void {
    for (const { event } of hosted.reporter.outbox.entries) {
      if (event.kind !== 'finished') continue
      this.init.access.allow(
        hosted.record.cell,
        hosted.manifest.owner,
        event.files.map((file) => file.cid),
      )
    }
  }

  #onProgress(hosted: HostedCell, outbox: Outbox): void {
    // The authority may know of a move's end before this peer does, and the move is not done with the cell.
    if (isActive(hosted) && hosted.handle === undefined && this.commands?.inMove(hosted.record.cell)) return
    const told = hosted.hasSaidLast === true && outbox.entries.length === 0
    if (told || outbox.closed !== undefined) this.#run('forgetting a cell', () => this.drop(hosted))
  }

  #run(name: string, work: () => Promise<void>): void {
    this.#tasks?.run(name, work)
  }
}
