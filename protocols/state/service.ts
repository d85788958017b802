// Keeps this peer's view of the mesh true: exchanges records, probes, and publishes what this peer says of itself.

import { sleep } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import { type Startable, Tasks } from '../../core/lifecycle.ts'
import type { Infer } from '../../core/shape.ts'
import { serve } from '../kit/request.ts'
import type { HandlerContext, MessageStream, PeerKey } from '../kit/types.ts'
import type { DetectorEffect } from './detector-types.ts'
import type { StateErrorCode } from './errors.ts'
import { answerMessage, deltaMessage, openingMessage, pushMessage } from './exchange.ts'
import { Members } from './members.ts'
import { decodeExchange, type Exchange, probeShape } from './messages.ts'
import { OwnRecord } from './own-record.ts'
import { ping, probe } from './prober.ts'
import {
  EXCHANGE_INTERVAL_MS,
  EXCHANGE_TIMEOUT_MS,
  LEAVE_TIMEOUT_MS,
  PROBE_PROTOCOL,
  PUSH_DEBOUNCE_MS,
  PUSH_SPACING_MS,
  REFRESH_INTERVAL_MS,
  STATE_PROTOCOL,
  TICK_MS,
} from './protocol.ts'
import { decodeRecord, verifyRecord } from './record.ts'
import type { MeshView, OwnFields, StateInit } from './types.ts'
import { within } from './within.ts'

/** Starts with `start()`; `publish` may be called before. After `stop()` the view is empty until the next start. */
export class StateService implements Startable {
  readonly #init: StateInit
  readonly #members: Members
  readonly #own: OwnRecord
  readonly #self: PeerKey
  /** Peers with a full exchange of ours under way. */
  readonly #exchanging = new Set<PeerKey>()
  #tasks: Tasks | undefined
  #undo: (() => Promise<void> | void)[] = []
  #sealDue = false
  #pushDue = false
  #pushedMs = Number.NEGATIVE_INFINITY

