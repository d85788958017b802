// A toy cell host for migration: the program counts and prints what it counted, while it is copied too; what was printed and
// not taken yet travels.
import { CodedError, isCoded } from '../../../core/errors.ts'
import * as s from '../../../core/shape.ts'
import type { CellCopy, DestinationPort, KeptImage, SourcePort } from '../../../protocols/migration/index.ts'
import type { Disk } from '../../../testnet/simulator/disk.ts'
import type { Life } from '../../../testnet/simulator/life.ts'

export interface ToyCell {
  epoch: number
  count: number
  /** The first number that the owner may not have yet. */
  untaken: number
  isRunning: boolean
  /** Bytes written since the last round of a copy began. */
  dirty?: number
}

/** What is on the disk of a host. */
export interface HostRecord {
  readonly epoch: number
  readonly phase: 'here' | 'gone'
}

export interface ToyHostInit {
  readonly life: Life
  readonly disk: Disk
  /** Probability that `prepare`, `copy`, `round`, `stop`, `add`, `finish`, `activate`, `resume` or `discard` fails. */
  readonly failing: (what: string) => number
  /** How much longer than usual one of these takes, milliseconds. */
  readonly slowMs: (what: string) => number
  /** Whether the cell can be copied while it runs. */
  readonly isLive: () => boolean
  readonly random: () => number
  readonly padBytes: () => number
  /** What a destination takes in of a cell. */
  readonly maxImageBytes: () => number
  readonly onRun: (cell: string) => void
}

/** Parts are numbered, and the last one has the count as it was at the stop. */
const partShape = s.object({ n: s.integer(), count: s.integer(), isLast: s.boolean, pad: s.bytes(1 << 24) })
type Part = s.Infer<typeof partShape>
const contextShape = s.object({ untaken: s.integer() })

/** A cell that comes in parts. */
interface Arriving {
  parts: number
  last?: Part
  untaken?: number
}

