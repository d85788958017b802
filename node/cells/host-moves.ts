// The cells of this peer as migration sees them: what leaves, what arrives, and what the owners ask of them meanwhile.
import type { CellEngine, CellEvents, CellHandle } from '../../cells/index.ts'
import { CodedError, messageOf } from '../../core/errors.ts'
import type { PeerKey } from '../../protocols/kit/types.ts'
import type {
  CellFate,
  CellImage,
  DestinationPort,
  Migration,
  MigrationResult,
  MoveOffer,
  ResolvedMove,
  SourcePort,
  SuspendedCell,
} from '../../protocols/migration/index.ts'
import {
  appendEvent,
  type CellManifest,
  type Claim,
  type Command,
  type CommandResult,
  encodeOutbox,
  openManifest,
  type Placement,
  type PlacementErrorCode,
  restoreOutbox,
  succeed,
} from '../../protocols/placement/index.ts'
import type { CellsErrorCode } from './errors.ts'
import { type HostedCell, isActive } from './hosted-cell.ts'
import type { CommandPort, Hosting } from './hosting.ts'

/** The longest a module that is not here any more may take to come from the owner. */
const FETCH_TIMEOUT_MS = 120_000

/** A cell on its way here: room is kept, the module compiled, and in the end the program restored, suspended. */
interface Arrival {
  readonly manifest: CellManifest
  readonly claim: Claim
  handle?: CellHandle
  /** Where its output goes once it is this peer's. */
  sink?: CellEvents
}

export class HostMoves implements CommandPort {
  readonly #hosting: Hosting
  readonly #engine: CellEngine
  readonly #arrivals = new Map<string, Arrival>()
  #migration: Migration | undefined
  #placement: Placement | undefined

  constructor(hosting: Hosting) {
    this.#hosting = hosting
    this.#engine = hosting.init.engine
  }

  attach(migration: Migration, placement: Placement): void {
    this.#migration = migration
    this.#placement = placement
    migration.onResolved((move) => this.#onResolved(move))
  }

  // -- what owners ask

  async command(hosted: HostedCell, command: Command): Promise<CommandResult> {
    switch (command.kind) {
      case 'stop':
        hosted.cancel.abort(new CodedError('STOPPED', 'stopped by its owner'))
        await hosted.handle?.kill()
        return { kind: 'done' }
      case 'migrate':
        return this.#migrate(hosted, command)
      case 'resolve': {
        if (this.#migration === undefined) throw notRunning(hosted)
        const result = await this.#migration.resolve(hosted.record.cell, command.decision)
        this.#tell(hosted, hosted.movingTo ?? '', result)
        return { kind: 'done' }
      }
      case 'read-file': {
        const bytes = await hosted.handle?.readFile(command.path)
        if (bytes === undefined) return { kind: 'file' }
        const cid = await this.#hosting.init.store.put(bytes)
        this.#hosting.init.access.allow(hosted.record.cell, hosted.manifest.owner, [cid])
        return { kind: 'file', cid, bytes: bytes.length }
      }
      case 'status': {
        const usage = isActive(hosted) ? await hosted.handle?.usage() : undefined
        const { phase, epoch } = hosted.record
        return { kind: 'status', phase, epoch, ...(usage === undefined ? {} : { usage }) }
      }
    }
  }

  async #migrate(hosted: HostedCell, command: Extract<Command, { kind: 'migrate' }>): Promise<CommandResult> {
    const { to, reservation } = command
    const migration = this.#migration
    if (migration === undefined || to === undefined || hosted.handle === undefined || hosted.record.phase !== 'running')
      throw notRunning(hosted)
    const { cell, epoch } = hosted.record
    this.#hosting.init.access.allow(cell, to, [hosted.manifest.module])
    hosted.movingTo = to
    const result = await migration.migrate(cell, to, { epoch, ...(reservation === undefined ? {} : { reservation }) })
    this.#tell(hosted, to, result)
    const { stopMs, transferMs, snapshotBytes } = result.timings
    return {
      kind: 'migrated',
      outcome: result.outcome,
      to,
      epoch: result.epoch,
      stopMs,
      transferMs,
      snapshotBytes,
      ...(result.reason === undefined ? {} : { reason: result.reason }),
    }
  }

  /** Reports how a move ended; that it was moved is reported with its figures, once it is known. */
  #tell(hosted: HostedCell, to: PeerKey, result: MigrationResult): void {
    const { stopMs, transferMs, snapshotBytes } = result.timings
    if (result.outcome === 'moved')
      hosted.reporter.append({ kind: 'moved', to, epoch: result.epoch, stopMs, transferMs, snapshotBytes })
    else if (result.outcome === 'in-doubt') hosted.reporter.append({ kind: 'in-doubt', to })
    if (result.outcome !== 'in-doubt') delete hosted.movingTo
  }

