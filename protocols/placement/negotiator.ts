// Drives one negotiation: turns the machine's effects into requests, and answers, failures and time into its events.
import type { Clock, Timer } from '../../core/clock.ts'
import { type CodedError, isAbort, isCoded, messageOf } from '../../core/errors.ts'
import type { Infer } from '../../core/shape.ts'
import type { KitErrorCode } from '../kit/errors.ts'
import type { PeerKey } from '../kit/types.ts'
import type { offerReplyShape, Refusal, startReplyShape } from './messages.ts'
import { step } from './negotiation.ts'
import type { Negotiation, NegotiationEffect, NegotiationEvent, NegotiationOutcome } from './negotiation-types.ts'

export interface NegotiatorPorts {
  readonly clock: Clock
  offer(peer: PeerKey): Promise<Infer<typeof offerReplyShape>>
  /** Before a start leaves; a rejection ends the negotiation with it. */
  attempt(peer: PeerKey, epoch: number): Promise<void>
  start(peer: PeerKey, reservation: string, epoch: number): Promise<Infer<typeof startReplyShape>>
  release(peer: PeerKey, reservation: string): Promise<void>
  revoke(peer: PeerKey, reservation: string, epoch: number): Promise<void>
  /** Owns the promise of `work`. */
  run(name: string, work: () => Promise<void>): void
}

/** These say that the request never reached a handler that would have acted on it. */
const NOT_ACTED_ON: readonly KitErrorCode[] = [
  'PEER_UNREACHABLE',
  'PROTOCOL_UNSUPPORTED',
  'NOT_ADMITTED',
  'REMOTE_BUSY',
  'REMOTE_REFUSED',
]

/** Resolves once with how it ended; answers that come later are still dealt with. Rejects when `signal` aborts. */
export function negotiate(
  initial: Negotiation,
  ports: NegotiatorPorts,
  signal: AbortSignal,
): Promise<NegotiationOutcome> {
  return new Negotiator(initial, ports, signal).run()
}

class Negotiator {
  readonly #ports: NegotiatorPorts
  readonly #signal: AbortSignal
  readonly #ended = Promise.withResolvers<NegotiationOutcome>()
  readonly #onAbort = (): void => this.#abandon(this.#signal.reason)
  #state: Negotiation
  #timer: Timer | undefined

  constructor(initial: Negotiation, ports: NegotiatorPorts, signal: AbortSignal) {
    this.#state = initial
    this.#ports = ports
    this.#signal = signal
  }

  async run(): Promise<NegotiationOutcome> {
    this.#signal.throwIfAborted()
    this.#signal.addEventListener('abort', this.#onAbort, { once: true })
    this.#feed({ kind: 'begin' })
    return this.#ended.promise
  }

  #feed(event: NegotiationEvent): void {
    const { state, effects } = step(this.#state, event, this.#ports.clock.mono())
    this.#state = state
    for (const effect of effects) this.#perform(effect)
  }

  #perform(effect: NegotiationEffect): void {
    const { clock, run, release, revoke } = this.#ports
    switch (effect.kind) {
      case 'offer':
        run('offer', async () => this.#feed(await offered(this.#ports, effect.peer)))
        break
      case 'start':
        run('start', () => this.#start(effect.peer, effect.reservation, effect.epoch))
        break
      case 'release':
        run('release', () => release(effect.peer, effect.reservation))
        break
      case 'revoke':
        run('revoke', () => revoke(effect.peer, effect.reservation, effect.epoch))
        break
      case 'wake':
        this.#timer?.cancel()
        this.#timer = clock.after(Math.max(0, effect.at - clock.mono()), () => this.#feed({ kind: 'tick' }))
        break
      case 'end':
        this.#finish()
        this.#ended.resolve(effect.outcome)
    }
  }

  async #start(peer: PeerKey, reservation: string, epoch: number): Promise<void> {
    try {
      await this.#ports.attempt(peer, epoch)
    } catch (error) {
      this.#abandon(error)
      return
    }
    // given up while the attempt was written: the start must not leave any more
    if (this.#state.phase !== 'starting' || this.#state.epoch !== epoch) return
    this.#feed(await started(this.#ports, peer, reservation, epoch))
  }

  /** Rejects, and lets the machine give everything back; its own end then changes nothing. */
  #abandon(error: unknown): void {
    this.#finish()
    this.#ended.reject(error)
    this.#feed({ kind: 'cancel', reason: messageOf(error) })
  }

  #finish(): void {
    this.#timer?.cancel()
    this.#signal.removeEventListener('abort', this.#onAbort)
  }
}

async function offered(ports: NegotiatorPorts, peer: PeerKey): Promise<NegotiationEvent> {
  try {
    const reply = await ports.offer(peer)
    if (reply.kind === 'refused') return { ...reply, peer }
    const { kind, ...bid } = reply
    return { kind, peer, bid }
  } catch (error) {
    if (isCoded(error, 'REMOTE_BUSY', 'REMOTE_REFUSED', 'REMOTE_FAILED'))
      return { kind: 'refused', peer, ...remoteRefusal(error) }
    return { kind: 'unreachable', peer, reason: reasonOf(error) }
  }
}

async function started(
  ports: NegotiatorPorts,
  peer: PeerKey,
  reservation: string,
  epoch: number,
): Promise<NegotiationEvent> {
  try {
    const reply = await ports.start(peer, reservation, epoch)
    if (reply.kind === 'accepted') return { kind: 'started', peer, epoch }
    return { kind: 'start-refused', peer, epoch, code: reply.code, reason: reply.reason }
  } catch (error) {
    if (isCoded(error, ...NOT_ACTED_ON)) return { kind: 'start-refused', peer, epoch, ...remoteRefusal(error) }
    return { kind: 'start-lost', peer, epoch, reason: reasonOf(error) }
  }
}

function remoteRefusal(error: CodedError): Refusal {
  const remote = error.facts.remoteCode
  return { code: typeof remote === 'string' ? remote : error.code, reason: error.message }
}

function reasonOf(error: unknown): string {
  return isAbort(error) ? 'no answer in time' : messageOf(error)
}
