// A simulated network: streams of messages with delays, which may stall, break at one end first, or never open.
// Within a stream messages keep their order, as they do on any transport that libp2p uses; between streams they do not.
import type { Clock } from '../../core/clock.ts'
import { CodedError } from '../../core/errors.ts'
import type { Random } from '../../core/random.ts'
import type { KitErrorCode } from '../../protocols/kit/errors.ts'
import type { MessageStream, Network, PeerKey, ProtocolSpec, StreamHandler } from '../../protocols/kit/types.ts'
import type { Life } from './life.ts'
import { SimulatedStream, type Wire } from './stream.ts'

/** What may go wrong, each with its probability per message or stream, and delays in milliseconds. */
export interface NetworkFaults {
  readonly maxDelayMs: number
  readonly slow: number
  readonly slowMs: number
  /** A message, and with it the rest of its stream, is lost. */
  readonly stall: number
  readonly reset: number
  readonly openFails: number
  /** A stream that is opened is served a second time, later, by a copy whose answers nobody hears. */
  readonly duplicate: number
}

export const CALM: NetworkFaults = {
  maxDelayMs: 5,
  slow: 0,
  slowMs: 0,
  stall: 0,
  reset: 0,
  openFails: 0,
  duplicate: 0,
}

/** The longest until an end of a broken connection learns of it, milliseconds. */
const NOTICE_MS = 20_000

interface Endpoint {
  readonly life: Life
  readonly handlers: Map<string, { readonly spec: ProtocolSpec; readonly handler: StreamHandler }>
}

export class SimulatedNetwork {
  readonly #clock: Clock
  readonly #random: Random
  readonly #endpoints = new Map<PeerKey, Endpoint>()
  readonly #cuts = new Set<string>()
  readonly #streams = new Set<SimulatedStream>()
  faults = CALM

  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    this.#random = random
  }

  /** The network as one life of a node sees it. */
  attach(life: Life): Network {
    const endpoint: Endpoint = { life, handlers: new Map() }
    this.#endpoints.set(life.node, endpoint)
    return {
      self: life.node,
      handle: async (spec, handler) => {
        endpoint.handlers.set(spec.id, { spec, handler })
        return async () => void endpoint.handlers.delete(spec.id)
      },
      open: (peer, spec) => this.#open(life, peer, spec),
      connected: () => [],
      onChange: () => () => undefined,
    }
  }

  /** The other ends of its streams learn of it later, each in its own time. */
  crashed(node: PeerKey): void {
    this.#endpoints.delete(node)
    this.#break((stream) => stream.life.node === node || stream.peer === node)
  }

  link(a: PeerKey, b: PeerKey, isUp: boolean): void {
    const name = [a, b].sort().join('|')
    if (isUp) this.#cuts.delete(name)
    else this.#cuts.add(name)
    if (!isUp) this.#break(({ life, peer }) => [life.node, peer].sort().join('|') === name)
  }

  heal(): void {
    this.#cuts.clear()
  }

  #break(isBroken: (stream: SimulatedStream) => boolean): void {
    for (const stream of this.#streams) {
      if (!isBroken(stream)) continue
      stream.wire.isStalled = true
      this.#streams.delete(stream)
      const notice = this.#random.next() < 0.5 ? 0 : this.#random.int(NOTICE_MS)
      stream.life.after(notice, () => stream.fail('STREAM_RESET', 'the connection is gone'))
    }
  }

  async #open(life: Life, peer: PeerKey, spec: ProtocolSpec): Promise<MessageStream> {
    await life.pause(this.#delay())
    const remote = this.#reach(life.node, peer)
    if (remote === undefined || this.#random.next() < this.faults.openFails) {
      await life.pause(this.#random.int(5_000))
      throw new CodedError<KitErrorCode>('PEER_UNREACHABLE', `no connection to ${peer}`)
    }
    const served = remote.handlers.get(spec.id)
    if (served === undefined)
      throw new CodedError<KitErrorCode>('PROTOCOL_UNSUPPORTED', `${peer} does not speak ${spec.id}`)
    const here = this.#pair(life, remote, spec, served.handler)
    if (this.#random.next() < this.faults.duplicate) {
      const copy = this.#pair(life, remote, spec, served.handler)
      here.onSent = (message) =>
        this.#clock.after(this.#random.int(10_000), () => void copy.send(message).catch(ignore))
    }
    return here
  }

  #pair(life: Life, remote: Endpoint, spec: ProtocolSpec, handler: StreamHandler): SimulatedStream {
    const wire: Wire = {
      isStalled: false,
      carry: (due, deliver) => {
        const at = Math.max(due, this.#clock.mono() + this.#delay())
        if (this.#random.next() < this.faults.stall) wire.isStalled = true
        const isReset = this.#random.next() < this.faults.reset
        this.#clock.after(at - this.#clock.mono(), () => {
          if (wire.isStalled || this.#reach(life.node, remote.life.node) === undefined) return
          if (!isReset) deliver()
          else this.#break((stream) => stream.wire === wire)
        })
        return at
      },
    }
    const here = new SimulatedStream(life, remote.life.node, spec, wire)
    const there = new SimulatedStream(remote.life, life.node, spec, wire)
    here.join(there)
    this.#streams.add(here).add(there)
    const context = { peer: life.node, signal: new AbortController().signal }
    handler(there, context).catch((error: unknown) => there.abort(error instanceof Error ? error : new Error('failed')))
    return here
  }

  #reach(from: PeerKey, to: PeerKey): Endpoint | undefined {
    return this.#cuts.has([from, to].sort().join('|')) ? undefined : this.#endpoints.get(to)
  }

  #delay(): number {
    const { maxDelayMs, slow, slowMs } = this.faults
    return this.#random.next() < slow ? this.#random.int(slowMs) : this.#random.int(maxDelayMs + 1)
  }
}

function ignore(): void {}
