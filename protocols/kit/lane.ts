// A lane: a connection of its own for the bytes of one stream. libp2p's three layers (yamux, noise, and the private network's
// cipher) are JavaScript and cost 7 to 10 ns a byte; TLS in the node binary costs about one.
// TLS 1.2 with a pre-shared key (RFC 5487), since Node offers external keys for nothing newer. The key is random, serves one
// lane, and travels on a stream that has shown both ends who they are: so does the lane, by knowing it.
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import type { Multiaddr } from '@multiformats/multiaddr'
import { systemRandom } from '../../core/random.ts'

export interface LaneOffer {
  readonly port: number
  /** 32 bytes. */
  readonly key: Uint8Array
}

export interface LaneListener {
  readonly offer: LaneOffer
  /** The first caller that knows the key; rejects once `signal` aborts. */
  accepted(signal: AbortSignal): Promise<TLSSocket>
  /** Nobody is let in any more; who was, stays. */
  close(): void
}

const TLS = {
  ciphers: 'PSK-AES256-GCM-SHA384:PSK-CHACHA20-POLY1305',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  allowHalfOpen: true,
} as const
const KEY_BYTES = 32
const IDENTITY = 'lane'
/** Strangers may find the port too; they are hung up on when it closes. */
const MAX_CALLERS = 8

/** Listens at a free port, where `remote` is on this machine only for it. Rejects with what the system says. */
export async function listenForLane(remote: string): Promise<LaneListener> {
  const key = systemRandom.bytes(KEY_BYTES)
  const callers = new Set<Socket>()
  const first = Promise.withResolvers<TLSSocket>()
  first.promise.catch(() => undefined)
  const server = createServer({ ...TLS, pskCallback: () => Buffer.from(key) })
  server.maxConnections = MAX_CALLERS
  let taken: TLSSocket | undefined
  server.on('connection', (socket: Socket) => callers.add(socket.setNoDelay(true)))
  server.on('secureConnection', (socket) => {
    socket.on('error', () => undefined)
    if (taken !== undefined) return void socket.destroy()
    taken = socket
    first.resolve(socket)
  })
  // Who does not know the key is nobody's business.
  server.on('tlsClientError', () => undefined)
  server.listen(0, hereFor(remote))
  await once(server, 'listening')
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  return {
    offer: { port, key },
    async accepted(signal) {
      const onAbort = (): void => first.reject(signal.reason)
      if (signal.aborted) onAbort()
      signal.addEventListener('abort', onAbort, { once: true })
      try {
        return await first.promise
      } finally {
        signal.removeEventListener('abort', onAbort)
      }
    },
    close() {
      server.close()
      for (const caller of callers) if (caller.remotePort !== taken?.remotePort) caller.destroy()
    },
  }
}

/** Rejects when nobody is there who knows the key, or `signal` aborts. */
export async function connectLane(host: string, { port, key }: LaneOffer, signal: AbortSignal): Promise<TLSSocket> {
  const psk = Buffer.from(key)
  const socket = connect({
    ...TLS,
    host,
    port,
    pskCallback: () => ({ psk, identity: IDENTITY }),
    // The key is the identity.
    checkServerIdentity: () => undefined,
  })
  socket.on('error', () => undefined)
  try {
    await once(socket, 'secureConnect', { signal })
    return socket.setNoDelay(true)
  } catch (error) {
    socket.destroy()
    throw error
  }
}

/** The host of a direct TCP connection's other end; undefined behind a relay or a proxy, where no other port leads there. */
export function laneHostOf(address: Multiaddr): string | undefined {
  const [host, transport, ...rest] = address.getComponents()
  if (host === undefined || transport?.name !== 'tcp' || rest.some(({ name }) => name !== 'p2p')) return undefined
  return /^(ip[46]|dns[46]?)$/.test(host.name) ? host.value : undefined
}

/** Connections from this machine stay on it. */
function hereFor(remote: string): string | undefined {
  if (remote === '::1') return remote
  return /^127\./.test(remote) ? '127.0.0.1' : undefined
}
