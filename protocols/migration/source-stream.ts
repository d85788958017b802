// The stream of one move away from here: what is said goes out in order, what is heard is told, and its loss is told once.
import { CodedError, messageOf } from '../../core/errors.ts'
import type { MessageStream, Network, PeerKey } from '../kit/types.ts'
import type { MigrationErrorCode } from './errors.ts'
import { cut, rootOf, sizesOf } from './image.ts'
import { Chain } from './machine.ts'
import { decodeToSource, encodeMessage, type ToDestination, type ToSource } from './messages.ts'
import { MAX_CONTEXT_BYTES, MIGRATE } from './protocol.ts'
import type { CellImage } from './types.ts'

export interface SourceStreamInit {
  readonly network: Network
  readonly to: PeerKey
  readonly onMessage: (message: ToSource) => void
  readonly onLost: (reason: string) => void
}

export class SourceStream {
  readonly #init: SourceStreamInit
  readonly #sends = new Chain()
  #stream: MessageStream | undefined
  #given = false

  constructor(init: SourceStreamInit) {
    this.#init = init
  }

  get isOpen(): boolean {
    return this.#stream !== undefined
  }

  /** Opens the stream, says `first`, and hears the destination until either side ends it. Never rejects. */
  async converse(first: ToDestination, signal: AbortSignal): Promise<void> {
    let stream: MessageStream | undefined
    try {
      stream = await this.#init.network.open(this.#init.to, MIGRATE, { signal })
      if (this.#given) return stream.abort(new Error('the move was given up'))
      this.#stream = stream
      await stream.send(encodeMessage(first), { signal })
      for (;;) {
        const bytes = await stream.receive({ signal })
        if (bytes === undefined) throw new Error('the destination closed the stream')
        this.#init.onMessage(decodeToSource(bytes))
      }
    } catch (error) {
      this.#lose(error, stream)
    }
  }

  say(message: ToDestination): void {
    this.#send((stream) => stream.send(encodeMessage(message)))
  }

  /** All chunks and `complete`, as fast as the destination takes them; then `done` with the root. */
  sendImage(image: CellImage, done: (root: string) => void): void {
    this.#send(async (stream) => {
      const sizes = sizesOf(image)
      if (sizes.contextBytes > MAX_CONTEXT_BYTES)
        throw new CodedError<MigrationErrorCode>(
          'MIGRATION_TOO_LARGE',
          `${sizes.contextBytes} bytes of output were not taken by its owner yet; at most ${MAX_CONTEXT_BYTES} move along`,
        )
      await stream.send(encodeMessage({ kind: 'image', ...sizes }))
      const hashes: Uint8Array[] = []
      for (const chunk of cut(image)) {
        hashes.push(chunk.sha256)
        await stream.send(encodeMessage(chunk))
      }
      const root = rootOf(sizes, hashes)
      await stream.send(encodeMessage({ kind: 'complete', root }))
      done(root)
    })
  }

  /** With a reason at once, else after what was said before. */
  close(reason?: string): void {
    const stream = this.#stream
    this.#given = true
    this.#stream = undefined
    if (stream === undefined) return
    if (reason !== undefined) stream.abort(new Error(reason))
    else void this.#sends.add(() => stream.close().catch(() => stream.abort(new Error('it could not be closed'))))
  }

  #send(work: (stream: MessageStream) => Promise<void>): void {
    const stream = this.#stream
    if (stream === undefined) this.#init.onLost('there is no stream')
    else void this.#sends.add(() => work(stream).catch((error: unknown) => this.#lose(error, stream)))
  }

  #lose(error: unknown, stream: MessageStream | undefined): void {
    if (this.#stream === stream) this.#stream = undefined
    stream?.abort(error instanceof Error ? error : new Error(messageOf(error)))
    this.#init.onLost(messageOf(error))
  }
}
