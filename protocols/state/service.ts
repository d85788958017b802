// The state of the mesh on real streams, clocks and keys: everything that is decided is decided by the machine.
import type { Timer } from '../../core/clock.ts'
import { messageOf } from '../../core/errors.ts'
import { type Startable, Tasks } from '../../core/lifecycle.ts'
import { Verifier } from '../kit/signing.ts'
import type { HandlerContext, MessageStream, PeerKey } from '../kit/types.ts'
import { type Accusation, signClaim } from './claim.ts'
import { LinkStream } from './link-stream.ts'
import { StateMachine } from './machine.ts'
import { Members } from './members.ts'
import type { Effects } from './mesh-state.ts'
import { OwnRecord } from './own-record.ts'
import { LEAVE_TIMEOUT_MS, STATE_PROTOCOL } from './protocol.ts'
import { type SignedRecord, signRecord } from './record.ts'
import type { MeshView, OwnFields, StateInit, StateStatus } from './types.ts'

interface Running {
  readonly tasks: Tasks
  readonly machine: StateMachine
}

/** Starts with `start()`; `publish` may be called before. After `stop()` the view is empty until the next start. */
export class StateService implements Startable {
  readonly #init: StateInit
  readonly #self: PeerKey
  readonly #own: OwnRecord
  readonly #members: Members
  readonly #verifier = new Verifier()
  readonly #links = new Map<PeerKey, LinkStream>()
  /** Peers to which a link is being made. */
  readonly #opening = new Set<PeerKey>()
  #running: Running | undefined
  #undo: (() => Promise<void> | void)[] = []
  #sealing: Promise<void> = Promise.resolve()
  #last: SignedRecord | undefined
  #timer: Timer | undefined

