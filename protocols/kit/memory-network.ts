// Joined in-memory networks: a real `Network` without sockets, for tests and the simulator.
import { CodedError } from '../../core/errors.ts'
import type { KitErrorCode } from './errors.ts'
import { streamPair } from './memory-stream.ts'
import type {
  ConnectedPeer,
  HandlerContext,
  MessageStream,
  Network,
  PeerKey,
  ProtocolSpec,
  StreamHandler,
} from './types.ts'

/** A set of peers that are all connected with each other until they are cut. */
export class MemoryMesh {
  readonly #members = new Map<PeerKey, MemoryNetwork>()
  readonly #cuts = new Set<string>()

  join(self: PeerKey): MemoryNetwork {
    const network = new MemoryNetwork(self, this)
    const others = [...this.#members.values()]
    this.#members.set(self, network)
    for (const other of others) {
      other.changed(self, true)
      network.changed(other.self, true)
    }
    return network
  }

  /** Breaks every stream of `peer` and makes it unreachable, as a killed process is. */
  kill(peer: PeerKey): void {
    const dead = this.#members.get(peer)
    this.#members.delete(peer)
    dead?.breakStreams()
    for (const other of this.#members.values()) {
      other.breakStreams(peer)
      other.changed(peer, false)
    }
  }

  /** Cuts or heals the link between two peers. */
  link(a: PeerKey, b: PeerKey, up: boolean): void {
    const key = [a, b].sort().join('|')
    if (up) this.#cuts.delete(key)
    else this.#cuts.add(key)
    for (const [x, y] of [
      [a, b],
      [b, a],
    ] as const) {
      if (!up) this.#members.get(x)?.breakStreams(y)
      this.#members.get(x)?.changed(y, up)
    }
  }

  reach(from: PeerKey, to: PeerKey): MemoryNetwork | undefined {
    return this.#cuts.has([from, to].sort().join('|')) ? undefined : this.#members.get(to)
  }

  others(of: PeerKey): readonly PeerKey[] {
    if (!this.#members.has(of)) return []
    return [...this.#members.keys()].filter((key) => key !== of && this.reach(of, key) !== undefined)
  }
}

export class MemoryNetwork implements Network {
  readonly self: PeerKey
  readonly #mesh: MemoryMesh
  readonly #handlers = new Map<string, { spec: ProtocolSpec; handler: StreamHandler }>()
  readonly #listeners = new Set<(peer: PeerKey, connected: boolean) => void>()
  readonly #streams = new Set<MessageStream>()

  constructor(self: PeerKey, mesh: MemoryMesh) {
    this.self = self
    this.#mesh = mesh
  }

  async handle(spec: ProtocolSpec, handler: StreamHandler): Promise<() => Promise<void>> {
    this.#handlers.set(spec.id, { spec, handler })
    return async () => {
      this.#handlers.delete(spec.id)
    }
  }

  async open(peer: PeerKey, spec: ProtocolSpec, init: { signal?: AbortSignal } = {}): Promise<MessageStream> {
    init.signal?.throwIfAborted()
    const remote = this.#mesh.reach(this.self, peer)
    if (remote === undefined) throw new CodedError<KitErrorCode>('PEER_UNREACHABLE', `no connection to ${peer}`)
    const { atA, atB } = streamPair(this.self, peer, spec)
    if (!remote.accept(spec, atB))
      throw new CodedError<KitErrorCode>('PROTOCOL_UNSUPPORTED', `${peer} does not speak ${spec.id}`)
    this.#streams.add(atA)
    return atA
  }

  accept(spec: ProtocolSpec, stream: MessageStream): boolean {
    const entry = this.#handlers.get(spec.id)
    if (entry === undefined) return false
    this.#streams.add(stream)
    const context: HandlerContext = { peer: stream.peer, signal: AbortSignal.timeout(entry.spec.streamTimeoutMs) }
    entry.handler(stream, context).then(
      () => this.#streams.delete(stream),
      (error: unknown) => stream.abort(error instanceof Error ? error : new Error(String(error))),
    )
    return true
  }

  connected(): readonly ConnectedPeer[] {
    return this.#mesh
      .others(this.self)
      .map((peer) => ({ peer, address: `/memory/${peer}`, direction: 'outbound', rttMs: 0.1 }))
  }

  onChange(listener: (peer: PeerKey, connected: boolean) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  changed(peer: PeerKey, connected: boolean): void {
    for (const listener of this.#listeners) listener(peer, connected)
  }

  breakStreams(peer?: PeerKey): void {
    for (const stream of this.#streams) {
      if (peer !== undefined && stream.peer !== peer) continue
      stream.abort(new Error('the link went down'))
      this.#streams.delete(stream)
    }
  }
}
