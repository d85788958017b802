// How fast one stream carries bulk data between two processes on loopback: our message streams over libp2p, the same inside
// a private network, and a bare TCP socket beside them.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { fileURLToPath } from 'node:url'
import { hex } from '../../core/bytes.ts'
import { abortable, deadline } from '../../core/lifecycle.ts'
import { systemRandom } from '../../core/random.ts'
import {
  BULK,
  BULK_ON_LANE,
  type BulkNetwork,
  bulkNetwork,
  type Done,
  LANES,
  type Lane,
  type Order,
} from './bulk-lane.ts'
import { median } from './statistics.ts'
import type { Bench, Figures } from './types.ts'

const RUN_BYTES = 128 * 1024 * 1024
const RUNS = 5
/** Fills windows and compiles the hot functions; not counted. */
const WARM_BYTES = 16 * 1024 * 1024
/** A run that takes this long has hung. */
const RUN_TIMEOUT_MS = 60_000

export const bench: Bench = {
  about: `one stream between two processes on loopback, MB/s (10^6 bytes): medians of ${RUNS} runs of ${RUN_BYTES >> 20} MiB`,
  async run(): Promise<Figures> {
    const psk = systemRandom.bytes(32)
    const networks = [await receiver(undefined), await receiver(psk)] as const
    const server = await rawReceiver()
    const [libp2p, inPsk] = networks.map(({ node }) => String(node.getMultiaddrs()[0]))
    const listeners = { libp2p, psk: inPsk, tcp: (server.address() as AddressInfo).port }
    const sender = fork(fileURLToPath(new URL('./bulk-sender.ts', import.meta.url)), [
      JSON.stringify(listeners),
      hex(psk),
    ])
    try {
      await abortable(once(sender, 'message'), deadline(RUN_TIMEOUT_MS))
      const speeds = await measured(sender)
      const { libp2p, psk: inPsk, lane, tcp } = speeds
      return { libp2pMBs: median(libp2p), rawTcpMBs: median(tcp), libp2pPskMBs: median(inPsk), laneMBs: median(lane) }
    } finally {
      sender.kill('SIGKILL')
      server.close()
      for (const network of networks) await network.stop()
    }
  },
}

/** The lanes in turn, so that whatever else the machine does disturbs all alike. */
async function measured(sender: ChildProcess): Promise<Record<Lane, number[]>> {
  const speeds: Record<Lane, number[]> = { libp2p: [], psk: [], lane: [], tcp: [] }
  for (const lane of LANES) await order(sender, { lane, bytes: WARM_BYTES })
  for (let n = 1; n <= RUNS; n++) {
    for (const lane of LANES) {
      const cpu = process.cpuUsage()
      const { ms, cpuMs } = await order(sender, { lane, bytes: RUN_BYTES })
      const { user, system } = process.cpuUsage(cpu)
      const speed = RUN_BYTES / 1000 / ms
      speeds[lane].push(speed)
      const receiverMs = (user + system) / 1000
      const alone = RUN_BYTES / 1000 / Math.max(cpuMs, receiverMs)
      process.stdout.write(
        `  run ${n}  ${lane.padEnd(6)}${speed.toFixed(0).padStart(5)} MB/s; CPU of sender ${cpuMs.toFixed(0)} ms, of receiver ` +
          `${receiverMs.toFixed(0)} ms, so ${alone.toFixed(0)} MB/s if that were all\n`,
      )
    }
  }
  return speeds
}

async function order(sender: ChildProcess, what: Order): Promise<Done> {
  const answer = once(sender, 'message')
  sender.send(what)
  const [done] = (await abortable(answer, deadline(RUN_TIMEOUT_MS))) as [Done]
  return done
}

/** Takes all messages of a stream, and closes it then. */
async function receiver(psk: Uint8Array | undefined): Promise<BulkNetwork> {
  const lane = await bulkNetwork(psk)
  for (const spec of [BULK, BULK_ON_LANE])
    await lane.network.handle(spec, async (stream) => {
      while ((await stream.receive()) !== undefined);
      await stream.close()
    })
  return lane
}

async function rawReceiver(): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('end', () => socket.end())
    socket.resume()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}
