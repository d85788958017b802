// What owners ask of the cells that run here, and how moves away from here end.
import { CodedError, messageOf } from '../../core/errors.ts'
import { abortable } from '../../core/lifecycle.ts'
import type { PeerKey } from '../../protocols/kit/types.ts'
import type {
  DestinationPort,
  Migration,
  MigrationErrorCode,
  MigrationResult,
  ResolvedMove,
  SourcePort,
} from '../../protocols/migration/index.ts'
import type { Command, CommandResult, Placement } from '../../protocols/placement/index.ts'
import { Arrivals } from './arrivals.ts'
import { Departures } from './departures.ts'
import { type HostedCell, isActive, notMigratable, notRunning } from './hosted-cell.ts'
import type { CommandPort, Hosting } from './hosting.ts'
import { modeOf } from './module-facts.ts'
import { keptFile } from './program.ts'

/** What an answer to the owner takes; a destination's own reason may be as long, and more is said around it. */
const MAX_REASON_CHARS = 512

/** A move that was given up is over by then, unless the cell was handed over: the journal goes on with that at the next start. */
const GIVE_UP_MS = 2_000

/** A move that somebody asked for and that has no end yet. */
interface Moving {
  readonly cancel: AbortController
  readonly result: Promise<MigrationResult>
}

export class HostMoves implements CommandPort {
  readonly #hosting: Hosting
  readonly #departures: Departures
  readonly #arrivals: Arrivals
  readonly #moving = new Map<string, Moving>()
  #migration: Migration | undefined

  constructor(hosting: Hosting) {
    this.#hosting = hosting
    this.#departures = new Departures(hosting)
    this.#arrivals = new Arrivals(hosting)
  }

  get source(): SourcePort {
    return this.#departures
  }

  get destination(): DestinationPort {
    return this.#arrivals
  }