  constructor(init: StateInit) {
    this.#init = init
    this.#self = init.signer.self
    this.#own = new OwnRecord(init.signer)
    this.#members = new Members({
      self: this.#self,
      clock: init.clock,
      random: init.random,
      connected: () => init.network.connected(),
      onListenerError: (error) => init.log.error('a listener of the mesh view threw: %s', messageOf(error)),
    })
  }

  get view(): MeshView {
    return this.#members
  }

  async start(): Promise<void> {
    if (this.#tasks !== undefined) return
    const { clock, network, random, log } = this.#init
    const tasks = new Tasks({ onError: (error, name) => log.error('%s failed: %s', name, messageOf(error)) })
    this.#tasks = tasks
    this.#members.reset()
    this.#own.begin(clock.now())
    await this.#seal()
    this.#undo.push(await network.handle(STATE_PROTOCOL, (stream, context) => this.#answer(stream, context)))
    this.#undo.push(
      await network.handle(
        PROBE_PROTOCOL,
        serve(probeShape, (body, ctx) => this.#pinged(body, ctx)),
      ),
    )
    this.#undo.push(network.onChange((peer, up) => this.#feed({ kind: 'connection', peer, up })))
    for (const { peer } of network.connected()) this.#feed({ kind: 'connection', peer, up: true })
    const jitteredMs = (): number => EXCHANGE_INTERVAL_MS * (0.75 + random.next() / 2)
    const tickMs = (): number => TICK_MS
    const refreshMs = (): number => REFRESH_INTERVAL_MS
    tasks.every('state exchange', clock, jitteredMs, async () => this.#exchangeWithAny())
    tasks.every('state tick', clock, tickMs, async () => this.#feed({ kind: 'tick' }))
    tasks.every('state refresh', clock, refreshMs, () => {
      this.#own.locate(this.#members.locate())
      return this.#seal()
    })
  }

  async stop(): Promise<void> {
    const tasks = this.#tasks
    if (tasks === undefined) return
    this.#tasks = undefined
    const stopped = tasks.stop()
    for (const undo of this.#undo.splice(0).reverse()) await undo()
    await stopped
    this.#members.reset()
    this.#exchanging.clear()
    this.#sealDue = false
    this.#pushDue = false
    this.#pushedMs = Number.NEGATIVE_INFINITY
  }

  /** Changes what this peer says of itself; told at once when it matters, else with the next refresh. Throws `STATE_RECORD_INVALID`. */
  publish(patch: Partial<OwnFields>): void {
    if (this.#own.patch(patch, this.#init.clock.now())) this.#push(true)
  }

  /** Says goodbye: every connected peer lists this one as `left`. What follows is `stop()`. */
  async leave(): Promise<void> {
    const tasks = this.#tasks
    if (tasks === undefined || this.#own.left) return
    this.#own.leave()
    await this.#seal()
    const goodbye = pushMessage(this.#members, this.#self)
    const told = this.#init.network
      .connected()
      .map(({ peer }) => this.#converse(peer, goodbye, LEAVE_TIMEOUT_MS, tasks.signal))
    await Promise.allSettled(told)
  }

  async #seal(): Promise<void> {
    this.#sealDue = false
    this.#act(this.#members.store(await this.#own.seal()))
  }

  /** Tells all connected peers soon: the own record (a new version of it if `seal`), and whom we doubt. */
  #push(seal: boolean): void {
    this.#sealDue ||= seal
    if (this.#pushDue || this.#tasks === undefined) return
    const { clock, network } = this.#init
    this.#pushDue = true
    this.#tasks.run('state push', async (signal) => {
      await sleep(clock, Math.max(PUSH_DEBOUNCE_MS, this.#pushedMs + PUSH_SPACING_MS - clock.mono()), signal)
      this.#pushDue = false
      this.#pushedMs = clock.mono()
      if (this.#sealDue) await this.#seal()
      const message = pushMessage(this.#members, this.#self)
      for (const { peer } of network.connected())
        this.#spawn('state push', peer, (inner) => this.#converse(peer, message, EXCHANGE_TIMEOUT_MS, inner))
    })
  }

  #feed(event: Parameters<Members['feed']>[0]): void {
    if (this.#tasks !== undefined) this.#act(this.#members.feed(event))
  }

  #act(effects: readonly DetectorEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'probe') this.#probe(effect)
      else if (effect.kind === 'refute') this.#push(true)
      else if (effect.kind === 'exchange') this.#exchange(effect.peer)
      else if (effect.kind === 'status') {
        this.#init.log('%s is %s', effect.peer, effect.status)
        if (effect.status === 'suspect' || effect.status === 'failed') this.#push(false)
      }
    }
  }

  #exchangeWithAny(): void {
    const idle = this.#init.network.connected().filter(({ peer }) => !this.#exchanging.has(peer))
    const chosen = idle[this.#init.random.int(idle.length)]
    if (chosen !== undefined) this.#exchange(chosen.peer)
  }

  /** Compares all that is held with `peer`; each exchange is a task of its own, so that no slow peer delays the others. */
  #exchange(peer: PeerKey): void {
    if (this.#exchanging.has(peer)) return
    this.#exchanging.add(peer)
    this.#spawn('state exchange', peer, async (signal) => {
      try {
        await this.#converse(peer, openingMessage(this.#members, this.#self), EXCHANGE_TIMEOUT_MS, signal)
      } finally {
        this.#exchanging.delete(peer)
      }
    })
  }

  /** A failed conversation is no news for a person, but a reason to probe. */
  #spawn(name: string, peer: PeerKey, work: (signal: AbortSignal) => Promise<void>): void {
    this.#tasks?.run(name, async (signal) => {
      try {
        await work(signal)
      } catch (error) {
        if (signal.aborted) return
        this.#init.log.trace('%s with %s: %s', name, peer, messageOf(error))
        this.#feed({ kind: 'doubt', peer })
      }
    })
  }

  /** The initiator's side: `first`, their answer, what the answer asks for. */
  async #converse(peer: PeerKey, first: Uint8Array, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const { clock, network } = this.#init
    await within(clock, timeoutMs, signal, async (inner) => {
      const init = { signal: inner }
      const stream = await network.open(peer, STATE_PROTOCOL, init)
      try {
        await stream.send(first, init)
        const bytes = await stream.receive(init)
        if (bytes === undefined) throw new CodedError('STREAM_ENDED', `${peer} closed a state exchange unanswered`)
        const answer = decodeExchange(bytes)
        await this.#absorb(answer, peer).catch(breach)
        const more = deltaMessage(this.#members, answer, peer)
        if (more !== undefined) await stream.send(more, init)
        await stream.close()
        this.#heed(answer, peer)
      } catch (error) {
        stream.abort(error instanceof Error ? error : new Error(messageOf(error)))
        throw error
      }
    })
  }

  /** The responder's side. Throws for what breaks the protocol, so that the kit counts it against the sender. */
  async #answer(stream: MessageStream, { peer, signal }: HandlerContext): Promise<void> {
    const bytes = await stream.receive({ signal })
    if (bytes === undefined) return
    const first = decodeExchange(bytes)
    await this.#absorb(first, peer).catch(breach)
    const answer = answerMessage(this.#members, this.#self, first, peer)
    await stream.send(answer.bytes, { signal })
    const rest = answer.asksForMore ? await stream.receive({ signal }) : undefined
    if (rest !== undefined) await this.#absorb(decodeExchange(rest), peer).catch(breach)
    await stream.close()
    this.#heed(first, peer)
  }

  /** Verifies and keeps the records of a message that are news. Throws `STATE_RECORD_*` at the first bad one. */
  async #absorb(message: Exchange, from: PeerKey): Promise<void> {
    for (const { bytes, signature } of message.records) {
      const signed = decodeRecord(bytes, signature)
      const { peer } = signed.record
      if (!this.#members.wants(peer, signed.record)) continue
      if (!(await verifyRecord(signed)))
        throw new CodedError<StateErrorCode>(
          'STATE_RECORD_FORGED',
          `${from} sent a record of ${peer} that ${peer} never signed`,
          {
            facts: { from, peer },
          },
        )
      if (this.#tasks === undefined) return
      if (peer !== this.#self) this.#act(this.#members.store(signed))
      else if (!this.#own.left) {
        this.#own.supersede(signed.record)
        this.#push(true)
      }
    }
  }

  /** Hears what the remote doubts, once its records are in; and that it spoke at all. */
  #heed(message: Exchange, from: PeerKey): void {
    this.#feed({ kind: 'heard', peer: from })
    for (const entry of message.digest) {
      if (entry.doubt === undefined || (entry.peer === this.#self && this.#own.left)) continue
      const { peer: about, doubt: status, incarnation, version } = entry
      const confirmers = status === 'failed' ? [...entry.confirmers, from] : entry.confirmers
      this.#feed({ kind: 'claim', about, status, stamp: { incarnation, version }, confirmers })
    }
  }

  #probe(effect: DetectorEffect & { readonly kind: 'probe' }): void {
    const { clock, network } = this.#init
    this.#tasks?.run('probe', async (signal) => {
      const { outcome, silentHelpers, rttMs } = await probe(network, clock, effect, signal)
      if (rttMs !== undefined) this.#members.measured(effect.peer, rttMs)
      this.#feed({ kind: 'probed', peer: effect.peer, outcome, silentHelpers })
    })
  }

  async #pinged(body: Infer<typeof probeShape>, { peer, signal }: HandlerContext): Promise<{ alive: boolean }> {
    this.#feed({ kind: 'heard', peer })
    if (body.kind === 'ping') {
      if (body.suspected !== undefined && !this.#own.left)
        this.#feed({ kind: 'claim', about: this.#self, stamp: body.suspected, status: 'suspect', confirmers: [peer] })
      return { alive: true }
    }
    // Only members are pinged on demand: nobody can make us dial strangers.
    if (!this.#members.records.has(body.target)) return { alive: false }
    const { clock, network } = this.#init
    return { alive: (await ping(network, clock, body.target, body.timeoutMs, signal)) !== undefined }
  }
}

/** Members verify before they forward: a bad record is the sender's own breach, and goes under the code that the kit counts. */
function breach(error: unknown): never {
  if (!isCoded(error, 'STATE_RECORD_MALFORMED', 'STATE_RECORD_FORGED')) throw error
  throw new CodedError('MESSAGE_MALFORMED', error.message, { facts: error.facts, cause: error })
}
