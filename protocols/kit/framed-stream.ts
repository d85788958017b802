// Messages on a libp2p stream, with flow control in both directions and a bound on every wait.
// libp2p 3.3's own means are not enough: its length-prefixed reader breaks the stream once 4 MiB wait unread, and its
// `onDrain()` waits only the first time it is asked (the promise is never renewed), so that a writer would fill the memory.
import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import type { Clock, Timer } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import type { KitErrorCode } from './errors.ts'
import { FrameReader, frameHeader } from './framing.ts'
import type { MessageStream, PeerKey, ProtocolSpec } from './types.ts'

/** The transport is paused while more than this waits here, bytes: some chunks of read-ahead for a reader that keeps up. */
const PAUSE_ABOVE = 512 * 1024
/**
 * After a pause a peer may still send what it was promised before: the window of the muxer, 16 MiB at most by yamux's default.
 * libp2p would break the stream at 4 MiB.
 */
const MAX_UNREAD = 32 * 1024 * 1024

type Members =
  | 'status'
  | 'readStatus'
  | 'remoteWriteStatus'
  | 'readBufferLength'
  | 'maxReadBufferLength'
  | 'writableNeedsDrain'
  | 'send'
  | 'pause'
  | 'resume'
  | 'close'
  | 'closeRead'
  | 'abort'

/** What carries the bytes: a stream of libp2p, or what does as one. */
export interface Transport extends Pick<Stream, Members> {
  addEventListener(type: 'message', listener: (event: StreamMessageEvent) => void): void
  addEventListener(type: 'close', listener: (event: StreamCloseEvent) => void): void
  addEventListener(type: 'remoteCloseWrite' | 'end' | 'drain' | 'idle', listener: () => void): void
}

export interface FramedStreamInit {
  readonly stream: Transport
  readonly peer: PeerKey
  readonly spec: ProtocolSpec
  readonly clock: Clock
  /** Told of every frame that breaks the protocol's bounds. */
  readonly onViolation: (code: KitErrorCode) => void
}

export class FramedStream implements MessageStream {
  readonly peer: PeerKey
  readonly #init: FramedStreamInit
  readonly #reader: FrameReader
  readonly #over = new AbortController()
  readonly #waiting = new Set<() => void>()
  /** The remote has said that it sends no more; bytes of before may still wait in the transport. */
  #remoteDone = false
  #failure: Error | undefined
  #pulling = false
  #life: Timer | undefined

  constructor(init: FramedStreamInit) {
    this.peer = init.peer
    this.#init = init
    this.#reader = new FrameReader(init.spec.maxMessageBytes)
  }

  /** Aborts when the stream is over, for whatever reason. */
  get over(): AbortSignal {
    return this.#over.signal
  }

