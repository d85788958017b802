// The stream of one move away from here: what is said goes out in order, what is heard is told, and its loss is told once.
import { messageOf } from '../../core/errors.ts'
import type { MessageStream, Network, PeerKey } from '../kit/types.ts'
import { Chain } from './machine.ts'
import { decodeToSource, encodeMessage, type ToDestination, type ToSource } from './messages.ts'
import { MIGRATE } from './protocol.ts'

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

  say(...messages: readonly ToDestination[]): void {
    void this.sent(...messages)
  }

  /**
   * Resolves when the destination has room for more: false when it is gone, which was told then. Messages that are said together
   * go out together, without a pause for room between them.
   */
  async sent(...messages: readonly ToDestination[]): Promise<boolean> {
    const stream = this.#stream
    if (stream === undefined) {
      this.#init.onLost('there is no stream')
      return false
    }
    let isSent = true
    await this.#sends.add(async () => {
      const sending = messages.map((message) => stream.send(encodeMessage(message)))
      const [failed] = (await Promise.allSettled(sending)).filter((one) => one.status === 'rejected')
      if (failed === undefined) return
      isSent = false
      this.#lose(failed.reason, stream)
    })
    return isSent
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

  #lose(error: unknown, stream: MessageStream | undefined): void {
    if (this.#stream === stream) this.#stream = undefined
    stream?.abort(error instanceof Error ? error : new Error(messageOf(error)))
    this.#init.onLost(messageOf(error))
  }
}
