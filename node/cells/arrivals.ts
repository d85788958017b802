// Cells that come to this peer, as migration sees them: room is kept, the module compiled, the program restored, and run.
import type { CellHandle } from '../../cells/index.ts'
import type { PeerKey } from '../../protocols/kit/types.ts'
import type { CellImage, DestinationPort, MoveOffer } from '../../protocols/migration/index.ts'
import {
  askOf,
  type CellManifest,
  type Claim,
  openManifest,
  type Placement,
  restoreOutbox,
  succeed,
} from '../../protocols/placement/index.ts'
import { mustFit, refuse } from './host-room.ts'
import { isActive } from './hosted-cell.ts'
import type { Hosting } from './hosting.ts'

/** A cell on its way here: room is kept, the module compiled, and in the end the program restored, suspended. */
interface Arrival {
  readonly manifest: CellManifest
  readonly claim?: Claim
  handle?: CellHandle
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

  async prepare(offer: MoveOffer, from: PeerKey, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { init, draining } = this.#hosting
    if (draining) throw refuse('DRAINING', 'this peer is about to leave')
    const { cell, manifest } = await openManifest({ bytes: offer.manifest, signature: offer.signature })
    if (cell !== offer.cell || manifest.module !== offer.module)
      throw refuse('MANIFEST_FORGED', 'the manifest is of another cell')
    const held = this.#hosting.get(cell)
    if (held !== undefined && (isActive(held) || held.record.epoch >= offer.epoch))
      throw refuse('STALE_EPOCH', 'this peer holds the cell already')
    // Where it was to begin is settled; what its hosts must be holds wherever its owner sends it.
    const { peer: _, ...constraints } = manifest.constraints
    mustFit({ ...askOf(cell, manifest, offer.epoch), constraints }, init.capacity, init.self)
    const claim = this.#claim(cell, manifest, offer.reservation)
    try {
      const module = await this.#hosting.module(manifest.module, [from, manifest.owner], signal)
      await init.engine.prepare(module, manifest.owner, this.#hosting.limitsOf(manifest))
    } catch (error) {
      claim.settle()
      throw error
    }
    this.#arrivals.set(offer.attempt, { manifest, claim })
  }

  async load(offer: MoveOffer, _from: PeerKey, image: CellImage): Promise<void> {
    const arrival = this.#arrivals.get(offer.attempt)
    if (arrival === undefined) throw refuse('CELL_UNKNOWN', 'nothing was prepared for this cell')
    // What comes along with it must be readable before anything rests on this copy.
    restoreOutbox(image.context, 0)
    arrival.handle = await this.#hosting.restore(offer.cell, arrival.manifest, image.snapshot)
  }

  async activate(offer: MoveOffer, _from: PeerKey, image: () => Promise<CellImage>): Promise<void> {
    const { cell, epoch, attempt } = offer
    const held = this.#hosting.get(cell)
    // It runs, or it ran and has ended or moved on, and its authority hears of that.
    if (held !== undefined && held.record.epoch >= epoch && (held.handle !== undefined || !isActive(held)))
      return this.unload(offer)
    const signed = { bytes: offer.manifest, signature: offer.signature }
    const { snapshot, context } = await image()
    const arrival = this.#arrivals.get(attempt) ?? { manifest: (await openManifest(signed)).manifest }
    this.#arrivals.set(attempt, arrival)
    arrival.handle ??= await this.#hosting.restore(cell, arrival.manifest, snapshot)
    const now = this.#hosting.init.clock.now()
    const outbox = succeed(restoreOutbox(context, now), epoch, now)
    // Durable before it runs: the host's record is what tells the authority of the end.
    const record = { cell, epoch, phase: 'running', signed, moved: true } as const
    const hosted = await this.#hosting.replace(record, arrival.manifest, outbox)
    arrival.claim?.settle()
    const { handle } = arrival
    try {
      await handle.resumeHere()
    } catch (error) {
      // The next try takes the image.
      delete arrival.handle
      await handle.kill()
      throw error
    }
    this.#arrivals.delete(attempt)
    this.#hosting.watch(hosted, handle)
    hosted.reporter.append({ kind: 'running' })
    if (hosted.cancel.signal.aborted) await handle.kill()
  }

  async unload(offer: MoveOffer): Promise<void> {
    const arrival = this.#arrivals.get(offer.attempt)
    this.#arrivals.delete(offer.attempt)
    arrival?.claim?.settle()
    await arrival?.handle?.kill()
  }

  #claim(cell: string, manifest: CellManifest, reservation: string): Claim {
    if (this.#placement === undefined) throw new Error('moves were not attached to a placement service')
    const { memoryBytes, diskBytes } = manifest.limits
    const room = { slots: 1, memoryBytes, diskBytes }
    return this.#placement.claim(cell, room, reservation === '' ? undefined : reservation)
  }
}
