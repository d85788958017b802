// More peers than a mesh is linked in full, on one machine, with nothing to do: nobody is taken for dead, and nobody grows. The
// short form has a dozen for a moment; the long one has forty for an hour.
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { sleep, systemClock } from '../../core/clock.ts'
import { FULL_MESH_PEERS } from '../../protocols/state/protocol.ts'
import { median } from '../../testnet/bench/statistics.ts'
import { ProcessMesh, type ProcessPeer, peersSeenBy } from '../../testnet/processes/mesh.ts'
import { until } from '../../testnet/processes/until.ts'
import { LONG, QUICK } from './fixture.ts'

const AT_ONCE = 4
const COUNT = LONG ? 40 : FULL_MESH_PEERS + 2
const WATCH_MS = Number(process.env.CLOUDSKIN_WATCH_MS ?? (LONG ? 3_600_000 : 20_000))
const LOOK_EVERY_MS = 2_000
const NAMES = Array.from({ length: COUNT }, (_, i) => `peer-${i}`)

let mesh: ProcessMesh
let peers: ProcessPeer[]

beforeAll(async () => {
  mesh = await ProcessMesh.create()
  const flags = [...QUICK, '--slots', '0']
  const [first = '', ...others] = NAMES
  const founder = await mesh.start({ name: first, flags })
  const ticket = await mesh.ticket(founder, others.length)
  peers = [founder]
  // A few at a time: forty that start at once on two cores would wait for each other.
  for (let at = 0; at < others.length; at += AT_ONCE) {
    const starting = others.slice(at, at + AT_ONCE)
    peers.push(
      ...(await Promise.all(starting.map((name) => mesh.start({ name, flags: [...flags, '--join', ticket] })))),
    )
  }
}, 600_000)

afterAll(() => mesh?.stop())

async function rssMb({ process: { pid } }: ProcessPeer): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024
}

it(`${COUNT} peers at rest take nobody for dead`, { timeout: WATCH_MS + 300_000 }, async () => {
  const seenBy = async (peer: ProcessPeer): Promise<number> =>
    (await peersSeenBy(peer)).filter(({ status }) => status === 'alive').length
  for (const peer of peers) await until(`${peer.name} sees all`, async () => (await seenBy(peer)) === COUNT)
  const verdicts = new Set<string>()
  const sizes: number[] = []
  const endMs = systemClock.mono() + WATCH_MS
  for (let k = 0; systemClock.mono() < endMs; k++) {
    const by = peers[k % COUNT] as ProcessPeer
    for (const { name, status } of await peersSeenBy(by))
      if (status !== 'alive') verdicts.add(`${by.name}: ${name} ${status}`)
    if (k % 30 === 0) sizes.push(median(await Promise.all(peers.map(rssMb))))
    await sleep(systemClock, LOOK_EVERY_MS)
  }
  process.stdout.write(`resident, median of ${COUNT} peers, MB, minute by minute: ${sizes.map(Math.round).join(' ')}\n`)
  expect([...verdicts].filter((verdict) => verdict.endsWith('failed'))).toEqual([])
})
