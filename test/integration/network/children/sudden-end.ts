// Dials the address that it is given, sends half a conversation, says so, and says no more until it is killed.
import { multiaddr } from '@multiformats/multiaddr'
import { Bench, spec } from '../support.ts'

const address = multiaddr(process.argv[2] ?? '')
const { node, network } = await new Bench().peer()
const { remotePeer } = await node.dial(address)
const stream = await network.open(remotePeer.toString(), spec())
await stream.send(new Uint8Array(10))
process.send?.('sent')
