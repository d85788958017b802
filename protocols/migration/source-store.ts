// What one move away from here writes down: the image and the journal record, in the order in which they were asked for.
import { CodedError } from '../../core/errors.ts'
import type { MigrationErrorCode } from './errors.ts'
import { imageLost, keptImage } from './kept-image.ts'
import { Chain, failureOf } from './machine.ts'
import { encodeRecord, imageName, recordKey, type SourceRecord } from './records.ts'
import type { ImagePiece, KeptImage, MigrationInit, OpenImage } from './types.ts'

export type SourceIdentity = Pick<SourceRecord, 'cell' | 'attempt' | 'to' | 'epoch'>
type Written = Pick<SourceRecord, 'phase' | 'root'> & { readonly resumeEpoch?: number | undefined }

export class SourceStore {
  readonly #ports: MigrationInit
  readonly #move: SourceIdentity
  readonly #key: string
  readonly #name: string
  readonly #writes = new Chain()
  #image: OpenImage | undefined
  /** What the image must hash to; empty while that is not known. */
  root = ''

  constructor(ports: MigrationInit, { cell, attempt, to, epoch }: SourceIdentity) {
    this.#ports = ports
    this.#move = { cell, attempt, to, epoch }
    this.#key = recordKey('source', cell, attempt)
    this.#name = imageName('source', cell, attempt)
  }

  /** Begins the image. Rejects when that cannot be done. */
  create(): Promise<void> {
    return this.#orReject(async () => {
      this.#image = await this.#ports.images.create(this.#name)
    })
  }

  /** Rejects when the image cannot be written any more. */
  append(pieces: readonly ImagePiece[]): Promise<void> {
    return this.#orReject(() => this.#open().append(pieces))
  }

  /** What was appended is on the disk when it resolves. */
  sync(): Promise<void> {
    return this.#orReject(() => this.#open().sync())
  }

  /** Resolves once the whole image and then the record `committed` are durable, with what went wrong. */
  commit(pieces: readonly ImagePiece[], context: Uint8Array, root: string): Promise<string | undefined> {
    this.root = root
    return this.#inOrder(async () => {
      const image = this.#open()
      await image.append(pieces)
      await image.commit(context)
      await this.#put({ phase: 'committed', root })
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
      await this.#image?.abandon()
      this.#image = undefined
      await this.#ports.images.drop(this.#name)
    })
  }

  /** Lets go of the image's file, after all writes; what is durable stays. */
  async close(): Promise<void> {
    await this.#writes.add(async () => {
      await this.#image?.abandon().catch(() => undefined)
    })
  }

  /** The image as it was sent. */
  async read(): Promise<KeptImage> {
    const image = this.root === '' ? undefined : await this.#ports.images.read(this.#name)
    if (image === undefined) throw imageLost(this.#move.cell, 'gone')
    return keptImage(image, this.root, this.#move.cell)
  }

  /** All writes that were asked for so far are done. */
  idle(): Promise<void> {
    return this.#writes.idle()
  }

  #open(): OpenImage {
    if (this.#image !== undefined) return this.#image
    throw new CodedError<MigrationErrorCode>('MIGRATION_IMAGE_LOST', 'no image was begun for this move')
  }

  async #put({ phase, root, resumeEpoch }: Written): Promise<void> {
    const back = resumeEpoch === undefined ? {} : { resumeEpoch }
    const record: SourceRecord = { kind: 'source', phase, ...this.#move, root, at: this.#ports.clock.now(), ...back }
    await this.#ports.journal.put(this.#key, encodeRecord(record))
  }

  async #orReject(work: () => Promise<void>): Promise<void> {
    let failure: { readonly error: unknown } | undefined
    await this.#writes.add(async () => {
      try {
        await work()
      } catch (error) {
        failure = { error }
      }
    })
    if (failure !== undefined) throw failure.error
  }

  async #inOrder(work: () => Promise<void>): Promise<string | undefined> {
    let failure: string | undefined
    await this.#writes.add(async () => {
      failure = await failureOf(work)
    })
    return failure
  }
}
