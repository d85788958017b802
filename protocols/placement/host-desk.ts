// Where offers, starts and commands of others are answered: checks who asks, keeps the promised room, and asks the host.
import { hex } from '../../core/bytes.ts'
import { isCoded } from '../../core/errors.ts'
import type { Infer } from '../../core/shape.ts'
import type { HandlerContext, PeerKey } from '../kit/types.ts'
import { placementError } from './errors.ts'
import { KeyedQueue } from './keyed-queue.ts'
import { openManifest } from './manifest.ts'
import {
  type Ask,
  type CommandOrder,
  type CommandResult,
  type offerReplyShape,
  type Refusal,
  type Release,
  type Room,
  refusalOf,
  type StartOrder,
  type startReplyShape,
} from './messages.ts'
import { RESERVATION_TTL_MS, RESERVATIONS_PER_PEER } from './protocol.ts'
import { claim, EMPTY_LEDGER, type Ledger, release, reserve, reservedRoom, settle } from './reservations.ts'
import type { Claim, PlacementInit } from './types.ts'

export class HostDesk {
  readonly #init: PlacementInit
  readonly #starts = new KeyedQueue()
  #ledger: Ledger = EMPTY_LEDGER

  constructor(init: PlacementInit) {
    this.#init = init
  }

  /** Forgets every promise. */
  clear(): void {
    this.#ledger = EMPTY_LEDGER
  }

  async offered(ask: Ask, peer: PeerKey): Promise<Infer<typeof offerReplyShape>> {
    try {
      const terms = await this.#init.host.consider(ask, peer)
      const reservation = this.#newReservation()
      const { memoryBytes, diskBytes } = ask
      const free = this.#reserve(reservation, ask.cell, peer, { slots: 1, memoryBytes, diskBytes })
      const freeSlots = Math.max(0, free.slots - this.reserved().slots)
      return { kind: 'bid', reservation, ttlMs: RESERVATION_TTL_MS, freeSlots, ...terms }
    } catch (error) {
      return { kind: 'refused', ...asRefusal(error) }
    }
  }

  async released(body: Release, peer: PeerKey): Promise<object> {
    this.#ledger = release(this.#ledger, body.reservation, peer)
    return {}
  }

  /** The same order again, as after an answer that was lost, is accepted without effect. */
  async ordered(order: StartOrder, from: PeerKey): Promise<Infer<typeof startReplyShape>> {
    try {
      const { cell, manifest } = await openManifest(order.manifest)
      if (manifest.owner !== from)
        throw placementError('NOT_OWNER', `the manifest is of ${manifest.owner}; only that peer may start the cell`)
      const { reservation, epoch, holders, manifest: signed } = order
      await this.#starts.run(cell, async () => {
        const held = this.#init.host.epochOf(cell)
        if (held === epoch) return
        if (held !== undefined && held > epoch)
          throw placementError('STALE_EPOCH', `the cell is here under epoch ${held} already, not ${epoch}`)
        const claimed = this.#claim(reservation, cell)
        try {
          await this.#init.host.start({ cell, epoch, manifest, signed, holders, from })
        } finally {
          claimed.settle()
        }
      })
      return { kind: 'accepted' }
    } catch (error) {
      return { kind: 'refused', ...asRefusal(error) }
    }
  }

  async commanded(order: CommandOrder, context: HandlerContext): Promise<CommandResult> {
    const { host } = this.#init
    const { cell, epoch, command } = order
    const owner = host.ownerOf(cell)
    if (owner === undefined) throw placementError('CELL_UNKNOWN', 'no such cell here; it may have moved or ended')
    if (owner !== context.peer) throw placementError('NOT_OWNER', `the cell is of ${owner}; give the command there`)
    const held = host.epochOf(cell)
    // asking for the status is how one learns of another epoch
    if (held !== epoch && command.kind !== 'status')
      throw placementError('STALE_EPOCH', `the cell is here under epoch ${held}, not ${epoch}; ask for its status`)
    return host.command(cell, command, { signal: context.signal })
  }

  claim(cell: string, need: Room, reservation?: string): Claim {
    if (reservation !== undefined) return this.#claim(reservation, cell)
    const id = this.#newReservation()
    this.#reserve(id, cell, this.#init.network.self, need)
    return this.#claim(id, cell)
  }

  reserved(): Room {
    return reservedRoom(this.#ledger, this.#init.clock.mono())
  }

  #newReservation(): string {
    return hex(this.#init.random.bytes(16))
  }

  /** Gives back what the host has free beside its reservations. */
  #reserve(id: string, cell: string, by: PeerKey, room: Room): Room {
    const free = this.#init.host.room()
    const ask = { id, cell, by, room, free, ttlMs: RESERVATION_TTL_MS, maxPerPeer: RESERVATIONS_PER_PEER }
    this.#ledger = reserve(this.#ledger, ask, this.#init.clock.mono())
    return free
  }

  #claim(id: string, cell: string): Claim {
    this.#ledger = claim(this.#ledger, id, cell, this.#init.clock.mono())
    return {
      settle: () => {
        this.#ledger = settle(this.#ledger, id)
      },
    }
  }
}

/** A coded no becomes an answer; anything else is a failure of this peer and is told as one. */
function asRefusal(error: unknown): Refusal {
  if (!isCoded(error)) throw error
  return refusalOf(error.code, error.message)
}
