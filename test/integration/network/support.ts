// Two or three real libp2p nodes on loopback, in one process.
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { defaultLogger } from '@libp2p/logger'
import { systemClock } from '../../../core/clock.ts'
import { createNode, type Node, type NodeInit } from '../../../node/libp2p.ts'
import { type Gate, Libp2pNetwork } from '../../../protocols/kit/libp2p-network.ts'
import type { ProtocolSpec } from '../../../protocols/kit/types.ts'

export const log = defaultLogger().forComponent('test:network')

/** Admits everybody, for tests of what lies below admission. */
export const openGate: Gate = { admitted: () => true, ensure: async () => undefined, onChange: () => () => undefined }

export interface TestPeer {
  readonly node: Node
  readonly key: PrivateKey
  readonly network: Libp2pNetwork
  readonly id: string
}

/** Nodes that are stopped with `close`, the last begun first. */
export class Bench {
  readonly #undo: (() => Promise<unknown>)[] = []

  add(step: () => Promise<unknown>): void {
    this.#undo.push(step)
  }

  async close(): Promise<void> {
    for (const step of this.#undo.splice(0).reverse()) await step()
  }

  async node(init: Partial<NodeInit> = {}): Promise<Node> {
    const node = await createNode({
      listen: ['/ip4/127.0.0.1/tcp/0'],
      announce: [],
      bootstrap: [],
      ...init,
      key: init.key ?? (await generateKeyPair('Ed25519')),
    })
    this.add(async () => node.stop())
    return node
  }

  async peer(init: { readonly gate?: Gate; readonly psk?: Uint8Array } = {}): Promise<TestPeer> {
    const key = await generateKeyPair('Ed25519')
    const node = await this.node({ key, ...(init.psk === undefined ? {} : { psk: init.psk }) })
    const network = new Libp2pNetwork({ node, gate: init.gate ?? openGate, clock: systemClock, log })
    await network.start()
    this.add(() => network.stop())
    return { node, key, network, id: node.peerId.toString() }
  }

  /** Two peers with one connection, dialled by the first. */
  async pair(init: { readonly gate?: Gate; readonly psk?: Uint8Array } = {}): Promise<[TestPeer, TestPeer]> {
    const pair: [TestPeer, TestPeer] = [await this.peer(init), await this.peer(init)]
    await pair[0].node.dial(pair[1].node.getMultiaddrs())
    return pair
  }
}

export function spec(init: Partial<ProtocolSpec> = {}): ProtocolSpec {
  return {
    id: '/cloudskin/test/1.0.0',
    maxMessageBytes: 1024 * 1024,
    maxInboundStreams: 32,
    maxOutboundStreams: 32,
    messageTimeoutMs: 5_000,
    streamTimeoutMs: 30_000,
    streamsPerMinute: 1_000,
    access: 'member',
    ...init,
  }
}