  constructor(init: StateInit) {
    this.#init = init
    this.#self = init.signer.self
    this.#own = new OwnRecord(this.#self)
    this.#members = new Members({
      self: this.#self,
      machine: () => this.#running?.machine,
      mono: () => init.clock.mono(),
      connected: () => init.network.connected(),
      onListenerError: (error) => init.log.error('a listener of the mesh view threw: %s', messageOf(error)),
    })
  }

  get view(): MeshView {
    return this.#members
  }

  /** How this peer stands in the mesh, and what came to it that should not have; undefined while it is not started. */
  status(): StateStatus | undefined {
    const machine = this.#running?.machine
    if (machine === undefined) return undefined
    return { links: machine.links.size, health: machine.health, zoned: machine.isZoned, counters: machine.counters }
  }

  async start(): Promise<void> {
    if (this.#running !== undefined) return
    const { clock, network, random, log } = this.#init
    const tasks = new Tasks({ onError: (error, name) => log.error('%s failed: %s', name, messageOf(error)) })
    const machine = new StateMachine({ self: this.#self, effects: this.#effects(), random, nowMs: clock.mono() })
    this.#running = { tasks, machine }
    this.#own.begin(clock.now())
    machine.start(clock.mono())
    await this.#sealing
    this.#undo.push(await network.handle(STATE_PROTOCOL, (stream, context) => this.#answer(stream, context)))
    this.#undo.push(network.onChange((peer, up) => up && this.#running?.machine.met(peer, clock.mono())))
    for (const { peer } of network.connected()) machine.met(peer, clock.mono())
  }

  async stop(): Promise<void> {
    const running = this.#running
    if (running === undefined) return
    this.#running = undefined
    this.#timer?.cancel()
    const stopped = running.tasks.stop()
    for (const link of this.#links.values()) link.abort(new Error('the service was stopped'))
    this.#links.clear()
    this.#opening.clear()
    for (const undo of this.#undo.splice(0).reverse()) await undo()
    await stopped
  }

  /** Changes what this peer says of itself; told at once when it matters, else with the next refresh. Throws `STATE_RECORD_INVALID`. */
  publish(patch: Partial<OwnFields>): void {
    const { clock } = this.#init
    if (this.#own.patch(patch, clock.now())) this.#running?.machine.publish(clock.mono())
  }

  /** Says goodbye: every neighbour lists this one as `left`. What follows is `stop()`. */
  async leave(): Promise<void> {
    const running = this.#running
    if (running === undefined || this.#own.left) return
    const { clock } = this.#init
    this.#own.leave()
    running.machine.leave(clock.mono())
    await this.#sealing
    // Who has read all that was said closes its end too.
    const said = Promise.allSettled([...this.#links.values()].map((link) => link.finish()))
    const late = Promise.withResolvers<void>()
    const timer = clock.after(LEAVE_TIMEOUT_MS, late.resolve)
    await Promise.race([said, late.promise])
    timer.cancel()
  }

  #effects(): Effects {
    const { clock, log } = this.#init
    return {
      send: (peer, message) => this.#links.get(peer)?.send(message),
      open: (peer) => this.#open(peer),
      close: (peer) => this.#close(peer),
      seal: (urgent) => this.#seal(urgent),
      supersede: (stamp) => this.#own.supersede(stamp),
      summarize: (summary) => this.#own.summarize(summary),
      accuse: (accusation) => this.#accuse(accusation),
      changed: (peer) => this.#members.notify(peer),
      wakeAt: (monoMs) => {
        this.#timer?.cancel()
        this.#timer = clock.after(Math.max(0, monoMs - clock.mono()), () => {
          try {
            this.#running?.machine.wake(clock.mono())
          } catch (error) {
            log.error('the state of the mesh: %e', error)
          }
        })
      },
    }
  }

  /** One at a time, in the order of their versions. */
  #seal(urgent: boolean): void {
    const { signer, clock, log } = this.#init
    const running = this.#running
    if (running === undefined) return
    this.#own.locate(running.machine.coordinate)
    const sealing = this.#own.next(urgent, this.#last)
    this.#sealing = this.#sealing.then(async () => {
      try {
        // The one before may have been sealed since.
        const signed = await signRecord({ ...sealing, before: this.#last }, signer)
        this.#last = signed
        if (this.#running === running) running.machine.sealed(signed, clock.mono())
      } catch (error) {
        log.error('the own record cannot be signed: %e', error)
      }
    })
  }

  #accuse(accusation: Accusation): void {
    const { signer, clock, log } = this.#init
    const running = this.#running
    log('%s answers nobody here', accusation.about)
    running?.tasks.run('signing a suspicion', async () => {
      const claim = await signClaim(accusation, signer)
      if (this.#running === running) running.machine.accused(claim, clock.mono())
    })
  }

  #open(peer: PeerKey): void {
    const { network, clock, log } = this.#init
    const running = this.#running
    // One is enough; what becomes of it is heard by whoever wanted another.
    if (running === undefined || this.#opening.has(peer) || this.#links.has(peer)) return
    this.#opening.add(peer)
    running.tasks.run(`link to ${peer}`, async (signal) => {
      let stream: MessageStream
      try {
        stream = await network.open(peer, STATE_PROTOCOL, { signal })
      } catch (error) {
        if (signal.aborted) return
        log.trace('no link to %s: %s', peer, messageOf(error))
        running.machine.openFailed(peer, clock.mono())
        return
      } finally {
        this.#opening.delete(peer)
      }
      await this.#serve(running, peer, stream, true, signal).catch((error: unknown) => {
        if (!signal.aborted) log.trace('the link to %s broke: %s', peer, messageOf(error))
      })
    })
  }

  async #answer(stream: MessageStream, { peer, signal }: HandlerContext): Promise<void> {
    const running = this.#running
    if (running !== undefined) await this.#serve(running, peer, stream, false, signal)
  }

  /** Runs one link to its end; rejects with what broke it. */
  async #serve(
    running: Running,
    peer: PeerKey,
    stream: MessageStream,
    outbound: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#init
    const { machine } = running
    const before = this.#links.get(peer)
    // Both ends may have made one at the same time: they agree on that of the lower key. Of one maker, the later one counts.
    if (before !== undefined && before.outbound !== outbound && before.outbound === this.#self < peer)
      return stream.close()
    const link: LinkStream = new LinkStream({
      stream,
      outbound,
      clock,
      verify: this.#verifier.verify,
      incarnationOf: (other) => machine.table.stampOf(other).incarnation,
      onBusy: (isBusy) => this.#links.get(peer) === link && machine.busy(peer, isBusy, clock.mono()),
    })
    this.#links.set(peer, link)
    before?.close().catch((error: unknown) => before.abort(error))
    machine.linkUp(peer, outbound, clock.mono())
    try {
      await link.read((message) => {
        if (this.#links.get(peer) === link) machine.receive(peer, message, clock.mono())
      }, signal)
      await link.close()
    } catch (error) {
      link.abort(error)
      throw error
    } finally {
      if (this.#links.get(peer) === link) {
        this.#links.delete(peer)
        if (this.#running === running) machine.linkDown(peer, clock.mono())
      }
    }
  }

  #close(peer: PeerKey): void {
    const link = this.#links.get(peer)
    this.#links.delete(peer)
    link?.close().catch((error: unknown) => link.abort(error))
  }
}
