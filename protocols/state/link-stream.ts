// One link's stream: messages go out one after the other, and come in no faster than a peer has reason to send them.
import { type Clock, sleep } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import type { MessageStream } from '../kit/types.ts'
import { Decoder, Encoder, type Message } from './messages.ts'
import { MESSAGE_BURST, MESSAGES_PER_S } from './protocol.ts'
import type { Verify } from './record.ts'

/** More than this on its way, and the machine waits with what it has to say: it will say it newer. */
const BUSY_ABOVE = 4

export interface LinkStreamInit {
  readonly stream: MessageStream
  readonly outbound: boolean
  readonly clock: Clock
  readonly verify: Verify
  readonly incarnationOf: (peer: string) => number
  readonly onBusy: (isBusy: boolean) => void
}

export class LinkStream {
  readonly outbound: boolean
  readonly #init: LinkStreamInit
  readonly #encoder: Encoder
  readonly #decoder: Decoder
  readonly #over = Promise.withResolvers<void>()
  #sending: Promise<void> = Promise.resolve()
  #waiting = 0
  #isBusy = false

  constructor(init: LinkStreamInit) {
    this.#init = init
    this.outbound = init.outbound
    this.#encoder = new Encoder(init.incarnationOf)
    this.#decoder = new Decoder(init.verify)
  }

  send(message: Message): void {
    const { stream } = this.#init
    // A link on which every name is given is made anew: its other end takes this for a link that broke.
    if (this.#encoder.isFull) {
      stream.abort(new Error('this link has named too many peers'))
      return
    }
    const bytes = this.#encoder.encode(message)
    this.#waiting++
    this.#sending = this.#sending.then(async () => {
      try {
        await stream.send(bytes)
      } catch (error) {
        stream.abort(error instanceof Error ? error : new Error(messageOf(error)))
      } finally {
        this.#waiting--
        this.#tellBusy()
      }
    })
    this.#tellBusy()
  }

  /** Reads until the other end has closed. Throws what broke the link; what should not have been sent as `MESSAGE_MALFORMED`. */
  async read(onMessage: (message: Message) => void, signal: AbortSignal): Promise<void> {
    try {
      await this.#read(onMessage, signal)
    } finally {
      this.#over.resolve()
    }
  }

  async #read(onMessage: (message: Message) => void, signal: AbortSignal): Promise<void> {
    const { stream, clock } = this.#init
    let tokens = MESSAGE_BURST
    let atMs = clock.mono()
    for (;;) {
      const bytes = await stream.receive({ signal })
      if (bytes === undefined) return
      const nowMs = clock.mono()
      tokens = Math.min(MESSAGE_BURST, tokens + ((nowMs - atMs) * MESSAGES_PER_S) / 1_000) - 1
      atMs = nowMs
      try {
        onMessage(this.#decoder.decode(bytes))
      } catch (error) {
        throw breach(error)
      }
      // The transport holds the sender back meanwhile.
      if (tokens < 0) await sleep(clock, (-tokens * 1_000) / MESSAGES_PER_S, signal)
    }
  }

  /** Closes, and waits until the other end has read everything and closed as well. */
  async finish(): Promise<void> {
    await this.close()
    await this.#over.promise
  }

  async close(): Promise<void> {
    await this.#sending
    await this.#init.stream.close()
  }

  abort(error: unknown): void {
    this.#init.stream.abort(error instanceof Error ? error : new Error(messageOf(error)))
  }

  #tellBusy(): void {
    const isBusy = this.#waiting > BUSY_ABOVE
    if (isBusy === this.#isBusy) return
    this.#isBusy = isBusy
    this.#init.onBusy(isBusy)
  }
}

/** Members verify before they forward: a bad record is the sender's own breach, and goes under the code that the kit counts. */
function breach(error: unknown): unknown {
  if (!isCoded(error, 'STATE_RECORD_MALFORMED', 'STATE_RECORD_FORGED', 'STATE_CLAIM_FORGED')) return error
  return new CodedError('MESSAGE_MALFORMED', error.message, { facts: error.facts, cause: error })
}
