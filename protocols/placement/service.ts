// Serves offers, starts, reports and commands, and asks them of others.
import { CodedError, isAbort, messageOf } from '../../core/errors.ts'
import { deadline, Tasks } from '../../core/lifecycle.ts'
import { fromCbor } from '../../core/shape.ts'
import { okReply, refusalTo, request, serve } from '../kit/request.ts'
import type { HandlerContext, MessageStream, PeerKey } from '../kit/types.ts'
import { batchShape, type ReportAck, type ReportBatch } from './events.ts'
import { HostDesk } from './host-desk.ts'
import { KeyedQueue } from './keyed-queue.ts'
import {
  askShape,
  type CommandOrder,
  type CommandResult,
  commandResultShape,
  commandShape,
  offerReplyShape,
  type Release,
  type Room,
  releaseReplyShape,
  releaseShape,
  type StartOrder,
  startReplyShape,
  startShape,
} from './messages.ts'
import { negotiation } from './negotiation.ts'
import type { NegotiationOutcome } from './negotiation-types.ts'
import { negotiate } from './negotiator.ts'
import { COMMAND, OFFER, RELEASE, REPORT, START } from './protocol.ts'
import { ReportPump } from './reporter.ts'
import type { Claim, Placement, PlacementInit, PlacePlan, Reporter, ReporterInit, StartPlan } from './types.ts'

/** Works on any `Network`; a peer that may place cells on itself needs one that reaches itself (`kit/loopback.ts`). */
export class PlacementService implements Placement {
  readonly #init: PlacementInit
  readonly #desk: HostDesk
  readonly #reported = new KeyedQueue()
  readonly #reporters = new Set<ReportPump>()
  #tasks: Tasks | undefined
  #handlers: (() => Promise<void>)[] = []

  constructor(init: PlacementInit) {
    this.#init = init
    this.#desk = new HostDesk(init)
  }

