// One end of a simulated stream of messages.
import { CodedError } from '../../core/errors.ts'
import type { KitErrorCode } from '../../protocols/kit/errors.ts'
import type { MessageStream, PeerKey, ProtocolSpec } from '../../protocols/kit/types.ts'
import type { Life } from './life.ts'

/** What both ends of a stream share. */
export interface Wire {
  /** Nothing arrives any more, at either end. */
  isStalled: boolean
  /** Has `deliver` called at `due` or later, or never; returns when. */
  carry(due: number, deliver: () => void): number
}

export class SimulatedStream implements MessageStream {
  readonly life: Life
  readonly peer: PeerKey
  readonly wire: Wire
  readonly #spec: ProtocolSpec
  readonly #inbox: Uint8Array[] = []
  #other: SimulatedStream | undefined
  #ended = false
  #failure: Error | undefined
  #wake: (() => void) | undefined
  /** When the last message that was sent arrives. */
  #due = 0
  /** Called with everything that is sent. */
  onSent: ((message: Uint8Array) => void) | undefined

  constructor(life: Life, peer: PeerKey, spec: ProtocolSpec, wire: Wire) {
    this.life = life
    this.peer = peer
    this.#spec = spec
    this.wire = wire
  }

  join(other: SimulatedStream): void {
    this.#other = other
    other.#other = this
  }

  async send(message: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    if (message.length > this.#spec.maxMessageBytes)
      throw new CodedError<KitErrorCode>('MESSAGE_TOO_LARGE', `${message.length} bytes on ${this.#spec.id}`)
    this.life.point()
    this.#carry((other) => other.#arrive(message))
    this.onSent?.(message)
    this.life.point()
    await this.life.pause(1)
  }

  async receive(): Promise<Uint8Array | undefined> {
    const until = this.life.mono() + this.#spec.messageTimeoutMs
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure
      const message = this.#inbox.shift()
      if (message !== undefined) return message
      if (this.#ended) return undefined
      if (this.life.mono() >= until)
        throw new CodedError<KitErrorCode>('STREAM_TIMEOUT', `${this.peer} said nothing on ${this.#spec.id}`)
      await new Promise<void>((resolve) => {
        const timer = this.life.after(until - this.life.mono(), resolve)
        this.#wake = () => {
          timer.cancel()
          resolve()
        }
      })
    }
  }

  async close(): Promise<void> {
    this.#carry((other) => {
      other.#ended = true
      other.#wake?.()
    })
  }

  abort(error: Error): void {
    if (this.#failure !== undefined) return
    this.fail('STREAM_RESET', error.message)
    this.#carry((other) => other.fail('STREAM_RESET', `reset by ${this.life.node}`))
  }

  fail(code: KitErrorCode, why: string): void {
    this.#failure ??= new CodedError(code, why)
    this.#wake?.()
  }

  #carry(deliver: (other: SimulatedStream) => void): void {
    const other = this.#other
    if (other === undefined || !this.life.alive) return
    this.#due = this.wire.carry(this.#due, () => {
      if (other.life.alive) deliver(other)
    })
  }

  #arrive(message: Uint8Array): void {
    this.#inbox.push(message)
    this.life.point()
    if (this.life.alive) this.#wake?.()
  }
}
