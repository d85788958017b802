// A toy cell host for migration: the program counts and prints what it counted; what was printed and not taken yet travels.
import { CodedError } from '../../../core/errors.ts'
import * as s from '../../../core/shape.ts'
import type { CellImage, DestinationPort, SourcePort } from '../../../protocols/migration/index.ts'
import type { Disk } from '../../../testnet/simulator/disk.ts'
import type { Life } from '../../../testnet/simulator/life.ts'

export interface ToyCell {
  epoch: number
  count: number
  /** The first number that the owner may not have yet. */
  untaken: number
  isRunning: boolean
}

/** What is on the disk of a host. */
export interface HostRecord {
  readonly epoch: number
  readonly phase: 'here' | 'gone'
}

export interface ToyHostInit {
  readonly life: Life
  readonly disk: Disk
  /** Probability that `prepare`, `suspend`, `load`, `activate`, `resume` or `discard` fails. */
  readonly failing: (what: string) => number
  readonly random: () => number
  readonly padBytes: number
  readonly onRun: (cell: string) => void
}

const imageShape = s.object({ count: s.integer(), pad: s.bytes(1 << 24) })
const contextShape = s.object({ untaken: s.integer() })

export class ToyHost {
  readonly cells = new Map<string, ToyCell>()
  readonly #loaded = new Map<string, ToyCell>()
  readonly #init: ToyHostInit

  constructor(init: ToyHostInit) {
    this.#init = init
  }

  get life(): Life {
    return this.#init.life
  }

  readonly source: SourcePort = {
    describe: async (cell) => {
      this.#running(cell)
      const none = new Uint8Array()
      return { module: 'm', moduleBytes: 1, manifest: none, signature: none, snapshotBytes: 1 }
    },
    suspend: async (cell, { signal }) => {
      await this.#work('suspend')
      signal.throwIfAborted()
      const toy = this.#running(cell)
      toy.isRunning = false
      const pad = new Uint8Array(this.#init.padBytes).fill(toy.count)
      await this.#init.life.pause(1)
      return { snapshot: s.toCbor({ count: toy.count, pad }), context: s.toCbor({ untaken: toy.untaken }) }
    },
    resume: async (cell, epoch, image) => {
      const held = this.cells.get(cell)
      if (held?.isRunning && held.epoch >= epoch) return
      const toy = held ?? unpack(await image(), epoch)
      await this.#work('resume')
      await this.#record(cell, { epoch, phase: 'here' })
      this.#run(cell, toy, epoch)
    },
    discard: async (cell, { epoch }) => {
      const held = this.cells.get(cell)
      if (held !== undefined && held.epoch >= epoch) return
      await this.#work('discard')
      await this.#record(cell, { epoch, phase: 'gone' })
      this.cells.delete(cell)
    },
  }

  readonly destination: DestinationPort = {
    prepare: async (offer) => {
      if (this.cells.has(offer.cell)) throw new CodedError('STALE_EPOCH', 'the cell is here')
      await this.#work('prepare')
    },
    load: async (offer, _from, image) => {
      await this.#work('load')
      this.#loaded.set(offer.attempt, unpack(image, offer.epoch))
    },
    activate: async (offer, _from, image) => {
      if ((this.cells.get(offer.cell)?.epoch ?? 0) >= offer.epoch) return
      const known = await this.#init.disk.get<HostRecord>(this.#init.life, 'hosted', offer.cell)
      if (known?.phase === 'gone' && known.epoch >= offer.epoch) return this.destination.unload(offer)
      await this.#work('activate')
      const toy = this.#loaded.get(offer.attempt) ?? unpack(await image(), offer.epoch)
      await this.#record(offer.cell, { epoch: offer.epoch, phase: 'here' })
      this.#loaded.delete(offer.attempt)
      this.#run(offer.cell, toy, offer.epoch)
    },
    unload: async (offer) => {
      this.#loaded.delete(offer.attempt)
    },
  }

  /** Images that were loaded for moves that have not ended. */
  get loaded(): number {
    return this.#loaded.size
  }

  launch(cell: string, epoch: number): void {
    this.#run(cell, { epoch, count: 0, untaken: 0, isRunning: false }, epoch)
  }

  /** The program comes to its end, or its owner wants no more of it: durable first. */
  async end(cell: string): Promise<void> {
    const toy = this.#running(cell)
    toy.isRunning = false
    await this.#record(cell, { epoch: toy.epoch, phase: 'gone' })
    this.cells.delete(cell)
  }

  #run(cell: string, toy: ToyCell, epoch: number): void {
    if (!this.#init.life.alive) return
    this.cells.set(cell, toy)
    toy.epoch = epoch
    toy.isRunning = true
    this.#init.onRun(cell)
  }

  #running(cell: string): ToyCell {
    const toy = this.cells.get(cell)
    if (!toy?.isRunning) throw new CodedError('CELL_UNKNOWN', 'no such cell runs here')
    return toy
  }

  async #work(what: string): Promise<void> {
    await this.#init.life.pause(this.#init.random() * 20)
    if (this.#init.random() < this.#init.failing(what)) throw new Error(`${what} failed`)
  }

  async #record(cell: string, record: HostRecord): Promise<void> {
    await this.#init.disk.put(this.#init.life, 'hosted', cell, record)
  }
}

function unpack({ snapshot, context }: CellImage, epoch: number): ToyCell {
  const { count, pad } = s.fromCbor(snapshot, imageShape, 'MESSAGE_MALFORMED')
  if (pad.some((byte) => byte !== count % 256)) throw new Error('the snapshot is not what was packed')
  return { epoch, count, untaken: s.fromCbor(context, contextShape, 'MESSAGE_MALFORMED').untaken, isRunning: false }
}
