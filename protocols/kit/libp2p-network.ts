// The real `Network`: libp2p underneath, every limit of a protocol's row enforced here, and the gate asked before any handler.
// Handlers are wrapped and given to `handle`; `registrar.use` is never called, since libp2p 3.3 pushes each inbound handler into
// the array it was given, so that the Nth stream would run N handlers.
import type { Connection, Libp2p, Logger, PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import type { Clock } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import { deadline, type Startable, Tasks } from '../../core/lifecycle.ts'
import type { KitErrorCode } from './errors.ts'
import { FramedStream, type Transport } from './framed-stream.ts'
import { LaneTransport } from './lane-transport.ts'
import { Lanes } from './lanes.ts'
import { Penalties } from './penalty.ts'
import { Quotas } from './quota.ts'
import { errorReply } from './request.ts'
import { type Measure, RoundTrips } from './round-trips.ts'
import type { ConnectedPeer, MessageStream, Network, PeerKey, ProtocolSpec, StreamHandler } from './types.ts'

/** Who may speak. The admission service is one. */
export interface Gate {
  admitted(peer: PeerKey): boolean
  /** Shows certificates to each other if that has not been done; rejects with the reason why the peer is no member. */
  ensure(peer: PeerKey, signal: AbortSignal): Promise<void>
  /** Called when a peer becomes or ceases to be admitted. */
  onChange(listener: (peer: PeerKey) => void): () => void
}

/** An inbound stream may come before its connection's handshake is through. */
export const GATE_WAIT_MS = 3_000
/** A dial tries all addresses of a peer; on one that drops packets it must end. */
const DIAL_TIMEOUT_MS = 8_000
/** How often connections are looked at: certificates end, and a handshake can fail by chance. */
const REVIEW_EVERY_MS = 15_000
/** A stranger's connection is closed after this: a joiner on a slow board calibrates itself between its ticket and its hello. */
const STRANGER_MS = 120_000

export interface Libp2pNetworkInit {
  readonly node: Libp2p
  readonly gate: Gate
  readonly clock: Clock
  readonly log: Logger
  /** Pings a connected peer. @default none: what libp2p's own monitor measures, later, is reported */
  readonly measure?: Measure
}

export class Libp2pNetwork implements Network, Startable {
  readonly self: PeerKey
  readonly #node: Libp2p
  readonly #gate: Gate
  readonly #clock: Clock
  readonly #log: Logger
  readonly #penalties = new Penalties()
  readonly #quotas = new Quotas()
  readonly #lanes: Lanes
  readonly #listeners = new Set<(peer: PeerKey, connected: boolean) => void>()
  readonly #known = new Set<PeerKey>()
  readonly #detach: (() => void)[] = []
  readonly #roundTrips: RoundTrips | undefined
  #tasks: Tasks | undefined

  constructor(init: Libp2pNetworkInit) {
    this.self = init.node.peerId.toString()
    this.#node = init.node
    this.#gate = init.gate
    this.#clock = init.clock
    this.#log = init.log
    this.#lanes = new Lanes(init.clock, init.log)
    this.#roundTrips = init.measure === undefined ? undefined : new RoundTrips(init.measure, init.clock)
  }

  /** Begins to watch connections: dialled and accepted ones are admitted as they come. */
  async start(): Promise<void> {
    if (this.#tasks !== undefined) return
    const tasks = new Tasks({ onError: (error, name) => this.#log.error('%s: %e', name, error) })
    this.#tasks = tasks
    const meet = (peer: PeerKey): void => tasks.run(`meeting ${peer}`, (signal) => this.#meet(peer, signal))
    const onConnect = (event: CustomEvent<PeerId>): void => meet(event.detail.toString())
    const onDisconnect = (event: CustomEvent<PeerId>): void => this.#review(event.detail.toString())
    this.#node.addEventListener('peer:connect', onConnect)
    this.#node.addEventListener('peer:disconnect', onDisconnect)
    this.#detach.push(
      () => this.#node.removeEventListener('peer:connect', onConnect),
      () => this.#node.removeEventListener('peer:disconnect', onDisconnect),
      this.#gate.onChange((peer) => this.#review(peer)),
    )
    for (const peer of this.#node.getPeers()) meet(peer.toString())
    tasks.every(
      'reviewing connections',
      this.#clock,
      () => REVIEW_EVERY_MS,
      async (signal) => {
        await Promise.all(this.#node.getPeers().map((peer) => this.#meet(peer.toString(), signal)))
      },
    )
  }

  async stop(): Promise<void> {
    for (const detach of this.#detach.splice(0)) detach()
    const tasks = this.#tasks
    this.#tasks = undefined
    await tasks?.stop()
    this.#known.clear()
  }

  async handle(spec: ProtocolSpec, handler: StreamHandler): Promise<() => Promise<void>> {
    const running = new Set<Promise<void>>()
    const stopping = new AbortController()
    await this.#node.handle(
      spec.id,
      (stream, connection) => {
        // Reading begins at once: what arrives while the gate is asked waits, instead of being dropped.
        const framed = this.#framed(stream, connection.remotePeer.toString(), spec)
        const task = this.#serve(spec, handler, framed, connection, stopping.signal).finally(() => running.delete(task))
        running.add(task)
      },
      { maxInboundStreams: spec.maxInboundStreams, maxOutboundStreams: spec.maxOutboundStreams },
    )
    return async () => {
      await this.#node.unhandle(spec.id)
      stopping.abort(new CodedError('STOPPED', 'the service was stopped'))
      await Promise.allSettled(running)
    }
  }

  async open(peer: PeerKey, spec: ProtocolSpec, init: { readonly signal?: AbortSignal } = {}): Promise<MessageStream> {
    const signal = deadline(DIAL_TIMEOUT_MS, init.signal)
    const connection = await this.#connect(peer, signal, init.signal)
    if (spec.access === 'member' && !this.#gate.admitted(peer)) await this.#gate.ensure(peer, signal)
    try {
      const stream = await connection.newStream(spec.id, { signal, maxOutboundStreams: spec.maxOutboundStreams })
      const framed = this.#framed(stream, peer, spec)
      return spec.bulk ? await this.#onLane('open', framed, spec, connection, signal) : framed
    } catch (error) {
      throw openError(error, peer, spec, init.signal)
    }
  }

  connected(): readonly ConnectedPeer[] {
    const peers = new Map<PeerKey, ConnectedPeer>()
    for (const connection of this.#node.getConnections()) {
      const peer = connection.remotePeer.toString()
      if (connection.status !== 'open' || peers.has(peer) || !this.#mayTalk(peer)) continue
      const { direction, remoteAddr } = connection
      const rtt = this.#roundTrips?.of(peer) ?? connection.rtt
      peers.set(peer, { peer, direction, address: remoteAddr.toString(), ...(rtt === undefined ? {} : { rttMs: rtt }) })
    }
    return [...peers.values()]
  }

  onChange(listener: (peer: PeerKey, connected: boolean) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async #connect(peer: PeerKey, signal: AbortSignal, callers: AbortSignal | undefined): Promise<Connection> {
    let id: PeerId
    try {
      id = peerIdFromString(peer)
      const open = this.#node.getConnections(id).find((connection) => connection.status === 'open')
      return open ?? (await this.#node.dial(id, { signal }))
    } catch (error) {
      if (callers?.aborted) throw callers.reason
      throw new CodedError<KitErrorCode>(
        'PEER_UNREACHABLE',
        `peer ${peer} cannot be reached (is it up, and in this mesh?): ${messageOf(error)}`,
        {
          facts: { peer },
          cause: error,
        },
      )
    }
  }

  async #serve(
    spec: ProtocolSpec,
    handler: StreamHandler,
    opened: FramedStream,
    connection: Connection,
    stopping: AbortSignal,
  ): Promise<void> {
    let framed = opened
    const { peer } = framed
    const onStop = (): void => framed.abort(stopping.reason as Error)
    stopping.addEventListener('abort', onStop)
    try {
      if (this.#isBanned(peer)) throw coded('REMOTE_BUSY', `${peer} broke the rules too often`)
      if (!this.#quotas.take(peer, spec, this.#clock.mono())) return await this.#refuse(framed, spec)
      if (spec.access === 'member' && !this.#gate.admitted(peer))
        await this.#gate.ensure(peer, deadline(GATE_WAIT_MS, framed.over))
      if (spec.bulk) framed = await this.#onLane('answer', opened, spec, connection, opened.over)
      await handler(framed, { peer, signal: framed.over, blame: (code) => this.#penalise(peer, code) })
      await framed.finish()
    } catch (error) {
      this.#log('%s of %s ended: %s', spec.id, peer, messageOf(error))
      // Those of the kit's own code are counted by the stream.
      if (isMalformed(error)) this.#penalise(peer, 'MESSAGE_MALFORMED')
      framed.abort(error instanceof Error ? error : new Error(messageOf(error)))
    } finally {
      stopping.removeEventListener('abort', onStop)
    }
  }

  /** Over its quota: the remote is told so in place of an answer, and nobody else is troubled. */
  async #refuse(framed: FramedStream, spec: ProtocolSpec): Promise<void> {
    this.#penalise(framed.peer, 'REMOTE_BUSY')
    const limit = `more than ${spec.streamsPerMinute} streams of ${spec.id} in a minute; try again later`
    await framed.send(errorReply(coded('REMOTE_BUSY', limit)))
    await framed.finish()
  }

  /** The stream over a lane, where both ends come to one; else `control` itself, which breaks when they cannot even agree. */
  async #onLane(
    part: 'open' | 'answer',
    control: FramedStream,
    spec: ProtocolSpec,
    ends: Connection,
    signal: AbortSignal,
  ): Promise<FramedStream> {
    try {
      const socket = await this.#lanes[part]({ control, spec, ends, signal })
      return socket === undefined ? control : this.#framed(new LaneTransport(socket, control), control.peer, spec)
    } catch (error) {
      control.abort(error instanceof Error ? error : new Error(messageOf(error)))
      throw error
    }
  }

  #framed(stream: Transport, peer: PeerKey, spec: ProtocolSpec): FramedStream {
    const onViolation = (code: KitErrorCode): void => this.#penalise(peer, code)
    return new FramedStream({ stream, peer, spec, clock: this.#clock, onViolation }).attach()
  }

  #isBanned(peer: PeerKey): boolean {
    return this.#penalties.isBanned(peer, this.#clock.mono())
  }

  #mayTalk(peer: PeerKey): boolean {
    return this.#gate.admitted(peer) && !this.#isBanned(peer)
  }

  #penalise(peer: PeerKey, code: KitErrorCode): void {
    if (!this.#penalties.add(peer, code, this.#clock.mono())) return
    this.#log.error('%s broke the rules too often and is not heard for a while (last: %s)', peer, code)
    this.#hangUp(peer)
  }

  #hangUp(peer: PeerKey): void {
    this.#node.hangUp(peerIdFromString(peer)).catch((error: unknown) => this.#log('hang up: %e', error))
  }

  /** What is done about a connected peer: members are announced, strangers get their chance and then have to go. */
  async #meet(peer: PeerKey, signal: AbortSignal): Promise<void> {
    if (this.#isBanned(peer)) return this.#hangUp(peer)
    try {
      if (!this.#gate.admitted(peer)) await this.#gate.ensure(peer, deadline(DIAL_TIMEOUT_MS, signal))
    } catch (error) {
      if (signal.aborted) return
      this.#log('%s is connected and no member: %s', peer, messageOf(error))
      const opened = this.#node.getConnections(peerIdFromString(peer)).map(({ timeline }) => timeline.open)
      if (opened.some((at) => this.#clock.now() - at > STRANGER_MS)) this.#hangUp(peer)
    }
    this.#review(peer)
    if (this.#known.has(peer)) await this.#measure(peer, signal)
  }

  async #measure(peer: PeerKey, signal: AbortSignal): Promise<void> {
    try {
      await this.#roundTrips?.refresh(peer, deadline(DIAL_TIMEOUT_MS, signal))
    } catch (error) {
      this.#log('the round trip to %s cannot be measured: %s', peer, messageOf(error))
    }
  }

  /** Tells listeners when a peer has become reachable as a member, or has ceased to be. */
  #review(peer: PeerKey): void {
    const now = this.#mayTalk(peer) && this.#node.getConnections(peerIdFromString(peer)).length > 0
    if (now === this.#known.has(peer)) return
    if (now) this.#known.add(peer)
    else {
      this.#known.delete(peer)
      this.#roundTrips?.forget(peer)
    }
    for (const listener of this.#listeners) listener(peer, now)
  }
}

function coded(code: KitErrorCode, message: string): CodedError<KitErrorCode> {
  return new CodedError(code, message)
}

/** Codes by which the folders above say that bytes are not what they should be. */
function isMalformed(error: unknown): boolean {
  return isCoded(error) && error.code.endsWith('_MALFORMED') && error.code !== 'MESSAGE_MALFORMED'
}

const OPEN_ERRORS: Readonly<Record<string, { readonly code: KitErrorCode; readonly what: string }>> = {
  UnsupportedProtocolError: { code: 'PROTOCOL_UNSUPPORTED', what: 'does not speak' },
  TooManyOutboundProtocolStreamsError: { code: 'REMOTE_BUSY', what: 'is asked enough already by' },
}

function openError(error: unknown, peer: PeerKey, spec: ProtocolSpec, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason
  if (isCoded(error)) return error
  const known = error instanceof Error ? OPEN_ERRORS[error.name] : undefined
  const what = known === undefined ? `opened no stream for ${spec.id}: ${messageOf(error)}` : `${known.what} ${spec.id}`
  return new CodedError(known?.code ?? 'PEER_UNREACHABLE', `peer ${peer} ${what}`, {
    facts: { peer, protocol: spec.id },
    cause: error,
  })
}
