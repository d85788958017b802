// Peers that stand still for a while, as one does whose machine is starved or asleep: whoever is silent for seconds is not dead,
// whoever wakes is not taken for dead any longer, and nobody doubts the others because he slept himself.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sleep, systemClock } from '../../core/clock.ts'
import { ProcessMesh, type ProcessPeer, peersSeenBy } from '../../testnet/processes/mesh.ts'
import { until } from '../../testnet/processes/until.ts'
import { meshOf } from './fixture.ts'

const NAMES = ['ash', 'birch', 'cedar', 'elder', 'fig']
/** Well below the time from the first missed probe to a verdict. */
const SHORT_MS = 3_000
const LONG_MS = 20_000
/** From its waking until all others know. */
const BACK_MS = 5_000

let mesh: ProcessMesh
let peers: ProcessPeer[]

beforeAll(async () => {
  mesh = await ProcessMesh.create()
  peers = await meshOf(mesh, NAMES, () => ['--slots', '0'])
}, 120_000)

afterAll(() => mesh?.stop())

/** While `work` goes on: every pair of who was seen as failed, and by whom. */
async function verdictsDuring(by: readonly ProcessPeer[], work: () => Promise<void>): Promise<string[]> {
  const verdicts = new Set<string>()
  let isOver = false
  const watching = by.map(async (peer) => {
    while (!isOver) {
      for (const { name, status } of await peersSeenBy(peer))
        if (status === 'failed') verdicts.add(`${peer.name}: ${name}`)
      await sleep(systemClock, 100)
    }
  })
  await work()
  isOver = true
  await Promise.all(watching)
  return [...verdicts].sort()
}

async function paused(peer: ProcessPeer, ms: number): Promise<void> {
  peer.process.kill('SIGSTOP')
  try {
    await sleep(systemClock, ms)
  } finally {
    peer.process.kill('SIGCONT')
  }
}

describe('a peer that stands still', () => {
  it('for three seconds, again and again, is never taken for dead', { timeout: 120_000 }, async () => {
    const [, birch, cedar] = peers as [ProcessPeer, ProcessPeer, ProcessPeer]
    const others = peers.filter((peer) => peer !== birch && peer !== cedar)
    const verdicts = await verdictsDuring(others, async () => {
      for (const peer of [birch, cedar, birch]) {
        await paused(peer, SHORT_MS)
        await sleep(systemClock, 2_000)
      }
    })
    expect(verdicts).toEqual([])
  })

  it('for twenty, is, and no longer than until it wakes; it doubts nobody for it', { timeout: 180_000 }, async () => {
    const fig = peers.at(-1) as ProcessPeer
    const others = peers.filter((peer) => peer !== fig)
    const before = await verdictsDuring(others, () => paused(fig, LONG_MS))
    expect(before).toEqual(others.map(({ name }) => `${name}: fig`))
    const wokeAt = systemClock.mono()
    const statusesOf = async (by: ProcessPeer): Promise<string[]> => (await peersSeenBy(by)).map(({ status }) => status)
    const own = await verdictsDuring([fig], async () => {
      await until('all know that it is back', async () => {
        const all = await Promise.all(others.map(statusesOf))
        return all.flat().every((status) => status === 'alive')
      })
      expect(systemClock.mono() - wokeAt).toBeLessThan(BACK_MS)
      await sleep(systemClock, 5_000)
    })
    expect(own).toEqual([])
  })
})
