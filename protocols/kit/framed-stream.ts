// Messages on a libp2p stream: each is its length as an unsigned varint (LEB128), then that many bytes.
// The reader holds one message at most beside what one network read brought, and pauses the stream meanwhile: libp2p's own
// length-prefixed reader breaks the stream once 4 MiB wait unread.
import type { Stream, StreamMessageEvent } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import { CodedError, isAbort, messageOf } from '../../core/errors.ts'
import { abortable, deadline } from '../../core/lifecycle.ts'
import type { KitErrorCode } from './errors.ts'
import type { MessageStream, PeerKey, ProtocolSpec } from './types.ts'

/** The longest varint of a length that fits 2^35. */
const MAX_VARINT_BYTES = 5
/** Stop reading from the network while more than this waits here, bytes. */
const PAUSE_ABOVE = 512 * 1024
/** Bytes that yamux may have promised to take before it learns of a pause: its window, twice. */
const MAX_UNREAD = 32 * 1024 * 1024

export interface FramedStreamInit {
  readonly stream: Stream
  readonly peer: PeerKey
  readonly spec: ProtocolSpec
  /** Told of every frame that breaks the protocol's bounds. */
  readonly onViolation: (code: KitErrorCode) => void
}

export class FramedStream implements MessageStream {
  readonly peer: PeerKey
  readonly #stream: Stream
  readonly #spec: ProtocolSpec
  readonly #onViolation: (code: KitErrorCode) => void
  readonly #buffer = new Uint8ArrayList()
  #ended = false
  #failure: Error | undefined
  #wake: (() => void) | undefined

  constructor(init: FramedStreamInit) {
    this.peer = init.peer
    this.#stream = init.stream
    this.#spec = init.spec
    this.#onViolation = init.onViolation
  }

  /** Begins to read; once, before anything else. */
  attach(): this {
    const stream = this.#stream
    stream.maxReadBufferLength = MAX_UNREAD
    stream.addEventListener('message', (event: StreamMessageEvent) => {
      this.#buffer.append(event.data)
      if (this.#buffer.byteLength > PAUSE_ABOVE && stream.status === 'open') stream.pause()
      this.#wake?.()
    })
    stream.addEventListener('remoteCloseWrite', () => {
      this.#ended = true
      this.#wake?.()
    })
    stream.addEventListener('close', (event) => {
      this.#ended = true
      if (event.error !== undefined) this.#failure ??= this.#reset(event.error)
      this.#wake?.()
    })
    return this
  }

  async send(message: Uint8Array, init: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (message.length > this.#spec.maxMessageBytes) {
      throw new CodedError<KitErrorCode>(
        'MESSAGE_TOO_LARGE',
        `a message of ${message.length} bytes is too long for ${this.#spec.id}`,
      )
    }
    if (this.#failure !== undefined) throw this.#failure
    try {
      const roomy = this.#stream.send(new Uint8ArrayList(encodeVarint(message.length), message))
      if (!roomy) await this.#stream.onDrain({ signal: this.#within(init.signal) })
    } catch (error) {
      throw this.#explain(error, init.signal)
    }
  }

  async receive(init: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array | undefined> {
    const signal = this.#within(init.signal)
    for (;;) {
      const message = this.#take()
      if (message !== undefined) return message
      if (this.#failure !== undefined) throw this.#failure
      if (this.#ended) {
        if (this.#buffer.byteLength === 0) return undefined
        throw this.#violation('STREAM_ENDED', `${this.peer} closed ${this.#spec.id} in the middle of a message`)
      }
      // Before resuming: what waits in the transport may be delivered within that very call.
      const woken = new Promise<void>((resolve) => (this.#wake = resolve))
      this.#resume()
      try {
        await abortable(woken, signal)
      } catch (error) {
        throw this.#explain(error, init.signal)
      }
    }
  }

  async close(): Promise<void> {
    if (this.#stream.status !== 'open') return
    try {
      await this.#stream.close({ signal: AbortSignal.timeout(this.#spec.messageTimeoutMs) })
    } catch (error) {
      this.#stream.abort(error instanceof Error ? error : new Error(messageOf(error)))
    }
  }

  abort(error: Error): void {
    this.#stream.abort(error)
  }

  /** One whole message out of the buffer; throws when its length alone breaks the bound. */
  #take(): Uint8Array | undefined {
    let length = 0
    let at = 0
    for (; ; at++) {
      if (at >= MAX_VARINT_BYTES) throw this.#violation('MESSAGE_MALFORMED', `${this.peer} sent a length that is none`)
      if (at >= this.#buffer.byteLength) return undefined
      const byte = this.#buffer.get(at)
      length += (byte & 0x7f) * 2 ** (7 * at)
      if (byte < 0x80) break
    }
    if (length > this.#spec.maxMessageBytes) {
      throw this.#violation(
        'MESSAGE_TOO_LARGE',
        `${this.peer} announced ${length} bytes on ${this.#spec.id}, which allows ${this.#spec.maxMessageBytes}`,
      )
    }
    const start = at + 1
    if (this.#buffer.byteLength < start + length) return undefined
    const message = this.#buffer.slice(start, start + length)
    this.#buffer.consume(start + length)
    return message
  }

  #resume(): void {
    if (this.#stream.readStatus === 'paused') this.#stream.resume()
  }

  #within(signal: AbortSignal | undefined): AbortSignal {
    return deadline(this.#spec.messageTimeoutMs, signal)
  }

  #violation(code: KitErrorCode, message: string): CodedError<KitErrorCode> {
    const error = new CodedError<KitErrorCode>(code, message, { facts: { peer: this.peer, protocol: this.#spec.id } })
    this.#failure ??= error
    this.#onViolation(code)
    this.#stream.abort(error)
    return error
  }

  #reset(cause: unknown): CodedError<KitErrorCode> {
    return new CodedError('STREAM_RESET', `the stream ${this.#spec.id} with ${this.peer} broke: ${messageOf(cause)}`, {
      facts: { peer: this.peer, protocol: this.#spec.id },
      cause,
    })
  }

  /** The caller's abort passes through; our own deadline and the transport's failures get a code. */
  #explain(error: unknown, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return signal.reason
    if (this.#failure !== undefined) return this.#failure
    if (isAbort(error)) {
      const { id, messageTimeoutMs } = this.#spec
      return new CodedError<KitErrorCode>(
        'STREAM_TIMEOUT',
        `${this.peer} took longer than ${messageTimeoutMs} ms on ${id}`,
        {
          facts: { peer: this.peer, protocol: id },
        },
      )
    }
    return error instanceof CodedError ? error : this.#reset(error)
  }
}

function encodeVarint(value: number): Uint8Array {
  const out: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Uint8Array.from([...out, rest])
    out.push((rest % 128) | 0x80)
  }
}