  /** Why it broke; undefined while it has not, and when it ended well. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /** Begins to read, and counts the stream's life from now; once, before anything else. */
  attach(): this {
    const { stream, spec, clock } = this.#init
    stream.maxReadBufferLength = MAX_UNREAD
    stream.addEventListener('message', (event) => this.#onMessage(event))
    stream.addEventListener('remoteCloseWrite', () => {
      this.#remoteDone = true
      this.#notify()
    })
    for (const event of ['end', 'drain', 'idle'] as const) stream.addEventListener(event, () => this.#notify())
    stream.addEventListener('close', (event) => this.#onClose(event))
    this.#life = clock.after(spec.streamTimeoutMs, () =>
      this.abort(this.#error('STREAM_TIMEOUT', `${spec.id} with ${this.peer} took over ${spec.streamTimeoutMs} ms`)),
    )
    // What happened before the listeners were there.
    if (stream.status !== 'open') this.#end(this.#reset('the connection closed'))
    else if (stream.remoteWriteStatus === 'closed') this.#remoteDone = true
    return this
  }

  async send(message: Uint8Array, init: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { stream, spec, clock } = this.#init
    if (message.length > spec.maxMessageBytes) {
      const limit = `${spec.id} allows ${spec.maxMessageBytes}`
      throw this.#error('MESSAGE_TOO_LARGE', `a message of ${message.length} bytes cannot be sent: ${limit}`)
    }
    if (this.#failure !== undefined) throw this.#failure
    init.signal?.throwIfAborted()
    const until = clock.mono() + spec.messageTimeoutMs
    try {
      stream.send(new Uint8ArrayList(frameHeader(message.length), message))
    } catch (error) {
      throw this.#failure ?? this.#reset(error)
    }
    while (stream.writableNeedsDrain && this.#failure === undefined) await this.#wait(until, init.signal)
    if (this.#failure !== undefined) throw this.#failure
  }

  async receive(init: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array | undefined> {
    const { stream, spec, clock } = this.#init
    const until = clock.mono() + spec.messageTimeoutMs
    for (;;) {
      const message = this.#take()
      if (message !== undefined) return message
      if (this.#pull()) continue
      if (this.#failure !== undefined) throw this.#failure
      if (this.#remoteDone && stream.readBufferLength === 0) {
        if (this.#reader.waiting === 0) return undefined
        throw this.#violation('STREAM_ENDED', `${this.peer} closed ${spec.id} in the middle of a message`)
      }
      await this.#wait(until, init.signal)
    }
  }

  async close(): Promise<void> {
    const { stream, spec } = this.#init
    if (stream.status !== 'open') return
    try {
      await stream.close({ signal: AbortSignal.timeout(spec.messageTimeoutMs) })
    } catch (error) {
      this.abort(this.#reset(error))
    }
  }

  /** For a message that was none it counts against the remote, whichever side asked. */
  abort(error: Error): void {
    if (this.#failure === undefined && isCoded(error, 'MESSAGE_MALFORMED')) this.#init.onViolation('MESSAGE_MALFORMED')
    this.#failure ??= error
    this.#reader.clear()
    this.#init.stream.abort(error)
  }

  /**
   * Closes, drops what still comes, and waits until the other side has closed too, so that no stream is left half open:
   * it may be reading for some time yet, and at the end of the stream's life it has to go.
   */
  async finish(): Promise<void> {
    const { stream } = this.#init
    await this.close()
    if (this.over.aborted) return
    await stream.closeRead()
    // The other side's goodbye may have come meanwhile: an abort that has been is not told again.
    if (this.over.aborted) return
    await new Promise((resolve) => this.over.addEventListener('abort', resolve, { once: true }))
  }

  #onMessage(event: StreamMessageEvent): void {
    if (this.#failure !== undefined) return
    this.#reader.push(event.data)
    if (!this.#pulling) this.#pauseIfFull()
    this.#notify()
  }

  #pauseIfFull(): void {
    const { stream } = this.#init
    if (this.#reader.waiting > PAUSE_ABOVE && stream.status === 'open' && stream.readStatus === 'readable')
      stream.pause()
  }

  /** Without an error and without the remote's own goodbye, the connection went: what came may not be all. */
  #onClose(event: StreamCloseEvent): void {
    const clean = event.error === undefined && this.#remoteDone
    this.#end(clean ? undefined : this.#reset(event.error ?? 'the connection closed'))
  }

  #end(failure: Error | undefined): void {
    this.#failure ??= failure
    this.#life?.cancel()
    this.#over.abort(this.#failure ?? this.#reset('both sides are done'))
    this.#notify()
  }

  #take(): Uint8Array | undefined {
    try {
      return this.#reader.take()
    } catch (error) {
      if (!isCoded(error)) throw error
      const { code, message } = error as CodedError<KitErrorCode>
      throw this.#violation(code, `${this.peer} sent ${message} on ${this.#init.spec.id}`)
    }
  }

  /** Lets in what waits in a paused transport; true when that brought something. */
  #pull(): boolean {
    const { stream } = this.#init
    if (stream.readStatus !== 'paused') return false
    const before = this.#reader.waiting
    // A pause in the middle of `resume` would be undone by its end: the muxer would go on granting, and the buffer overflow.
    this.#pulling = true
    try {
      stream.resume()
    } catch {
      // The connection is gone, so the news that we read again finds nobody; what waited was delivered before that.
    } finally {
      this.#pulling = false
    }
    // What brings nothing at once brings it as it comes: half of a message may be more than is read ahead.
    if (this.#reader.waiting === before) return false
    this.#pauseIfFull()
    return true
  }

  #notify(): void {
    for (const wake of [...this.#waiting]) wake()
  }

  /** Resolves at the next event of the stream; rejects at `until` (monotonic) or when the caller aborts. */
  #wait(until: number, signal: AbortSignal | undefined): Promise<void> {
    const { clock, spec } = this.#init
    return new Promise((resolve, reject) => {
      const settle = (then: () => void) => (): void => {
        timer.cancel()
        signal?.removeEventListener('abort', onAbort)
        this.#waiting.delete(wake)
        then()
      }
      const wake = settle(resolve)
      const onAbort = settle(() => reject(signal?.reason))
      const late = `${this.peer} took longer than ${spec.messageTimeoutMs} ms on ${spec.id}`
      const timer = clock.after(
        Math.max(0, until - clock.mono()),
        settle(() => reject(this.#error('STREAM_TIMEOUT', late))),
      )
      if (signal?.aborted) return onAbort()
      signal?.addEventListener('abort', onAbort)
      this.#waiting.add(wake)
    })
  }

  #violation(code: KitErrorCode, message: string): CodedError<KitErrorCode> {
    const error = this.#error(code, message)
    this.#failure ??= error
    this.#init.onViolation(code)
    this.abort(error)
    return error
  }

  #reset(cause: unknown): CodedError<KitErrorCode> {
    const why = typeof cause === 'string' ? cause : messageOf(cause)
    return this.#error('STREAM_RESET', `the stream ${this.#init.spec.id} with ${this.peer} broke: ${why}`, cause)
  }

  #error(code: KitErrorCode, message: string, cause?: unknown): CodedError<KitErrorCode> {
    const facts = { peer: this.peer, protocol: this.#init.spec.id }
    return new CodedError(code, message, { facts, ...(cause instanceof Error ? { cause } : {}) })
  }
}
