// What one move away from here writes down: the image and the journal record, in the order in which they were asked for.
import { CodedError } from '../../core/errors.ts'
import type { MigrationErrorCode } from './errors.ts'
import { imageRoot } from './image.ts'
import { Chain, failureOf } from './machine.ts'
import { encodeRecord, imageName, recordKey, type SourceRecord } from './records.ts'
import type { CellImage, MigrationInit } from './types.ts'

export type SourceIdentity = Pick<SourceRecord, 'cell' | 'attempt' | 'to' | 'epoch'>
type Written = Pick<SourceRecord, 'phase' | 'root'> & { readonly resumeEpoch?: number | undefined }

export class SourceStore {
  readonly #ports: MigrationInit
  readonly #move: SourceIdentity
  readonly #key: string
  readonly #name: string
  readonly #writes = new Chain()
  /** What the image must hash to; empty while that is not known. */
  root = ''
  /** In memory as long as the move may need it. */
  image: CellImage | undefined

  constructor(ports: MigrationInit, { cell, attempt, to, epoch }: SourceIdentity) {
    this.#ports = ports
    this.#move = { cell, attempt, to, epoch }
    this.#key = recordKey('source', cell, attempt)
    this.#name = imageName('source', cell, attempt)
  }

  /** Resolves once image and record are durable, with what went wrong. */
  keep(image: CellImage): Promise<string | undefined> {
    return this.#inOrder(async () => {
      await this.#ports.images.keep(this.#name, image)
      await this.#put({ phase: 'kept', root: '' })
    })
  }

  store(written: Written): Promise<string | undefined> {
    this.root = written.root
    return this.#inOrder(() => this.#put(written))
  }

  /** The record goes first: an image without one is dropped at the next start. */
  clean(): Promise<string | undefined> {
    return this.#inOrder(async () => {
      await this.#ports.journal.remove(this.#key)
      await this.#ports.images.drop(this.#name)
    })
  }

  /** The image, checked against the journal. */
  async read(): Promise<CellImage> {
    const image = this.image ?? (await this.#ports.images.read(this.#name))
    if (image !== undefined && (this.root === '' || imageRoot(image) === this.root)) return image
    const { cell, attempt } = this.#move
    throw new CodedError<MigrationErrorCode>(
      'MIGRATION_IMAGE_LOST',
      `the kept snapshot of cell ${cell} is ${image === undefined ? 'gone' : 'damaged'}; run the cell again`,
      { facts: { cell, attempt } },
    )
  }

  /** All writes that were asked for so far are done. */
  idle(): Promise<void> {
    return this.#writes.idle()
  }

  async #put({ phase, root, resumeEpoch }: Written): Promise<void> {
    const back = resumeEpoch === undefined ? {} : { resumeEpoch }
    const record: SourceRecord = { kind: 'source', phase, ...this.#move, root, at: this.#ports.clock.now(), ...back }
    await this.#ports.journal.put(this.#key, encodeRecord(record))
  }

  async #inOrder(work: () => Promise<void>): Promise<string | undefined> {
    let failure: string | undefined
    await this.#writes.add(async () => {
      failure = await failureOf(work)
    })
    return failure
  }
}
