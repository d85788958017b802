// The libp2p node of a peer: TCP and WebSocket, noise, yamux, identify, ping, mDNS, and the private network where there is one.
import { noise } from '@chainsafe/libp2p-noise'
import { bootstrap } from '@libp2p/bootstrap'
import { identify } from '@libp2p/identify'
import type { Libp2p, PrivateKey } from '@libp2p/interface'
import { mdns } from '@libp2p/mdns'
import { ping } from '@libp2p/ping'
import { preSharedKey } from '@libp2p/pnet'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { hex, utf8 } from '../core/bytes.ts'
import { CodedError, messageOf } from '../core/errors.ts'
import type { NodeErrorCode } from './errors.ts'
import { VERSION } from './version.ts'

export interface NodeInit {
  readonly key: PrivateKey
  /** 32 bytes; absent in an open mesh. */
  readonly psk?: Uint8Array
  readonly listen: readonly string[]
  readonly announce: readonly string[]
  /** Peers to connect to from the start. */
  readonly bootstrap: readonly string[]
  readonly mdns: boolean
}

/** A started node; rejects with `LISTEN_FAILED`. */
export async function createNode(init: NodeInit): Promise<Libp2p> {
  const discovery = [
    ...(init.bootstrap.length > 0 ? [bootstrap({ list: [...init.bootstrap], timeout: 0 })] : []),
    ...(init.mdns ? [mdns({ serviceTag: 'cloudskin.local' })] : []),
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
      services: { identify: identify(), ping: ping() },
      nodeInfo: { name: 'cloudskin', version: VERSION },
      connectionManager: { maxConnections: 200 },
      connectionMonitor: { pingInterval: 15_000 },
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

/** libp2p's text form of a pre-shared key (libp2p specs, pnet/Private-Networks-PSK-V1.md). */
function swarmKey(psk: Uint8Array): Uint8Array {
  return utf8(`/key/swarm/psk/1.0.0/\n/base16/\n${hex(psk)}`)
}
