// Cells that come to this peer, as migration sees them: room is kept, the module compiled, the program put together, and run.
import type { ArrivingCell, CellHandle } from '../../cells/index.ts'
import { isCoded, messageOf } from '../../core/errors.ts'
import type { PeerKey } from '../../protocols/kit/types.ts'
import type {
  DestinationPort,
  KeptImage,
  MigrationErrorCode,
  MoveOffer,
  PreparedCell,
  StartedCell,
} from '../../protocols/migration/index.ts'
import {
  askOf,
  type CellManifest,
  type Claim,
  emptyOutbox,
  type Outbox,
  openManifest,
  type Placement,
  restoreOutbox,
  succeed,
} from '../../protocols/placement/index.ts'
import { mustFit, refuse } from './host-room.ts'
import { type HostedRecord, isActive, notMigratable } from './hosted-cell.ts'
import type { Hosting } from './hosting.ts'
import { modeOf } from './module-facts.ts'

/** All rounds of a cell that goes on writing as long as the stop rule finds that worth while are less than four times the cell. */
const IMAGE_ROUNDS = 4
/** What is in a snapshot beside memory and files: the frames of the deepest stack, tables, the WASI state and their frames. */
const IMAGE_SLACK_BYTES = 128 << 20

/** A cell on its way here: room is kept, the module compiled, the program waits for its parts, and in the end for the word to run. */
interface Arrival {
  readonly manifest: CellManifest
  readonly claim?: Claim
  arriving?: ArrivingCell
  whole?: Whole
}

/** The program, suspended, and what came along. */
interface Whole {
  readonly handle: CellHandle
  readonly outbox: Outbox
}

export class Arrivals implements DestinationPort {
  readonly #hosting: Hosting
  readonly #arrivals = new Map<string, Arrival>()
  #placement: Placement | undefined

  constructor(hosting: Hosting) {
    this.#hosting = hosting
  }

  attach(placement: Placement): void {
    this.#placement = placement
  }

  async prepare(offer: MoveOffer, from: PeerKey, { signal }: { readonly signal: AbortSignal }): Promise<PreparedCell> {
    const { init, draining } = this.#hosting
    if (draining) throw refuse('DRAINING', 'this peer is about to leave')
    const { cell, manifest } = await openManifest({ bytes: offer.manifest, signature: offer.signature })
    if (cell !== offer.cell || manifest.module !== offer.module)
      throw refuse('MANIFEST_FORGED', 'the manifest is of another cell')
    const mode = modeOf(manifest)
    if (!mode.migratable) throw notMigratable(cell, mode.engine)
    const held = this.#hosting.get(cell)
    if (held !== undefined && (isActive(held) || held.record.epoch >= offer.epoch))
      throw refuse('STALE_EPOCH', 'this peer holds the cell already')
    // Where it was to begin is settled; what its hosts must be holds wherever its owner sends it.
    const { peer: _, ...constraints } = manifest.constraints
    mustFit({ ...askOf(cell, manifest, offer.epoch), constraints }, init.capacity, init.self)
    const claim = this.#claim(cell, manifest, offer.reservation)
    try {
      const module = await this.#hosting.module(manifest.module, [from, manifest.owner], signal)
      await init.engine.prepare(module, manifest.owner, this.#hosting.limitsOf(manifest), mode)
      signal.throwIfAborted()
      const arriving = await this.#hosting.receive(cell, manifest, module)
      this.#arrivals.set(offer.attempt, { manifest, claim, arriving })
      const { memoryBytes, diskBytes } = manifest.limits
      return { maxImageBytes: IMAGE_ROUNDS * (memoryBytes + diskBytes) + IMAGE_SLACK_BYTES }
    } catch (error) {
      claim.settle()
      throw error
    }
  }

  async add(offer: MoveOffer, part: Uint8Array): Promise<void> {
    await this.#expected(offer).arriving.add(part)
  }

  async finish(offer: MoveOffer, context: Uint8Array): Promise<void> {
    const { arrival, arriving } = this.#expected(offer)
    // What comes along with it must be readable before anything rests on this copy.
    const outbox = this.#outboxOf(context, offer.epoch)
    arrival.whole = { handle: await arriving.finish(), outbox }
    delete arrival.arriving
  }

  /** Nothing is waited for between the word and the program but the program. */
  async activate(offer: MoveOffer, _from: PeerKey, image: () => Promise<KeptImage>): Promise<StartedCell> {
    const { cell, epoch, attempt } = offer
    const held = this.#hosting.get(cell)
    // It runs, or it ran and has ended or moved on, and its authority hears of that.
    if (held !== undefined && held.record.epoch >= epoch && (held.handle !== undefined || !isActive(held))) {
      await this.unload(offer)
      return {}
    }
    const arrival = this.#arrivals.get(attempt)
    const found =
      arrival?.whole === undefined ? await this.#restored(offer, arrival, image) : { ...arrival, whole: arrival.whole }
    if (found === undefined) return {}
    const { manifest, claim, whole } = found
    const { handle, outbox } = whole
    const resuming = handle.resumeHere()
    // Whoever awaits it hears of it.
    resuming.catch(() => undefined)
    try {
      // While the word is on its way. What it prints comes after this turn and is reported; `remember` writes that it is here.
      const hosted = this.#hosting.adopt(recordOf(offer), manifest, outbox)
      const { resumedAt } = await resuming
      this.#arrivals.delete(attempt)
      claim?.settle()
      this.#hosting.watch(hosted, handle)
      hosted.reporter.append({ kind: 'running' })
      if (hosted.cancel.signal.aborted) await handle.kill()
      return { hostStartedAt: resumedAt }
    } catch (error) {
      // The next try takes the image.
      this.#arrivals.set(attempt, { manifest, ...(claim === undefined ? {} : { claim }) })
      await handle.kill()
      throw error
    }
  }

  async remember({ cell, epoch }: MoveOffer): Promise<void> {
    const hosted = this.#hosting.get(cell)
    // It may have ended since, or moved on: that is written in its place.
    if (hosted?.record.epoch === epoch) await this.#hosting.save(hosted, {})
  }

  async unload(offer: MoveOffer): Promise<void> {
    const arrival = this.#arrivals.get(offer.attempt)
    this.#arrivals.delete(offer.attempt)
    arrival?.claim?.settle()
    await arrival?.arriving?.abandon()
    await arrival?.whole?.handle.kill()
  }

  #expected({ attempt, cell }: MoveOffer): { readonly arrival: Arrival; readonly arriving: ArrivingCell } {
    const arrival = this.#arrivals.get(attempt)
    if (arrival?.arriving === undefined) throw refuse('CELL_UNKNOWN', `nothing was prepared for cell ${cell}`)
    return { arrival, arriving: arrival.arriving }
  }

