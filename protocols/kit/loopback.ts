// A network whose own peer is reachable too: what a peer asks of itself goes the same way as what it asks of others.
import { CodedError } from '../../core/errors.ts'
import type { KitErrorCode } from './errors.ts'
import { streamPair } from './memory-stream.ts'
import type { MessageStream, Network, ProtocolSpec, StreamHandler } from './types.ts'

/** `network`, with streams to `network.self` joined in memory. Quotas and admission do not apply to oneself. */
export function withLoopback(network: Network): Network {
  const handlers = new Map<string, { spec: ProtocolSpec; handler: StreamHandler }>()
  return {
    self: network.self,
    async handle(spec, handler) {
      const remove = await network.handle(spec, handler)
      handlers.set(spec.id, { spec, handler })
      return async () => {
        handlers.delete(spec.id)
        await remove()
      }
    },
    async open(peer, spec, init = {}): Promise<MessageStream> {
      if (peer !== network.self) return network.open(peer, spec, init)
      const entry = handlers.get(spec.id)
      if (entry === undefined)
        throw new CodedError<KitErrorCode>('PROTOCOL_UNSUPPORTED', `this peer does not speak ${spec.id}`)
      const { atA, atB } = streamPair(peer, peer, spec)
      const context = { peer, signal: AbortSignal.timeout(spec.streamTimeoutMs) }
      entry
        .handler(atB, context)
        .catch((error: unknown) => atB.abort(error instanceof Error ? error : new Error(String(error))))
      return atA
    },
    connected: () => network.connected(),
    onChange: (listener) => network.onChange(listener),
  }
}
