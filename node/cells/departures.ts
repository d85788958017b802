// Cells that leave this peer, as migration sees them: copied while they run, stopped, taken up again in place or from their
// image, or given away.
import type { CellHandle } from '../../cells/index.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import type { CellCopy, CellFate, KeptImage, MigrationErrorCode, SourcePort } from '../../protocols/migration/index.ts'
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
import { copyOf, stoppedCell } from './live-copy.ts'

const CAME_TO_NOTHING = 'the move came to nothing'

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
    return { module, moduleBytes, manifest: bytes, signature, memoryBytes: (await handle.usage()).memoryBytes }
  }

  async copy(cell: string, { signal }: { readonly signal: AbortSignal }): Promise<CellCopy> {
    const { hosted, handle } = this.#running(cell)
    const { movingTo } = hosted
    const copy = await copyOf(handle, signal)
    // Nothing more is told until it is known where the cell is: the stop is to be short.
    hosted.reporter.append({ kind: 'moving', ...(movingTo === undefined ? {} : { to: movingTo }) })
    return {
      ...copy,
      stop: async () => {
        const stopped = await copy.stop()
        // From here on its host process may die: what is left of the cell is the image.
        delete hosted.handle
        this.#held.set(cell, { handle })
        return stoppedCell(stopped, encodeOutbox(hosted.reporter.outbox), this.#hosting.init.clock)
      },
      cancel: async () => {
        await copy.cancel()
        if (hosted.handle === handle && isActive(hosted))
          hosted.reporter.append({ kind: 'running', reason: CAME_TO_NOTHING })
      },
    }
  }

  async resume(cell: string, epoch: number, image: () => Promise<KeptImage>): Promise<void> {
    const hosted = this.#hosting.get(cell)
    // Its end was told or is being told, or it came back under a higher epoch: there is nothing to take up.
    if (hosted === undefined || !isActive(hosted) || hosted.record.epoch > epoch) return this.#release(cell)
    if (hosted.handle !== undefined && hosted.record.epoch === epoch) return
    const held = this.#held.get(cell) ?? (await this.#restored(hosted, epoch, image))
    if (held === undefined) return
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
    now.reporter.append({ kind: 'running', reason: CAME_TO_NOTHING })
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

  /** Undefined when neither a program nor an image of it is left, which ends the cell. */
  async #restored(hosted: HostedCell, epoch: number, image: () => Promise<KeptImage>): Promise<Held | undefined> {
    const { cell } = hosted.record
    try {
      const kept = await image()
      const now = this.#hosting.init.clock.now()
      const outbox = succeed(restoreOutbox(kept.context, now), epoch, now)
      const held = { handle: await this.#hosting.restore(cell, hosted.manifest, kept), outbox }
      this.#held.set(cell, held)
      return held
    } catch (error) {
      const lost: MigrationErrorCode = 'MIGRATION_IMAGE_LOST'
      if (!isCoded(error, lost)) throw error
      await this.#hosting.lose(hosted, `its process died while it was moved: ${messageOf(error)}`)
      return undefined
    }
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
