// A pair of joined in-memory streams: for a peer that speaks with itself, for tests, and for the simulator.
import { CodedError } from '../../core/errors.ts'
import { abortable } from '../../core/lifecycle.ts'
import type { KitErrorCode } from './errors.ts'
import type { MessageStream, PeerKey, ProtocolSpec } from './types.ts'

type Item = Uint8Array | 'end' | Error

/** One direction of a stream: a queue of at most 16 messages, so that a slow reader stops its writer. */
class Pipe {
  readonly #items: Item[] = []
  #wakeReader: (() => void) | undefined
  #wakeWriter: (() => void) | undefined

  async push(item: Uint8Array): Promise<void> {
    const broken = this.#items.find((other) => other instanceof Error)
    if (broken instanceof Error) throw broken
    this.#items.push(item)
    this.#wakeReader?.()
    while (this.#items.length > 16) await new Promise<void>((resolve) => (this.#wakeWriter = resolve))
  }

  finish(item: 'end' | Error): void {
    if (item instanceof Error) this.#items.length = 0
    this.#items.push(item)
    this.#wakeReader?.()
    this.#wakeWriter?.()
  }

  async pull(): Promise<Uint8Array | undefined> {
    while (this.#items.length === 0) await new Promise<void>((resolve) => (this.#wakeReader = resolve))
    const head = this.#items[0] as Item
    if (head instanceof Error) throw head
    if (head === 'end') return undefined
    this.#items.shift()
    this.#wakeWriter?.()
    return head
  }
}

class MemoryStream implements MessageStream {
  readonly peer: PeerKey
  readonly #spec: ProtocolSpec
  readonly #incoming: Pipe
  readonly #outgoing: Pipe

  constructor(peer: PeerKey, spec: ProtocolSpec, incoming: Pipe, outgoing: Pipe) {
    this.peer = peer
    this.#spec = spec
    this.#incoming = incoming
    this.#outgoing = outgoing
  }

  async send(message: Uint8Array, init: { signal?: AbortSignal } = {}): Promise<void> {
    if (message.length > this.#spec.maxMessageBytes)
      throw new CodedError<KitErrorCode>('MESSAGE_TOO_LARGE', `${message.length} bytes on ${this.#spec.id}`)
    await abortable(this.#outgoing.push(message.slice()), init.signal)
  }

  receive(init: { signal?: AbortSignal } = {}): Promise<Uint8Array | undefined> {
    return abortable(this.#incoming.pull(), init.signal)
  }

  async close(): Promise<void> {
    this.#outgoing.finish('end')
  }

  abort(error: Error): void {
    const reset = new CodedError<KitErrorCode>('STREAM_RESET', `stream reset: ${error.message}`)
    this.#outgoing.finish(reset)
    this.#incoming.finish(reset)
  }
}

/** Both ends of one stream between `a` and `b`: what one sends, the other receives. */
export function streamPair(a: PeerKey, b: PeerKey, spec: ProtocolSpec): { atA: MessageStream; atB: MessageStream } {
  const there = new Pipe()
  const back = new Pipe()
  return { atA: new MemoryStream(b, spec, back, there), atB: new MemoryStream(a, spec, there, back) }
}