export class ToyHost {
  readonly cells = new Map<string, ToyCell>()
  readonly #arriving = new Map<string, Arriving>()
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
      return { module: 'm', moduleBytes: 1, manifest: none, signature: none, memoryBytes: 1 }
    },
    copy: async (cell, { signal }) => {
      await this.#work('copy')
      signal.throwIfAborted()
      return this.#copy(cell, signal)
    },
    resume: async (cell, epoch, image) => {
      const held = this.cells.get(cell)
      if (held?.isRunning && held.epoch >= epoch) return
      const toy =
        held ??
        (await image()
          .then((kept) => unpack(kept, epoch))
          .catch(endOfLost))
      // Neither a program nor an image of it is left: that is the end of it.
      if (toy === undefined) return this.#record(cell, { epoch, phase: 'gone' })
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
      this.#arriving.set(offer.attempt, { parts: 0 })
      return { maxImageBytes: this.#init.maxImageBytes() }
    },
    add: async (offer, part) => {
      await this.#work('add')
      const arriving = this.#arriving.get(offer.attempt)
      if (arriving === undefined) throw new Error('nothing waits for parts')
      addPart(arriving, part)
    },
    finish: async (offer, context) => {
      await this.#work('finish')
      const arriving = this.#arriving.get(offer.attempt)
      if (arriving?.last === undefined) throw new Error('the last part is missing')
      arriving.untaken = s.fromCbor(context, contextShape, 'MESSAGE_MALFORMED').untaken
    },
    activate: async (offer, _from, image) => {
      if ((this.cells.get(offer.cell)?.epoch ?? 0) >= offer.epoch) return {}
      const known = await this.#init.disk.get<HostRecord>(this.#init.life, 'hosted', offer.cell)
      if (known?.phase === 'gone' && known.epoch >= offer.epoch) {
        await this.destination.unload(offer)
        return {}
      }
      await this.#work('activate')
      const toy = whole(this.#arriving.get(offer.attempt), offer.epoch) ?? (await unpack(await image(), offer.epoch))
      this.#arriving.delete(offer.attempt)
      this.#run(offer.cell, toy, offer.epoch)
      return { hostStartedAt: this.#init.life.mono() }
    },
    remember: async ({ cell, epoch }) => {
      // It may have ended since, or moved on: then its record says so already.
      if (this.cells.get(cell)?.epoch === epoch) await this.#record(cell, { epoch, phase: 'here' })
    },
    unload: async (offer) => {
      this.#arriving.delete(offer.attempt)
    },
  }

  /** Cells that wait for parts, of moves that have not ended. */
  get arriving(): number {
    return this.#arriving.size
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

  #copy(cell: string, signal: AbortSignal): CellCopy {
    const { random, padBytes, life, isLive } = this.#init
    const toy = this.#running(cell)
    let n = 0
    let isStopped = false
    toy.dirty = padBytes()
    const goesOn = (): void => {
      if (isStopped) return
      signal.throwIfAborted()
      if (!toy.isRunning || this.cells.get(cell) !== toy) throw new CodedError('CELL_ENDED', 'the cell has ended')
    }
    const part = (bytes: number, isLast: boolean): Uint8Array =>
      s.toCbor({ n: n++, count: toy.count, isLast, pad: new Uint8Array(bytes).fill(toy.count) })
    const round = async function* (work: () => Promise<void>) {
      let left = toy.dirty ?? 0
      toy.dirty = Math.floor(random() * left)
      while (left > 0) {
        await work()
        goesOn()
        const bytes = Math.min(left, 200_000)
        left -= bytes
        yield part(bytes, false)
        toy.count++
      }
    }
    return {
      isLive: isLive(),
      round: () => round(() => this.#work('round')),
      dirtyBytes: async () => {
        await life.pause(1)
        goesOn()
        return toy.dirty ?? 0
      },
      stop: async () => {
        await this.#work('stop')
        goesOn()
        toy.isRunning = false
        isStopped = true
        await life.pause(1)
        return {
          parts: [part(toy.dirty ?? 0, true)],
          context: s.toCbor({ untaken: toy.untaken }),
          hostStoppedAt: life.mono(),
        }
      },
      cancel: async () => {
        delete toy.dirty
      },
    }
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
    await this.#init.life.pause(this.#init.random() * 20 + this.#init.slowMs(what))
    if (this.#init.random() < this.#init.failing(what)) throw new Error(`${what} failed`)
  }

  async #record(cell: string, record: HostRecord): Promise<void> {
    await this.#init.disk.put(this.#init.life, 'hosted', cell, record)
  }
}

function addPart(arriving: Arriving, bytes: Uint8Array): void {
  const part = s.fromCbor(bytes, partShape, 'MESSAGE_MALFORMED')
  if (part.n !== arriving.parts || arriving.last !== undefined) throw new Error(`part ${part.n} is out of place`)
  if (part.pad.some((byte) => byte !== part.count % 256)) throw new Error('the part is not what was packed')
  arriving.parts++
  if (part.isLast) arriving.last = part
}

function whole(arriving: Arriving | undefined, epoch: number): ToyCell | undefined {
  if (arriving?.last === undefined || arriving.untaken === undefined) return undefined
  return { epoch, count: arriving.last.count, untaken: arriving.untaken, isRunning: false }
}

function endOfLost(error: unknown): undefined {
  if (!isCoded(error, 'MIGRATION_IMAGE_LOST')) throw error
}

async function unpack(image: KeptImage, epoch: number): Promise<ToyCell> {
  const arriving: Arriving = { parts: 0, untaken: s.fromCbor(image.context, contextShape, 'MESSAGE_MALFORMED').untaken }
  for await (const part of image.parts()) addPart(arriving, part)
  const toy = whole(arriving, epoch)
  if (toy === undefined) throw new Error('the image has no last part')
  return toy
}