  #onResolved(move: ResolvedMove): void {
    const hosted = this.#hosting.get(move.cell)
    if (hosted === undefined || move.outcome !== 'moved') return
    hosted.reporter.append({ kind: 'moved', to: move.to, epoch: move.epoch })
  }

  // -- SourcePort

  readonly source: SourcePort = {
    describe: async (cell) => {
      const { hosted, handle } = this.#running(cell)
      const { bytes, signature } = hosted.record.signed
      const { module, moduleBytes } = hosted.manifest
      return { module, moduleBytes, manifest: bytes, signature, snapshotBytes: (await handle.usage()).memoryBytes }
    },
    suspend: async (cell, { signal }): Promise<SuspendedCell> => {
      const { hosted, handle } = this.#running(cell)
      const { movingTo } = hosted
      hosted.reporter.append({ kind: 'suspended', ...(movingTo === undefined ? {} : { to: movingTo }) })
      try {
        const { bytes, packMs } = await handle.suspend({ signal })
        const stoppedAt = this.#hosting.init.clock.mono() - packMs
        return { snapshot: bytes, context: encodeOutbox(hosted.reporter.outbox), stoppedAt }
      } catch (error) {
        hosted.reporter.append({ kind: 'running', reason: messageOf(error) })
        throw error
      }
    },
    resume: (cell, epoch, image) => this.#resume(cell, epoch, image),
    discard: (cell, fate) => this.#discard(cell, fate),
  }

  async #resume(cell: string, epoch: number, image: () => Promise<CellImage>): Promise<void> {
    const hosted = this.#hosting.get(cell)
    if (hosted === undefined) throw unknown(cell)
    const reason = 'the move came to nothing'
    if (epoch !== hosted.record.epoch) {
      const now = this.#hosting.init.clock.now()
      const outbox = succeed(hosted.reporter.outbox, epoch, now)
      const again = this.#hosting.add({ ...hosted.record, epoch, phase: 'running' }, hosted.manifest, outbox)
      if (hosted.handle !== undefined) again.handle = hosted.handle
      await hosted.reporter.stop()
      await this.#hosting.save(again, { phase: 'running' })
      return this.#goOn(again, image, reason)
    }
    return this.#goOn(hosted, image, reason)
  }

  /** In place when the program is still here, else from its image. */
  async #goOn(hosted: HostedCell, image: () => Promise<CellImage>, reason: string): Promise<void> {
    if (hosted.handle === undefined) {
      const events = this.#hosting.eventsOf(hosted)
      const handle = await this.#restore(hosted.record.cell, hosted.manifest, await image(), events)
      this.#hosting.watch(hosted, handle)
    }
    await hosted.handle?.resumeHere()
    hosted.reporter.append({ kind: 'running', reason })
  }

  /** The program as it was, suspended. */
  async #restore(cell: string, manifest: CellManifest, image: CellImage, events: CellEvents): Promise<CellHandle> {
    const { owner } = manifest
    const module = await this.#hosting.module(manifest.module, [owner], AbortSignal.timeout(FETCH_TIMEOUT_MS))
    const limits = this.#hosting.limitsOf(manifest)
    return this.#engine.resume(cell, owner, module, image.snapshot, limits, events, { paused: true })
  }

  async #discard(cell: string, fate: CellFate): Promise<void> {
    const hosted = this.#hosting.get(cell)
    if (hosted === undefined || hosted.record.phase === 'gone') return
    const event = fate.kind === 'moved' ? ({ ...fate, kind: 'moved' } as const) : ({ kind: 'killed' } as const)
    const { reporter, handle } = hosted
    const outbox = encodeOutbox(appendEvent(reporter.outbox, event, this.#hosting.init.clock.now()))
    await this.#hosting.save(hosted, { phase: 'gone', outbox })
    delete hosted.handle
    await handle?.discard()
    // A move that somebody waits for is reported by `#tell`, with its figures.
    if (fate.kind === 'dropped' || hosted.movingTo === undefined) reporter.append(event)
  }

  #running(cell: string): { hosted: HostedCell; handle: NonNullable<HostedCell['handle']> } {
    const hosted = this.#hosting.get(cell)
    if (hosted === undefined) throw unknown(cell)
    const { handle } = hosted
    if (handle === undefined || hosted.record.phase !== 'running') throw notRunning(hosted)
    return { hosted, handle }
  }

  // -- DestinationPort

  readonly destination: DestinationPort = {
    prepare: (offer, from, { signal }) => this.#prepare(offer, from, signal),
    load: (offer, _from, image) => this.#arrive(offer, image),
    activate: (offer, _from, image) => this.#activate(offer, image),
    unload: async (offer) => {
      const arrival = this.#arrivals.get(offer.attempt)
      this.#arrivals.delete(offer.attempt)
      arrival?.claim.settle()
      await arrival?.handle?.kill()
    },
  }

  async #prepare(offer: MoveOffer, from: PeerKey, signal: AbortSignal): Promise<void> {
    const { cell, manifest } = await openManifest({ bytes: offer.manifest, signature: offer.signature })
    if (cell !== offer.cell || manifest.module !== offer.module)
      throw refuse('MANIFEST_FORGED', 'the manifest is of another cell')
    const held = this.#hosting.get(cell)
    if (held !== undefined && (isActive(held) || held.record.epoch >= offer.epoch))
      throw refuse('STALE_EPOCH', 'this peer holds the cell already')
    const { cellMemoryBytes } = this.#hosting.init.capacity
    if (manifest.limits.memoryBytes > cellMemoryBytes)
      throw refuse('CONSTRAINT', `a cell may have ${cellMemoryBytes} bytes of memory here`)
    const claim = this.#claim(cell, manifest, offer.reservation)
    try {
      const module = await this.#hosting.module(manifest.module, [from, manifest.owner], signal)
      await this.#engine.prepare(module, manifest.owner, this.#hosting.limitsOf(manifest))
    } catch (error) {
      claim.settle()
      throw error
    }
    this.#arrivals.set(offer.attempt, { manifest, claim })
  }

  #claim(cell: string, manifest: CellManifest, reservation: string): Claim {
    if (this.#placement === undefined) throw new Error('moves were not attached to a placement service')
    const { memoryBytes, diskBytes } = manifest.limits
    return this.#placement.claim(
      cell,
      { slots: 1, memoryBytes, diskBytes },
      reservation === '' ? undefined : reservation,
    )
  }

  async #arrive(offer: MoveOffer, image: CellImage): Promise<void> {
    const arrival = this.#arrivals.get(offer.attempt)
    if (arrival === undefined) throw refuse('CELL_UNKNOWN', 'nothing was prepared for this cell')
    const events: CellEvents = { onOutput: (stream, offset, bytes) => arrival.sink?.onOutput(stream, offset, bytes) }
    arrival.handle = await this.#restore(offer.cell, arrival.manifest, image, events)
  }

  async #activate(offer: MoveOffer, image: () => Promise<CellImage>): Promise<void> {
    const { cell, epoch } = offer
    const held = this.#hosting.get(cell)
    if (held !== undefined && held.record.epoch >= epoch && held.handle !== undefined) return
    const signed = { bytes: offer.manifest, signature: offer.signature }
    const arrival = this.#arrivals.get(offer.attempt)
    this.#arrivals.delete(offer.attempt)
    const manifest = arrival?.manifest ?? (await openManifest(signed)).manifest
    const now = this.#hosting.init.clock.now()
    const outbox = succeed(restoreOutbox((await image()).context, now), epoch, now)
    const hosted = this.#hosting.add({ cell, epoch, phase: 'running', signed, moved: true }, manifest, outbox)
    arrival?.claim.settle()
    const events = this.#hosting.eventsOf(hosted)
    if (arrival !== undefined) arrival.sink = events
    const handle = arrival?.handle ?? (await this.#restore(cell, manifest, await image(), events))
    this.#hosting.watch(hosted, handle)
    await handle.resumeHere()
    // The journal of moves has the image: were this to be lost, the cell would be activated again.
    await this.#hosting.save(hosted, { outbox: encodeOutbox(hosted.reporter.outbox) })
    hosted.reporter.append({ kind: 'running' })
  }
}

function unknown(cell: string): CodedError<PlacementErrorCode> {
  return new CodedError('CELL_UNKNOWN', `no cell ${cell} is held here`)
}

function notRunning(hosted: HostedCell): CodedError<CellsErrorCode> {
  const { cell, phase } = hosted.record
  return new CodedError(
    'CELL_NOT_RUNNING',
    `cell ${cell.slice(0, 12)} is ${phase} here: it cannot be moved or decided about`,
  )
}

function refuse(code: PlacementErrorCode, reason: string): CodedError<PlacementErrorCode> {
  return new CodedError(code, reason)
}
