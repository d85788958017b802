// What others may ask of this peer as a host: whether it would take a cell, to take it, and to do what the cell's owner wants.
import {
  type Ask,
  type BidTerms,
  type Command,
  type CommandResult,
  emptyOutbox,
  encodeOutbox,
  type HostPort,
  type HostStart,
} from '../../protocols/placement/index.ts'
import { mustFit, refuse } from './host-room.ts'
import { encodeHosted, type HostedCell, type HostedRecord } from './hosted-cell.ts'
import type { Hosting } from './hosting.ts'

export class HostingPort implements HostPort {
  readonly #hosting: Hosting

  constructor(hosting: Hosting) {
    this.#hosting = hosting
  }

  room(): ReturnType<HostPort['room']> {
    return this.#hosting.room()
  }

  epochOf(cell: string): number | undefined {
    return this.#known(cell)?.record.epoch
  }

  ownerOf(cell: string): string | undefined {
    return this.#known(cell)?.manifest.owner
  }

  async consider(ask: Ask): Promise<BidTerms> {
    const hosting = this.#hosting
    const { capacity, facts, self, store } = hosting.init
    this.#mustBeSettled()
    if (hosting.draining) throw refuse('DRAINING', 'this peer is about to leave')
    mustFit(ask, capacity, self)
    return {
      backlogMs: hosting.backlogMs(),
      hasModule: facts.peek(ask.module) !== undefined || (await store.has(ask.module)),
    }
  }

  async start(order: HostStart): Promise<void> {
    this.#mustBeSettled()
    const hosting = this.#hosting
    const { records, clock } = hosting.init
    const { cell, epoch, signed, manifest } = order
    // What an earlier start left here, of which the answer was lost: its owner has given that up.
    const before = hosting.get(cell)
    if (before !== undefined) await hosting.drop(before)
    const outbox = emptyOutbox(cell, epoch, clock.now())
    const record: HostedRecord = { cell, epoch, phase: 'starting', signed, moved: false, outbox: encodeOutbox(outbox) }
    await records.put(cell, encodeHosted(record))
    hosting.launch(hosting.add(record, manifest, outbox), order.holders)
  }

  async command(cell: string, command: Command, init: { readonly signal: AbortSignal }): Promise<CommandResult> {
    const hosted = this.#known(cell)
    const { commands } = this.#hosting
    if (hosted === undefined || commands === undefined) throw refuse('CELL_UNKNOWN', `no cell ${cell} is held here`)
    return commands.command(hosted, command, init)
  }

  /** For those who ask from outside, to whom "not held here" is an answer to act on. */
  #known(cell: string): HostedCell | undefined {
    this.#mustBeSettled()
    return this.#hosting.get(cell)
  }

  #mustBeSettled(): void {
    if (!this.#hosting.isSettled)
      throw refuse('STARTING', 'this peer is starting or going down and cannot say which cells it has: ask again')
  }
}
