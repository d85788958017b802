// Joined in-memory networks: a real `Network` without sockets, for tests and the simulator.
import { CodedError } from '../../core/errors.ts'
import { abortable } from '../../core/lifecycle.ts'
import type { KitErrorCode } from './errors.ts'
import type {
  ConnectedPeer,
  HandlerContext,
  MessageStream,
  Network,
  PeerKey,
  ProtocolSpec,
  StreamHandler,
} from './types.ts'

type Item = Uint8Array | 'end' | Error

/** One direction of a stream: a queue of at most 16 messages, so that a slow reader stops its writer. */
class Pipe {
  readonly #items: Item[] = []
  #wakeReader: (() => void) | undefined
  #wakeWriter: (() => void) | undefined

  async push(item: Uint8Array): Promise<void> {
    const broken = this.#items.find((other) => other instanceof Error)
    if (broken instanceof Error) throw broken
    this.#items.push(item)
    this.#wakeReader?.()
    while (this.#items.length > 16) await new Promise<void>((resolve) => (this.#wakeWriter = resolve))
  }

  finish(item: 'end' | Error): void {
    if (item instanceof Error) this.#items.length = 0
    this.#items.push(item)
    this.#wakeReader?.()
    this.#wakeWriter?.()
  }

  async pull(): Promise<Uint8Array | undefined> {
    while (this.#items.length === 0) await new Promise<void>((resolve) => (this.#wakeReader = resolve))
    const head = this.#items[0] as Item
    if (head instanceof Error) throw head
    if (head === 'end') return undefined
    this.#items.shift()
    this.#wakeWriter?.()
    return head
  }
}

class MemoryStream implements MessageStream {
  readonly peer: PeerKey
  readonly #spec: ProtocolSpec
  readonly #incoming: Pipe
  readonly #outgoing: Pipe

  constructor(peer: PeerKey, spec: ProtocolSpec, incoming: Pipe, outgoing: Pipe) {
    this.peer = peer
    this.#spec = spec
    this.#incoming = incoming
    this.#outgoing = outgoing
  }

  async send(message: Uint8Array, init: { signal?: AbortSignal } = {}): Promise<void> {
    if (message.length > this.#spec.maxMessageBytes)
      throw new CodedError<KitErrorCode>('MESSAGE_TOO_LARGE', `${message.length} bytes on ${this.#spec.id}`)
    await abortable(this.#outgoing.push(message.slice()), init.signal)
  }

  receive(init: { signal?: AbortSignal } = {}): Promise<Uint8Array | undefined> {
    return abortable(this.#incoming.pull(), init.signal)
  }

  async close(): Promise<void> {
    this.#outgoing.finish('end')
  }

  abort(error: Error): void {
    const reset = new CodedError<KitErrorCode>('STREAM_RESET', `stream reset: ${error.message}`)
    this.#outgoing.finish(reset)
    this.#incoming.finish(reset)
  }
}

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
  readonly #streams = new Set<MemoryStream>()

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
    const there = new Pipe()
    const back = new Pipe()
    const near = new MemoryStream(peer, spec, back, there)
    if (!remote.accept(this.self, spec, there, back))
      throw new CodedError<KitErrorCode>('PROTOCOL_UNSUPPORTED', `${peer} does not speak ${spec.id}`)
    this.#streams.add(near)
    return near
  }

  accept(from: PeerKey, spec: ProtocolSpec, incoming: Pipe, outgoing: Pipe): boolean {
    const entry = this.#handlers.get(spec.id)
    if (entry === undefined) return false
    const stream = new MemoryStream(from, entry.spec, incoming, outgoing)
    this.#streams.add(stream)
    const context: HandlerContext = { peer: from, signal: AbortSignal.timeout(entry.spec.streamTimeoutMs) }
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
