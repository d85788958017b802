// Cells that leave this peer, as migration sees them: suspended, taken up again in place or from their image, or given away.
import type { CellHandle } from '../../cells/index.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import type { CellFate, CellImage, SourcePort, SuspendedCell } from '../../protocols/migration/index.ts'
import {
  appendEvent,
  encodeOutbox,
  type Outbox,
  type PlacementErrorCode,
  restoreOutbox,
  succeed,
} from '../../protocols/placement/index.ts'
import { type HostedCell, isActive, notRunning } from './hosted-cell.ts'
import type { Hosting } from './hosting.ts'

/** A program that a move holds: its end is nobody's business until it is known where the cell is. */
interface Held {
  readonly handle: CellHandle
  /** Restored from an image: the reports that were not taken when it was made. */
  readonly outbox?: Outbox
}

export class Departures implements SourcePort {
  readonly #hosting: Hosting
  readonly #held = new Map<string, Held>()

  constructor(hosting: Hosting) {
    this.#hosting = hosting
  }

  /** The program, also while a move holds it. */
  handleOf(hosted: HostedCell): CellHandle | undefined {
    return hosted.handle ?? this.#held.get(hosted.record.cell)?.handle
  }

  async describe(cell: string): ReturnType<SourcePort['describe']> {
    const { hosted, handle } = this.#running(cell)
    const { bytes, signature } = hosted.record.signed
    const { module, moduleBytes } = hosted.manifest
    return { module, moduleBytes, manifest: bytes, signature, snapshotBytes: (await handle.usage()).memoryBytes }
  }

  async suspend(cell: string, { signal }: { readonly signal: AbortSignal }): Promise<SuspendedCell> {
    const { hosted, handle } = this.#running(cell)
    const { movingTo } = hosted
    hosted.reporter.append({ kind: 'suspended', ...(movingTo === undefined ? {} : { to: movingTo }) })
    // From here on its host process may die: what is left of the cell is the image.
    delete hosted.handle
    this.#held.set(cell, { handle })
    try {
      const { bytes, packMs } = await handle.suspend({ signal })
      const stoppedAt = this.#hosting.init.clock.mono() - packMs
      return { snapshot: bytes, context: encodeOutbox(hosted.reporter.outbox), stoppedAt }
    } catch (error) {
      this.#held.delete(cell)
      if (!isCoded(error, 'CELL_ENDED')) hosted.reporter.append({ kind: 'running', reason: messageOf(error) })
      this.#hosting.watch(hosted, handle)
      throw error
    }
  }

  async resume(cell: string, epoch: number, image: () => Promise<CellImage>): Promise<void> {
    const hosted = this.#hosting.get(cell)
    // Its end was told or is being told, or it came back under a higher epoch: there is nothing to take up.
    if (hosted === undefined || !isActive(hosted) || hosted.record.epoch > epoch) return this.#release(cell)
    if (hosted.handle !== undefined && hosted.record.epoch === epoch) return
    const held = this.#held.get(cell) ?? (await this.#restored(hosted, epoch, image))
    const now = await this.#underEpoch(hosted, epoch, held)
    try {
      await held.handle.resumeHere()
    } catch (error) {
      // The next try takes the image.
      await this.#release(cell)
      throw error
    }
    this.#held.delete(cell)
    this.#hosting.watch(now, held.handle)
    now.reporter.append({ kind: 'running', reason: 'the move came to nothing' })
    if (now.cancel.signal.aborted) await held.handle.kill()
    // Meanwhile its authority has said that it wants nothing of it any more.
    if (now.reporter.outbox.closed !== undefined) await this.#hosting.drop(now)
  }

  async discard(cell: string, fate: CellFate): Promise<void> {
    const hosted = this.#hosting.get(cell)
    if (hosted !== undefined && hosted.record.epoch < fate.epoch) {
      if (isActive(hosted)) await this.#giveAway(hosted, fate)
      const { handle } = hosted
      delete hosted.handle
      if (handle !== undefined) await discarded(handle)
    }
    await this.#release(cell)
  }

  async #giveAway(hosted: HostedCell, fate: CellFate): Promise<void> {
    const event = fate.kind === 'moved' ? ({ ...fate, kind: 'moved' } as const) : ({ kind: 'killed' } as const)
    const { reporter } = hosted
    const outbox = encodeOutbox(appendEvent(reporter.outbox, event, this.#hosting.init.clock.now()))
    await this.#hosting.save(hosted, { phase: 'gone', outbox })
    // A move that somebody waits for is reported when it is answered, with its figures.
    if (fate.kind === 'dropped' || hosted.movingTo === undefined) this.#hosting.sayLast(hosted, event)
    // The authority knows already where it is, and takes no more reports from here.
    if (reporter.outbox.closed !== undefined) await this.#hosting.drop(hosted)
  }

  async #restored(hosted: HostedCell, epoch: number, image: () => Promise<CellImage>): Promise<Held> {
    const { cell } = hosted.record
    const { snapshot, context } = await image()
    const now = this.#hosting.init.clock.now()
    const outbox = succeed(restoreOutbox(context, now), epoch, now)
    const held = { handle: await this.#hosting.restore(cell, hosted.manifest, snapshot), outbox }
    this.#held.set(cell, held)
    return held
  }

  /** What it reports as from now on: anew under another epoch, or with what came along with its image. */
  async #underEpoch(hosted: HostedCell, epoch: number, { outbox }: Held): Promise<HostedCell> {
    if (outbox === undefined && hosted.record.epoch === epoch) return hosted
    const next = outbox ?? succeed(hosted.reporter.outbox, epoch, this.#hosting.init.clock.now())
    return this.#hosting.replace({ ...hosted.record, epoch, phase: 'running' }, hosted.manifest, next)
  }

  async #release(cell: string): Promise<void> {
    const held = this.#held.get(cell)
    this.#held.delete(cell)
    if (held !== undefined) await discarded(held.handle)
  }

  #running(cell: string): { hosted: HostedCell; handle: CellHandle } {
    const hosted = this.#hosting.get(cell)
    if (hosted === undefined) throw new CodedError<PlacementErrorCode>('CELL_UNKNOWN', `no cell ${cell} is held here`)
    const { handle } = hosted
    if (handle === undefined || hosted.record.phase !== 'running') throw notRunning(hosted)
    return { hosted, handle }
  }
}

/** Whatever state it is in, it is gone afterwards. */
async function discarded(handle: CellHandle): Promise<void> {
  await handle.discard().catch(() => handle.kill())
}
