// The real `Network`: libp2p underneath, every limit of a protocol's row enforced here, and the gate asked before any handler.
// Handlers are wrapped and given to `handle`; `registrar.use` is never called, since libp2p 3.3 pushes each inbound handler into
// the array it was given, so that the Nth stream would run N handlers.
import type { Connection, Libp2p, Logger, PeerId, Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import type { Clock } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import { deadline } from '../../core/lifecycle.ts'
import type { KitErrorCode } from './errors.ts'
import { FramedStream } from './framed-stream.ts'
import { Penalties } from './penalty.ts'
import { Quotas } from './quota.ts'
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
const GATE_WAIT_MS = 3_000
/** A dial tries all addresses of a peer; on one that drops packets it must end. */
const DIAL_TIMEOUT_MS = 8_000

export interface Libp2pNetworkInit {
  readonly node: Libp2p
  readonly gate: Gate
  readonly clock: Clock
  readonly log: Logger
}

export class Libp2pNetwork implements Network {
  readonly self: PeerKey
  readonly #node: Libp2p
  readonly #gate: Gate
  readonly #clock: Clock
  readonly #log: Logger
  readonly #penalties = new Penalties()
  readonly #quotas = new Quotas()
  readonly #listeners = new Set<(peer: PeerKey, connected: boolean) => void>()
  readonly #known = new Set<PeerKey>()
  readonly #detach: (() => void)[] = []

  constructor(init: Libp2pNetworkInit) {
    this.self = init.node.peerId.toString()
    this.#node = init.node
    this.#gate = init.gate
    this.#clock = init.clock
    this.#log = init.log
  }

  /** Begins to watch connections: dials and accepted ones are admitted as they come. */
  async start(): Promise<void> {
    const onConnect = (event: CustomEvent<PeerId>): void => this.#onConnection(event.detail.toString())
    const onDisconnect = (event: CustomEvent<PeerId>): void => this.#review(event.detail.toString())
    this.#node.addEventListener('peer:connect', onConnect)
    this.#node.addEventListener('peer:disconnect', onDisconnect)
    this.#detach.push(
      () => this.#node.removeEventListener('peer:connect', onConnect),
      () => this.#node.removeEventListener('peer:disconnect', onDisconnect),
      this.#gate.onChange((peer) => this.#review(peer)),
    )
    for (const peer of this.#node.getPeers()) this.#onConnection(peer.toString())
  }

  async stop(): Promise<void> {
    for (const detach of this.#detach.splice(0)) detach()
    this.#known.clear()
  }

  async handle(spec: ProtocolSpec, handler: StreamHandler): Promise<() => Promise<void>> {
    const running = new Set<Promise<void>>()
    const stopping = new AbortController()
    await this.#node.handle(
      spec.id,
      (stream, connection) => {
        const task = this.#serve(spec, handler, stream, connection, stopping.signal).finally(() => running.delete(task))
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
      return this.#framed(stream, peer, spec)
    } catch (error) {
      throw openError(error, peer, spec, init.signal)
    }
  }

  connected(): readonly ConnectedPeer[] {
    const peers = new Map<PeerKey, ConnectedPeer>()
    for (const connection of this.#node.getConnections()) {
      const peer = connection.remotePeer.toString()
      if (connection.status !== 'open' || peers.has(peer) || !this.#gate.admitted(peer)) continue
      const { direction, remoteAddr, rtt } = connection
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
      throw new CodedError<KitErrorCode>('PEER_UNREACHABLE', `peer ${peer} cannot be reached: ${messageOf(error)}`, {
        facts: { peer },
        cause: error,
      })
    }
  }

  async #serve(
    spec: ProtocolSpec,
    handler: StreamHandler,
    stream: Stream,
    connection: Connection,
    stopping: AbortSignal,
  ): Promise<void> {
    const peer = connection.remotePeer.toString()
    // Reading begins before the gate is asked: what arrives meanwhile waits here, paused, instead of being dropped.
    const framed = this.#framed(stream, peer, spec)
    const closed = new AbortController()
    stream.addEventListener('close', () => closed.abort(new CodedError('STREAM_RESET', 'the stream closed')))
    const signal = AbortSignal.any([stopping, closed.signal, AbortSignal.timeout(spec.streamTimeoutMs)])
    try {
      if (this.#penalties.isBanned(peer, this.#clock.now()))
        throw refusal('REMOTE_BUSY', `${peer} broke the rules too often`)
      if (!this.#quotas.take(peer, spec, this.#clock.mono()))
        throw refusal('REMOTE_BUSY', `${peer} opened too many ${spec.id}`)
      if (spec.access === 'member' && !this.#gate.admitted(peer))
        await this.#gate.ensure(peer, deadline(GATE_WAIT_MS, signal))
      await handler(framed, { peer, signal })
      await framed.close()
    } catch (error) {
      this.#log('%s of %s ended: %s', spec.id, peer, messageOf(error))
      if (isCoded(error, 'MESSAGE_MALFORMED')) this.#penalise(peer, 'MESSAGE_MALFORMED')
      framed.abort(error instanceof Error ? error : new Error(messageOf(error)))
    }
  }

  #framed(stream: Stream, peer: PeerKey, spec: ProtocolSpec): FramedStream {
    return new FramedStream({ stream, peer, spec, onViolation: (code) => this.#penalise(peer, code) }).attach()
  }

  #penalise(peer: PeerKey, code: KitErrorCode): void {
    if (!this.#penalties.add(peer, code, this.#clock.now())) return
    this.#log.error('%s broke the rules too often and is not heard for a while (last: %s)', peer, code)
    this.#node.hangUp(peerIdFromString(peer)).catch((error: unknown) => this.#log('hang up: %e', error))
  }

  #onConnection(peer: PeerKey): void {
    if (this.#gate.admitted(peer)) {
      this.#review(peer)
      return
    }
    this.#gate.ensure(peer, AbortSignal.timeout(DIAL_TIMEOUT_MS)).then(
      () => this.#review(peer),
      (error: unknown) => this.#log('%s is connected and no member: %s', peer, messageOf(error)),
    )
  }

  /** Tells listeners when a peer has become reachable as a member, or has ceased to be. */
  #review(peer: PeerKey): void {
    const now = this.#gate.admitted(peer) && this.#node.getConnections(peerIdFromString(peer)).length > 0
    if (now === this.#known.has(peer)) return
    if (now) this.#known.add(peer)
    else this.#known.delete(peer)
    for (const listener of this.#listeners) listener(peer, now)
  }
}

function refusal(code: KitErrorCode, message: string): CodedError<KitErrorCode> {
  return new CodedError(code, message)
}

function openError(error: unknown, peer: PeerKey, spec: ProtocolSpec, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason
  const unsupported = error instanceof Error && error.name === 'UnsupportedProtocolError'
  const code: KitErrorCode = unsupported ? 'PROTOCOL_UNSUPPORTED' : 'PEER_UNREACHABLE'
  const what = unsupported ? `does not speak ${spec.id}` : `opened no stream: ${messageOf(error)}`
  return new CodedError(code, `peer ${peer} ${what}`, { facts: { peer, protocol: spec.id }, cause: error })
}