  attach(migration: Migration, placement: Placement): void {
    this.#migration = migration
    this.#arrivals.attach(placement)
    migration.onResolved((move) => this.#onResolved(move))
  }

  /** After the start of both: ends what nothing brings back, lets go of what has ended, says again what is in doubt. */
  async settle(): Promise<void> {
    await this.#hosting.settle((cell) => this.inMove(cell))
    for (const { cell, phase, epoch, peer } of this.#migration?.list() ?? []) {
      const hosted = this.#hosting.get(cell)
      // Its owner may not have heard of that before this peer went down, and only who knows can decide.
      if (phase === 'in-doubt') hosted?.reporter.append({ kind: 'in-doubt', to: peer })
      if (phase === 'active' && (hosted === undefined || !isActive(hosted))) this.ended(cell, epoch)
    }
  }

  inMove(cell: string): boolean {
    const status = this.#migration?.status(cell)
    return status !== undefined && status.phase !== 'active'
  }

  async settledMoves(cell: string, signal: AbortSignal): Promise<void> {
    const moving = this.#moving.get(cell)
    if (moving === undefined) return
    const over = moving.result.catch(() => undefined)
    await abortable(over, signal).catch(() => undefined)
    if (!signal.aborted) return
    moving.cancel.abort(new CodedError('STOPPED', 'its host goes down'))
    await abortable(over, AbortSignal.timeout(GIVE_UP_MS)).catch(() => undefined)
  }

  /** The image with which it came here is of no use any more. */
  ended(cell: string, epoch: number): void {
    this.#migration?.forget(cell, epoch).catch((error: unknown) => {
      this.#hosting.init.log.error('cell %s cannot be forgotten yet: %s', cell, messageOf(error))
    })
  }

  async command(hosted: HostedCell, command: Command): Promise<CommandResult> {
    switch (command.kind) {
      case 'stop':
        return this.#stop(hosted)
      case 'migrate':
        return this.#migrate(hosted, command)
      case 'resolve': {
        if (this.#migration === undefined) throw notRunning(hosted)
        return this.#resolve(hosted.record.cell, command.decision, this.#migration)
      }
      case 'read-file': {
        const file = await this.#departures.handleOf(hosted)?.readFile(command.path)
        if (file === undefined) return { kind: 'file' }
        const { cid, bytes } = await keptFile(file, this.#hosting.init.store)
        this.#hosting.init.access.allow(hosted.record.cell, hosted.manifest.owner, [cid])
        return { kind: 'file', cid, bytes }
      }
      case 'write-stdin': {
        const { handle, record } = hosted
        if (handle === undefined || record.phase !== 'running') throw notRunning(hosted)
        const { at, bytes, end } = command
        return { kind: 'stdin', ...(await handle.writeStdin({ at, bytes, end })) }
      }
      case 'status': {
        const usage = isActive(hosted) ? await this.#departures.handleOf(hosted)?.usage() : undefined
        const { phase, epoch } = hosted.record
        return { kind: 'status', phase, epoch, ...(usage === undefined ? {} : { usage }) }
      }
    }
  }

  /** What comes of it is told like the end of every move that was in doubt. */
  async #resolve(cell: string, decision: 'resume' | 'drop', migration: Migration): Promise<CommandResult> {
    const to = migration.status(cell)?.peer ?? this.#hosting.init.self
    const { outcome, epoch, reason } = await migration.resolve(cell, decision)
    if (outcome !== 'in-doubt') return { kind: 'migrated', outcome, to, epoch }
    const code: MigrationErrorCode = 'MIGRATION_JOURNAL_FAILED'
    throw new CodedError(code, `cell ${cell.slice(0, 12)} is still in doubt: ${reason ?? 'nothing was decided'}`)
  }

  /** A move that has not handed the cell over is given up first; one that has leaves nothing here to stop. */
  async #stop(hosted: HostedCell): Promise<CommandResult> {
    const { cell } = hosted.record
    const moving = this.#moving.get(cell)
    moving?.cancel.abort(new CodedError('STOPPED', 'its owner stops it'))
    await moving?.result.catch(() => undefined)
    const now = this.#hosting.get(cell)
    if (now === undefined || now.record.phase === 'gone') throw notRunning(hosted)
    const move = this.#migration?.status(cell)?.phase
    if (move === 'in-doubt') throw notRunning(now, 'in doubt: decide that first, "drop" ends it')
    // It is another peer's already: that this one has not written so yet must not end it there.
    if (move === 'deciding' || move === 'discarding') throw notRunning(now, 'leaving')
    now.cancel.abort(new CodedError('STOPPED', 'stopped by its owner'))
    if (now.handle !== undefined) await now.handle.kill()
    // A move that cannot bring it back, however often it is tried, must not keep it alive either.
    else if (this.inMove(cell) && isActive(now)) await this.#hosting.kill(now)
    return { kind: 'done' }
  }

  async #migrate(hosted: HostedCell, command: Extract<Command, { kind: 'migrate' }>): Promise<CommandResult> {
    const { to, reservation } = command
    const migration = this.#migration
    if (migration === undefined || to === undefined || !isActive(hosted)) throw notRunning(hosted)
    const { cell } = hosted.record
    const { engine, migratable } = modeOf(hosted.manifest)
    if (!migratable) throw notMigratable(cell, engine)
    this.#hosting.init.access.allow(cell, to, [hosted.manifest.module])
    const result = await this.#moved(hosted, to, migration, reservation)
    const { prepareMs: _, ...figures } = result.figures
    if (result.outcome === 'moved')
      this.#hosting.sayLast(hosted, { kind: 'moved', to, epoch: result.epoch, ...figures })
    else if (result.outcome === 'in-doubt') hosted.reporter.append({ kind: 'in-doubt', to })
    if (result.outcome !== 'in-doubt') delete hosted.movingTo
    return {
      kind: 'migrated',
      outcome: result.outcome,
      to,
      epoch: result.epoch,
      ...figures,
      ...(result.reason === undefined ? {} : { reason: result.reason.slice(0, MAX_REASON_CHARS) }),
      ...(result.byDestination === undefined ? {} : { byDestination: result.byDestination }),
    }
  }

  async #moved(
    hosted: HostedCell,
    to: PeerKey,
    migration: Migration,
    reservation: string | undefined,
  ): Promise<MigrationResult> {
    const { cell, epoch } = hosted.record
    const { movingTo } = hosted
    const cancel = new AbortController()
    hosted.movingTo = to
    const init = { epoch, signal: cancel.signal, ...(reservation === undefined ? {} : { reservation }) }
    const moving = { cancel, result: migration.migrate(cell, to, init) }
    if (!this.#moving.has(cell)) this.#moving.set(cell, moving)
    try {
      return await moving.result
    } catch (error) {
      // Not begun, or back here and stuck: what was under way before is as it was.
      if (movingTo === undefined) delete hosted.movingTo
      else hosted.movingTo = movingTo
      throw error
    } finally {
      if (this.#moving.get(cell) === moving) this.#moving.delete(cell)
    }
  }

  #onResolved(move: ResolvedMove): void {
    const hosted = this.#hosting.get(move.cell)
    // Where nobody waited for this move, it was told when the cell was discarded.
    if (hosted?.movingTo === undefined) return
    delete hosted.movingTo
    if (move.outcome === 'moved') this.#hosting.sayLast(hosted, { kind: 'moved', to: move.to, epoch: move.epoch })
  }
}
