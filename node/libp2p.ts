// The libp2p node of a peer: TCP and WebSocket, noise, yamux, identify, ping, mDNS, and the private network where there is one.
import { noise } from '@chainsafe/libp2p-noise'
import { bootstrap } from '@libp2p/bootstrap'
import { type Identify, identify } from '@libp2p/identify'
import type { Libp2p, PeerRouting, PrivateKey } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Ping, ping } from '@libp2p/ping'
import { preSharedKey } from '@libp2p/pnet'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { hex, utf8 } from '../core/bytes.ts'
import { CodedError, messageOf } from '../core/errors.ts'
import { GATE_WAIT_MS, type Gate } from '../protocols/kit/libp2p-network.ts'
import type { PeerKey } from '../protocols/kit/types.ts'
import { addressesOf } from './connector.ts'
import type { NodeErrorCode } from './errors.ts'
import type { Nearby } from './nearby.ts'
import { VERSION } from './version.ts'

export interface NodeInit {
  readonly key: PrivateKey
  /** 32 bytes; absent in an open mesh. */
  readonly psk?: Uint8Array
  readonly listen: readonly string[]
  readonly announce: readonly string[]
  /** Peers to connect to from the start. */
  readonly bootstrap: readonly string[]
  /** Asked before a ping is answered; while it is undefined, everybody is answered. @default everybody is answered */
  readonly gate?: () => Gate | undefined
  /** Looks for peers on the local network, where that is wanted. */
  readonly nearby?: Nearby
  /** Where a peer is said to be, for one of whom libp2p itself knows no address. @default nobody knows */
  readonly whereIs?: (peer: PeerKey) => readonly string[]
}

export type Node = Libp2p<{ identify: Identify; ping: Ping }>

/** A started node; rejects with `LISTEN_FAILED`. */
export async function createNode(init: NodeInit): Promise<Node> {
  const discovery = [
    ...(init.bootstrap.length > 0 ? [bootstrap({ list: [...init.bootstrap], timeout: 0 })] : []),
    ...(init.nearby === undefined ? [] : [init.nearby.discovery]),
  ]
  try {
    return await createLibp2p({
      privateKey: init.key,
      addresses: { listen: [...init.listen], announce: [...init.announce] },
      transports: [tcp(), webSockets()],
      connectionEncrypters: [noise()],
      // A window of 4 MiB fills a gigabit link at 30 ms round trip.
      streamMuxers: [yamux({ streamOptions: { initialStreamWindowSize: 1 << 20, maxStreamWindowSize: 4 << 20 } })],
      peerDiscovery: discovery,
      peerRouters: init.whereIs === undefined ? [] : [routerBy(init.whereIs)],
      services: { identify: identify(), ping: init.gate === undefined ? ping(PINGS) : pingOfMembers(init.gate) },
      nodeInfo: { name: 'cloudskin', version: VERSION },
      connectionManager: {
        maxConnections: 200,
        // libp2p turns away more than 5 connections a second from one host, and more than 10 half-made ones. Here many peers may
        // share a host or a NAT, and after a restart they all come at once; strangers are kept out by the private network.
        inboundConnectionThreshold: 64,
        maxIncomingPendingConnections: 64,
        // Addresses are tried one after the other. Of a host with container bridges and an old lease, three may swallow packets.
        addressDialTimeout: 3_000,
        dialTimeout: 12_000,
      },
      // A ping waits behind what is on its way: a muxer's window of 16 MiB, which a slow link or a busy machine takes longer for than
      // the five seconds after which libp2p would cut the connection, and with it the move that fills it.
      connectionMonitor: { pingInterval: 15_000, pingTimeout: { minTimeout: 30_000 } },
      ...(init.psk === undefined
        ? {}
        : { connectionProtector: preSharedKey({ psk: swarmKey(init.psk), timeout: 5_000 }) }),
    })
  } catch (error) {
    throw new CodedError<NodeErrorCode>(
      'LISTEN_FAILED',
      `cannot listen on ${init.listen.join(', ')}: ${messageOf(error)}; name a free address with --listen`,
      {
        cause: error,
      },
    )
  }
}

/** Who is wanted just after the mesh told of it is found, though the peer store has not heard yet, or has let its addresses expire. */
function routerBy(whereIs: NonNullable<NodeInit['whereIs']>): () => PeerRouting {
  return () => ({
    findPeer: async (id) => ({ id, multiaddrs: addressesOf(id.toString(), whereIs(id.toString())) }),
    // Nobody here is close to a key.
    getClosestPeers: async function* () {},
  })
}

/**
 * Streams per connection. libp2p's one is too few where a ping waits behind a large message: its own monitor then finds another one
 * open, takes that for a failure, and cuts the connection.
 */
const PINGS = { maxInboundStreams: 8, maxOutboundStreams: 4 } as const

type PingParts = Parameters<ReturnType<typeof ping>>[0]

/** libp2p's ping answers whoever asks; this one asks the gate first, as every handler does but those by which one becomes a member. */
function pingOfMembers(gate: () => Gate | undefined): (parts: PingParts) => Ping {
  const admit = async (peer: string): Promise<void> => {
    // A peer that is still joining has nobody to keep out, and whoever lets it join cuts a connection whose pings fail.
    await gate()?.ensure(peer, AbortSignal.timeout(GATE_WAIT_MS))
  }
  return ({ registrar, connectionManager }) => {
    const handle: typeof registrar.handle = (protocol, handler, options) =>
      registrar.handle(
        protocol,
        async (stream, connection) => {
          try {
            await admit(connection.remotePeer.toString())
          } catch (error) {
            stream.abort(error instanceof Error ? error : new Error(messageOf(error)))
            return
          }
          await handler(stream, connection)
        },
        options,
      )
    const asking = { handle, unhandle: (protocol: string) => registrar.unhandle(protocol) }
    return ping(PINGS)({ registrar: asking as typeof registrar, connectionManager })
  }
}

/** libp2p's text form of a pre-shared key (libp2p specs, pnet/Private-Networks-PSK-V1.md). */
function swarmKey(psk: Uint8Array): Uint8Array {
  return utf8(`/key/swarm/psk/1.0.0/\n/base16/\n${hex(psk)}`)
}

/** Measures round trips of `node`: milliseconds, whole ones. */
export function roundTripsOf(node: Node): (peer: string, signal: AbortSignal) => Promise<number> {
  return (peer, signal) => node.services.ping.ping(peerIdFromString(peer), { signal })
}
