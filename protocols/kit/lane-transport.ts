// A lane under a framed stream: what the stream asks of libp2p's streams, on a TLS socket. The libp2p stream on which the lane was
// agreed stays open beside it and speaks last: TLS does not tell a goodbye from a cut, so that it is said there, and whichever of
// the two breaks takes the other along.
import type { TLSSocket } from 'node:tls'
import { StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'
import { abortable } from '../../core/lifecycle.ts'
import type { FramedStream, Transport } from './framed-stream.ts'

export class LaneTransport implements Transport {
  readonly #events = new EventTarget()
  readonly #socket: TLSSocket
  readonly #control: FramedStream
  #status: Transport['status'] = 'open'
  #readStatus: Transport['readStatus'] = 'readable'
  #remoteWriteStatus: Transport['remoteWriteStatus'] = 'writable'
  #failure: Error | undefined
  /** Whether the end of the socket was one is found out then. */
  #goodbye: Promise<void> = Promise.resolve()
  #closing: Promise<void> = Promise.resolve()
  /** The socket bounds what waits unread by itself. */
  maxReadBufferLength = 0

  /** @param control the stream that the lane was agreed on; nobody else reads or writes it from now on */
  constructor(socket: TLSSocket, control: FramedStream) {
    this.#socket = socket
    this.#control = control
    // Its goodbyes may be through before all bytes of the lane are.
    const onOver = (): void => {
      if (control.failure !== undefined) this.#fail(control.failure)
    }
    control.over.addEventListener('abort', onOver)
    socket.on('data', (chunk) => {
      if (this.#readStatus !== 'closed') this.#events.dispatchEvent(new StreamMessageEvent(chunk))
    })
    socket.on('end', () => {
      this.#goodbye = this.#ended()
    })
    socket.on('drain', () => this.#events.dispatchEvent(new Event('drain')))
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => {
      control.over.removeEventListener('abort', onOver)
      void this.#goodbye.then(() => this.#closed())
    })
    if (control.over.aborted) onOver()
  }

  addEventListener(type: string, listener: (event: never) => void): void {
    this.#events.addEventListener(type, listener as (event: Event) => void)
  }

  get status(): Transport['status'] {
    return this.#status
  }

  get readStatus(): Transport['readStatus'] {
    return this.#readStatus
  }

  get remoteWriteStatus(): Transport['remoteWriteStatus'] {
    return this.#remoteWriteStatus
  }

  get readBufferLength(): number {
    return this.#socket.readableLength
  }

  get writableNeedsDrain(): boolean {
    return this.#socket.writableNeedDrain
  }

  send(data: Uint8Array | Uint8ArrayList): boolean {
    if (this.#status !== 'open') throw this.#failure ?? new Error(`the lane is ${this.#status}`)
    this.#socket.cork()
    for (const chunk of data instanceof Uint8Array ? [data] : data) this.#socket.write(chunk)
    this.#socket.uncork()
    return !this.#socket.writableNeedDrain
  }

  pause(): void {
    this.#readStatus = 'paused'
    this.#socket.pause()
  }

  resume(): void {
    this.#readStatus = 'readable'
    this.#socket.resume()
  }

  /** Resolves once all of it is with the system, and the goodbye said. */
  close(init: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (this.#status === 'open') {
      this.#status = 'closing'
      this.#closing = this.#close(init.signal)
    }
    return this.#closing
  }

  async #close(signal: AbortSignal | undefined): Promise<void> {
    const finished = Promise.withResolvers<void>()
    this.#socket.once('close', finished.resolve)
    this.#socket.end(finished.resolve)
    await abortable(finished.promise, signal)
    await this.#control.close()
  }

  async closeRead(): Promise<void> {
    this.#readStatus = 'closed'
    this.#socket.resume()
  }

  abort(error: Error): void {
    this.#fail(error)
  }

  /** The socket's end is the remote's goodbye when the stream beside it says so too. */
  async #ended(): Promise<void> {
    try {
      if ((await this.#control.receive()) !== undefined) throw new Error('the remote spoke beside its lane')
    } catch (error) {
      return this.#fail(asError(error))
    }
    this.#remoteWriteStatus = 'closed'
    this.#events.dispatchEvent(new Event('remoteCloseWrite'))
  }

  #fail(error: Error): void {
    if (this.#status === 'closed' || this.#status === 'aborted') return
    this.#status = 'aborted'
    this.#failure = error
    this.#control.abort(error)
    this.#socket.destroy()
  }

  #closed(): void {
    if (this.#status !== 'aborted') {
      // Closed from both sides, or cut without a word.
      if (this.#remoteWriteStatus === 'closed') this.#status = 'closed'
      else this.#fail(new Error('the lane was cut'))
    }
    this.#events.dispatchEvent(new StreamCloseEvent(false, this.#failure))
    if (this.#failure === undefined) void this.#finish()
  }

  /** The stream beside it goes once this side has said its goodbye there, too. */
  async #finish(): Promise<void> {
    try {
      await this.#closing
      await this.#control.finish()
    } catch (error) {
      this.#control.abort(asError(error))
    }
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason))
}