  async start(): Promise<void> {
    if (this.#tasks !== undefined) return
    const { log } = this.#init
    this.#tasks = new Tasks({ onError: (error, name) => log.error('%s failed: %s', name, messageOf(error)) })
    this.#desk.clear()
    for (const reporter of this.#reporters) reporter.run()
    try {
      await this.#serve()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  async stop(): Promise<void> {
    const tasks = this.#tasks
    this.#tasks = undefined
    const handlers = this.#handlers
    this.#handlers = []
    await Promise.all([...this.#reporters].map((reporter) => reporter.stop()))
    this.#reporters.clear()
    await tasks?.stop()
    for (const remove of handlers.reverse()) await remove()
  }

  async place(plan: StartPlan, init: { readonly signal?: AbortSignal }): Promise<NegotiationOutcome> {
    return this.#negotiate(plan, 'start', plan, init.signal)
  }

  async reserve(plan: PlacePlan, init: { readonly signal?: AbortSignal }): Promise<NegotiationOutcome> {
    return this.#negotiate(plan, 'reserve', undefined, init.signal)
  }

  async release(host: PeerKey, reservation: string): Promise<void> {
    try {
      const signal = deadline(RELEASE.messageTimeoutMs, this.#started().signal)
      await request(this.#init.network, host, RELEASE, { reservation } satisfies Release, releaseReplyShape, { signal })
    } catch (error) {
      this.#init.log.trace('reservation at %s not released: %s', host, messageOf(error))
    }
  }

  async sendCommand(
    host: PeerKey,
    order: CommandOrder,
    init: { readonly signal?: AbortSignal } = {},
  ): Promise<CommandResult> {
    const own = this.#started().signal
    const signal = deadline(
      COMMAND.messageTimeoutMs,
      init.signal === undefined ? own : AbortSignal.any([own, init.signal]),
    )
    return request(this.#init.network, host, COMMAND, order, commandResultShape, { signal })
  }

  reporter(init: ReporterInit): Reporter {
    const { network, clock, random, log } = this.#init
    const onEnd = (): boolean => this.#reporters.delete(pump)
    const pump = new ReportPump(init, { network, clock, random, log, onEnd })
    this.#reporters.add(pump)
    if (this.#tasks !== undefined) pump.run()
    return pump
  }

  claim(cell: string, need: Room, reservation?: string): Claim {
    return this.#desk.claim(cell, need, reservation)
  }

  reserved(): Room {
    return this.#desk.reserved()
  }

  async #serve(): Promise<void> {
    const desk = this.#desk
    const keep = async (handler: Promise<() => Promise<void>>): Promise<void> => {
      this.#handlers.push(await handler)
    }
    const { network } = this.#init
    await keep(
      network.handle(
        OFFER,
        serve(askShape, (ask, { peer }) => desk.offered(ask, peer)),
      ),
    )
    await keep(
      network.handle(
        RELEASE,
        serve(releaseShape, (body, { peer }) => desk.released(body, peer)),
      ),
    )
    await keep(
      network.handle(
        START,
        serve(startShape, (order, { peer }) => desk.ordered(order, peer)),
      ),
    )
    await keep(network.handle(REPORT, (stream, context) => this.#reports(stream, context)))
    await keep(
      network.handle(
        COMMAND,
        serve(commandShape, (order, context) => desk.commanded(order, context)),
      ),
    )
  }

  #started(): Tasks {
    if (this.#tasks === undefined) throw new CodedError('STOPPED', 'placement is not running; start the peer first')
    return this.#tasks
  }

  // as an authority

  #negotiate(
    plan: PlacePlan,
    purpose: 'start' | 'reserve',
    startPlan: StartPlan | undefined,
    callers: AbortSignal | undefined,
  ): Promise<NegotiationOutcome> {
    const tasks = this.#started()
    const { network, clock } = this.#init
    const signal = callers === undefined ? tasks.signal : AbortSignal.any([tasks.signal, callers])
    const within = (ms: number): { signal: AbortSignal } => ({ signal: deadline(ms, tasks.signal) })
    const ports = {
      clock,
      run: (name: string, work: () => Promise<void>) => tasks.run(name, work),
      offer: (peer: PeerKey) =>
        request(network, peer, OFFER, plan.ask, offerReplyShape, within(OFFER.messageTimeoutMs)),
      attempt: async (host: PeerKey, epoch: number) => startPlan?.onAttempt({ host, epoch }),
      start: async (peer: PeerKey, reservation: string, epoch: number) => {
        if (startPlan === undefined) throw new Error('a reservation was to be started')
        const order: StartOrder = { reservation, epoch, manifest: startPlan.signed, holders: startPlan.holders }
        return request(network, peer, START, order, startReplyShape, within(START.messageTimeoutMs))
      },
      release: (peer: PeerKey, reservation: string) => this.release(peer, reservation),
      revoke: (peer: PeerKey, reservation: string, epoch: number) => this.#revoke(peer, plan.cell, reservation, epoch),
    }
    return negotiate(negotiation(plan.candidates, plan.epoch, purpose), ports, signal)
  }

  /** As far as the host hears it; if it runs the cell all the same, its first report is answered with a higher epoch. */
  async #revoke(host: PeerKey, cell: string, reservation: string, epoch: number): Promise<void> {
    await this.release(host, reservation)
    try {
      const signal = deadline(START.messageTimeoutMs, this.#started().signal)
      await this.sendCommand(host, { cell, epoch, command: { kind: 'stop' } }, { signal })
    } catch (error) {
      this.#init.log.trace('start of %s at %s not revoked: %s', cell, host, messageOf(error))
    }
  }

  async #reports(stream: MessageStream, context: HandlerContext): Promise<void> {
    const { signal } = context
    for (let bytes = await stream.receive({ signal }); bytes !== undefined; bytes = await stream.receive({ signal })) {
      const reply = await this.#reply(bytes, context)
      await stream.send(reply.bytes, { signal })
      if (!reply.goOn) break
    }
    await stream.close()
  }

  async #reply(bytes: Uint8Array, context: HandlerContext): Promise<{ bytes: Uint8Array; goOn: boolean }> {
    const { peer, signal } = context
    try {
      const batch = fromCbor(bytes, batchShape, 'MESSAGE_MALFORMED')
      return { bytes: okReply(await this.#report(peer, batch)), goOn: true }
    } catch (error) {
      if (isAbort(error) || signal.aborted) throw error
      return { bytes: refusalTo(context, error), goOn: false }
    }
  }

  #report(peer: PeerKey, batch: ReportBatch): Promise<ReportAck> {
    return this.#reported.run(batch.cell, () => this.#init.authority.report(peer, batch))
  }
}