  #outboxOf(context: Uint8Array, epoch: number): Outbox {
    const now = this.#hosting.init.clock.now()
    return succeed(restoreOutbox(context, now), epoch, now)
  }

  /**
   * From the image: this peer was restarted, or the program did not start. Undefined when neither a program nor an image of it
   * is left, which ends the cell.
   */
  async #restored(
    offer: MoveOffer,
    arrival: Arrival | undefined,
    image: () => Promise<KeptImage>,
  ): Promise<(Arrival & { readonly whole: Whole }) | undefined> {
    const { cell, epoch, manifest: bytes, signature } = offer
    const manifest = arrival?.manifest ?? (await openManifest({ bytes, signature })).manifest
    let outbox = emptyOutbox(cell, epoch, this.#hosting.init.clock.now())
    try {
      const kept = await image()
      outbox = this.#outboxOf(kept.context, epoch)
      const handle = await this.#hosting.restore(cell, manifest, kept)
      return { ...arrival, manifest, whole: { handle, outbox } }
    } catch (error) {
      const lost: MigrationErrorCode = 'MIGRATION_IMAGE_LOST'
      if (!isCoded(error, lost)) throw error
      const hosted = await this.#hosting.replace(recordOf(offer), manifest, outbox)
      await this.unload(offer)
      await this.#hosting.lose(hosted, `it was never started after its move: ${messageOf(error)}`)
      return undefined
    }
  }

  #claim(cell: string, manifest: CellManifest, reservation: string): Claim {
    if (this.#placement === undefined) throw new Error('moves were not attached to a placement service')
    const { memoryBytes, diskBytes } = manifest.limits
    const room = { slots: 1, memoryBytes, diskBytes }
    return this.#placement.claim(cell, room, reservation === '' ? undefined : reservation)
  }
}

/** What is held of a cell that came here. */
function recordOf({ cell, epoch, manifest: bytes, signature }: MoveOffer): Omit<HostedRecord, 'outbox'> {
  return { cell, epoch, phase: 'running', signed: { bytes, signature }, moved: true }
}
