// Entry of the bulk bench's second process: sends what it is told to over one of the lanes, and says how long it took.
// Arguments: the receiver's `Listeners` as JSON, the private network's key as hex.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import { fromHex } from '../../core/bytes.ts'
import { systemClock } from '../../core/clock.ts'
import { systemRandom } from '../../core/random.ts'
import {
  BULK,
  BULK_ON_LANE,
  type BulkNetwork,
  bulkNetwork,
  CHUNK_BYTES,
  type Done,
  type Lane,
  type Listeners,
  type Order,
} from './bulk-lane.ts'

const [listenersText = '', pskText = ''] = process.argv.slice(2)
const listeners = JSON.parse(listenersText) as Listeners
/** Random, so that nothing on the way can make it smaller. */
const chunk = systemRandom.bytes(CHUNK_BYTES)

const libp2p = await connected(undefined, listeners.libp2p)
const psk = await connected(fromHex(pskText), listeners.psk)
process.on('disconnect', () => process.exit(0))
process.on('message', (order: Order) => void run(order).then((done) => process.send?.(done)))
process.send?.('ready')

async function connected(key: Uint8Array | undefined, address: string): Promise<BulkNetwork> {
  const lane = await bulkNetwork(key)
  await lane.node.dial(multiaddr(address))
  return lane
}

async function run({ lane, bytes }: Order): Promise<Done> {
  const cpu = process.cpuUsage()
  const ms = await (lane === 'tcp' ? overTcp(bytes) : overStream(lane, bytes))
  const { user, system } = process.cpuUsage(cpu)
  return { ms, cpuMs: (user + system) / 1000 }
}

async function overStream(lane: Exclude<Lane, 'tcp'>, bytes: number): Promise<number> {
  const { network } = lane === 'libp2p' ? libp2p : psk
  const peer = network.connected()[0]?.peer ?? ''
  const stream = await network.open(peer, lane === 'lane' ? BULK_ON_LANE : BULK)
  const from = systemClock.mono()
  for (let sent = 0; sent < bytes; sent += chunk.length) await stream.send(chunk)
  await stream.close()
  await stream.receive()
  return systemClock.mono() - from
}

async function overTcp(bytes: number): Promise<number> {
  const socket: Socket = connect(listeners.tcp, '127.0.0.1')
  await once(socket, 'connect')
  const from = systemClock.mono()
  for (let sent = 0; sent < bytes; sent += chunk.length) {
    if (!socket.write(chunk)) await once(socket, 'drain')
  }
  socket.end()
  await once(socket.resume(), 'end')
  return systemClock.mono() - from
}
