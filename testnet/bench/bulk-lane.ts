// What both processes of the bulk bench have in common: the protocol, an open network, and what is said about a run.
import { generateKeyPair } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { systemClock } from '../../core/clock.ts'
import { createNode, type Node } from '../../node/libp2p.ts'
import { type Gate, Libp2pNetwork } from '../../protocols/kit/libp2p-network.ts'
import type { ProtocolSpec } from '../../protocols/kit/types.ts'

/** Bytes of one message, and of one write to the bare socket: a chunk as moves and blobs send it. */
export const CHUNK_BYTES = 256 * 1024

export const BULK: ProtocolSpec = {
  id: '/cloudskin/bench-bulk/1.0.0',
  maxMessageBytes: CHUNK_BYTES,
  maxInboundStreams: 2,
  maxOutboundStreams: 2,
  messageTimeoutMs: 10_000,
  streamTimeoutMs: 60_000,
  // A handful of runs.
  streamsPerMinute: 100,
  access: 'member',
}

/** As moves have it: with a connection of its own beside libp2p's. */
export const BULK_ON_LANE: ProtocolSpec = { ...BULK, id: '/cloudskin/bench-bulk-lane/1.0.0', bulk: true }

/** `psk` is libp2p in a private network, which encrypts once more below noise; `lane` is a bulk lane in the same. */
export const LANES = ['libp2p', 'psk', 'lane', 'tcp'] as const
export type Lane = (typeof LANES)[number]

/** Where the receiver listens: multiaddrs, and a port of the loopback address. */
export interface Listeners {
  readonly libp2p: string
  readonly psk: string
  readonly tcp: number
}

/** The receiver's order: send `bytes` over `lane`. */
export interface Order {
  readonly lane: Lane
  readonly bytes: number
}

/** The sender's answer: milliseconds from the first byte until the receiver said that it has all, and CPU of the sender. */
export interface Done {
  readonly ms: number
  readonly cpuMs: number
}

export interface BulkNetwork {
  readonly node: Node
  readonly network: Libp2pNetwork
  stop(): Promise<void>
}

/** Everybody is admitted: what is measured lies below admission. */
const openGate: Gate = { admitted: () => true, ensure: async () => undefined, onChange: () => () => undefined }

/** A started node on loopback, in the private network of `psk` where one is given. */
export async function bulkNetwork(psk?: Uint8Array): Promise<BulkNetwork> {
  const node = await createNode({
    key: await generateKeyPair('Ed25519'),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    announce: [],
    bootstrap: [],
    ...(psk === undefined ? {} : { psk }),
  })
  const log = defaultLogger().forComponent('cloudskin:bench')
  const network = new Libp2pNetwork({ node, gate: openGate, clock: systemClock, log })
  await network.start()
  const stop = async (): Promise<void> => {
    await network.stop()
    await node.stop()
  }
  return { node, network, stop }
}
