// What a peer costs while nothing happens: resident memory, CPU and start time, in a mesh of five on loopback.
import { readFile } from 'node:fs/promises'
import { sleep, systemClock } from '../../core/clock.ts'
import { ProcessMesh, type ProcessPeer, peersSeenBy } from '../processes/mesh.ts'
import { until } from '../processes/until.ts'
import { median } from './statistics.ts'
import type { Bench, Figures } from './types.ts'

const PEERS = 5
/** Long enough for calibration's host process to end and for the heap to settle. */
const SETTLE_MS = 40_000
const WATCH_MS = 20_000
/** `sysconf(_SC_CLK_TCK)` on Linux. */
const TICKS_PER_SECOND = 100

export const bench: Bench = {
  about: `rssMb, cpuPercent (of one core): medians over ${PEERS} idle, connected peers; bootMs: from spawn to ready, second start`,
  async run(): Promise<Figures> {
    const mesh = await ProcessMesh.create()
    try {
      const first = await mesh.start({ name: 'peer-1' })
      const ticket = await mesh.ticket(first, PEERS - 1)
      for (let n = 2; n <= PEERS; n++) await mesh.start({ name: `peer-${n}`, flags: ['--join', ticket] })
      await until(
        'all see all',
        async () => (await peersSeenBy(first)).filter((row) => row.status === 'alive').length === PEERS,
      )
      const peers = [...mesh.peers]
      await sleep(systemClock, SETTLE_MS)
      const before = await Promise.all(peers.map(cpuMs))
      await sleep(systemClock, WATCH_MS)
      const after = await Promise.all(peers.map(cpuMs))
      const rss = await Promise.all(peers.map(rssMb))
      const cpu = after.map((ms, index) => (100 * (ms - (before[index] ?? 0))) / WATCH_MS)
      peers.forEach((peer, index) => {
        process.stdout.write(
          `  ${peer.name}: ${rss[index]?.toFixed(0)} MB resident, ${cpu[index]?.toFixed(2)} % of a core\n`,
        )
      })
      return { rssMb: median(rss), cpuPercent: median(cpu), bootMs: await bootMs(mesh, first) }
    } finally {
      await mesh.stop()
    }
  },
}

async function bootMs(mesh: ProcessMesh, peer: ProcessPeer): Promise<number> {
  const times: number[] = []
  let current = peer
  for (let n = 0; n < 5; n++) {
    await mesh.down(current)
    const from = systemClock.mono()
    current = await mesh.start({ name: current.name, home: current.home })
    times.push(systemClock.mono() - from)
  }
  return median(times)
}

/** CPU used by the process and its children that have ended, milliseconds (proc(5), fields 14 to 17). */
async function cpuMs(peer: ProcessPeer): Promise<number> {
  const stat = await readFile(`/proc/${peer.process.pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return ([11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0) * 1000) / TICKS_PER_SECOND
}

async function rssMb(peer: ProcessPeer): Promise<number> {
  const status = await readFile(`/proc/${peer.process.pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024
}
