// The protocols that ours are compared with: that they do what they are known for.
import { expect, it } from 'vitest'
import { gossipsubMesh } from '../../../testnet/baselines/gossipsub.ts'
import { MessageCache, type Published, Seen } from '../../../testnet/baselines/gossipsub-cache.ts'
import { memberlistMesh } from '../../../testnet/baselines/memberlist.ts'
import { BroadcastQueue } from '../../../testnet/baselines/memberlist-queue.ts'
import type { Broadcast } from '../../../testnet/baselines/memberlist-wire.ts'
import { agreed, type Baseline, reached } from '../../../testnet/baselines/types.ts'
import { lan, wan } from '../../../testnet/world/models.ts'

const COUNT = 100
const mesh = (init = {}) => memberlistMesh({ seed: 1, count: COUNT, model: lan(), ...init })

/** How long a change takes to reach all. */
function reachMs(baseline: Baseline, origin: number): number {
  const { world } = baseline
  const atMs = world.now
  const version = baseline.change(origin)
  expect(world.runUntil(atMs + 30_000, () => reached(baseline, origin, version) === 1)).toBe(true)
  return world.now - atMs
}

it('memberlist: a change reaches all within a few rounds of gossip, and over a bad network, too', () => {
  const still = mesh()
  still.world.run(5_000)
  expect(reachMs(still, 3)).toBeLessThan(2_000)
  const lossy = mesh({ model: wan(1, COUNT), lossRate: 0.2 })
  lossy.world.run(5_000)
  expect(reachMs(lossy, 3)).toBeLessThan(10_000)
})

it('memberlist: takes nobody for dead on a network that loses some', () => {
  const lossy = mesh({ lossRate: 0.05 })
  lossy.world.run(60_000)
  for (let about = 0; about < COUNT; about++) expect(agreed(lossy, about, 'alive')).toBe(1)
})

it('memberlist: a death is found by all, after the time for suspicion', () => {
  for (const kind of ['silent', 'closed'] as const) {
    const still = mesh()
    const { world } = still
    world.run(5_000)
    world.crash(7, kind)
    const atMs = world.now
    expect(world.runUntil(atMs + 60_000, () => agreed(still, 7, 'dead') === 1)).toBe(true)
    // Four seconds times the logarithm of a hundred, and until a probe has failed.
    expect(world.now - atMs).toBeGreaterThan(8_000)
    expect(world.now - atMs).toBeLessThan(25_000)
  }
})

it('memberlist: who is suspected but lives refutes it', () => {
  const still = mesh()
  const { world } = still
  world.run(5_000)
  const incarnation = still.members[0]?.members.incarnations[9] ?? 0
  still.members[0]?.members.accuse(9)
  expect(still.status(0, 9)).toBe('suspect')
  world.run(world.now + 5_000)
  expect(agreed(still, 9, 'alive')).toBe(1)
  expect(reached(still, 9, incarnation + 1)).toBe(1)
  expect(still.members[9]?.prober.awareness).toBeLessThan(2)
})

it('memberlist: who was paused for long comes back, and so does who has begun anew', () => {
  const still = mesh()
  const { world } = still
  world.run(5_000)
  world.pause(9, 30_000)
  world.run(world.now + 25_000)
  expect(agreed(still, 9, 'dead')).toBe(1)
  expect(world.runUntil(world.now + 60_000, () => agreed(still, 9, 'alive') === 1)).toBe(true)
  world.crash(4, 'closed')
  world.run(world.now + 40_000)
  still.restart(4, 0)
  expect(world.runUntil(world.now + 20_000, () => agreed(still, 4, 'alive') === 1)).toBe(true)
  for (let about = 0; about < COUNT; about++) expect(still.status(4, about)).toBe('alive')
})

it('memberlist: gossips the least sent, then the newest, of each subject the last, and each so many times', () => {
  const queue = new BroadcastQueue()
  const said = (about: number, kind: Broadcast['kind'] = 'alive', incarnation = 1): Broadcast => ({
    kind,
    about,
    incarnation,
    from: 0,
  })
  const take = (bytes: number) => queue.take(bytes, 9).map(({ about, incarnation }) => `${about}:${incarnation}`)
  for (const about of [1, 2, 3]) queue.add(said(about))
  queue.add(said(2, 'alive', 2))
  queue.add(said(4, 'dead'))
  // Two long ones do not fit, and so a short one goes with the newest.
  expect(take(300)).toEqual(['2:2', '4:1'])
  expect(take(400)).toEqual(['3:1', '1:1'])
  expect(take(10_000)).toEqual(['2:2', '3:1', '1:1', '4:1'])
  for (let sent = 2; sent < 4; sent++) expect(take(10_000).length).toBe(4)
  expect(queue.size).toBe(0)
  expect(take(10_000)).toEqual([])
})

it('gossipsub: a change reaches all within a few hops, and whom the mesh misses by gossip', () => {
  const subject = gossipsubMesh({ seed: 1, count: COUNT, model: wan(1, COUNT), floodPublish: false })
  const { world } = subject
  expect(reachMs(subject, 3)).toBeLessThan(1_500)
  world.setLoss(0.2)
  expect(reachMs(subject, 3)).toBeLessThan(5_000)
  for (const { mesh: links } of subject.subscribers) {
    expect(links.length).toBeGreaterThanOrEqual(4)
    expect(links.length).toBeLessThanOrEqual(16)
  }
  expect(subject.status(0, 1)).toBeUndefined()
})

it('gossipsub: keeps its connections and its mesh when many die, and takes back who begins anew', () => {
  const subject = gossipsubMesh({ seed: 1, count: COUNT, model: lan() })
  const { world } = subject
  for (let index = 0; index < 30; index++) world.crash(index, index % 2 === 0 ? 'closed' : 'silent')
  world.run(world.now + 60_000)
  expect(reachMs(subject, 50)).toBeLessThan(1_000)
  subject.restart(3, 60)
  world.run(world.now + 30_000)
  expect(reachMs(subject, 3)).toBeLessThan(1_000)
})

it('gossipsub: knows what it has seen, also what comes in another order', () => {
  const seen = new Seen(2)
  const message = (sequence: number): Published => ({ kind: 'message', origin: 1, sequence })
  for (const sequence of [3, 1, 4, 2, 20, 19]) {
    expect(seen.has(message(sequence))).toBe(false)
    expect(seen.add(message(sequence))).toBe(true)
    expect(seen.add(message(sequence))).toBe(false)
  }
  expect(seen.newest(1)).toBe(20)
  expect(seen.has(message(21))).toBe(false)
  expect(seen.has(message(4))).toBe(true)
  expect(seen.has(message(5))).toBe(false)

  const first = message(1)
  for (const [age, isOffered, isKept] of [
    [0, 1, true],
    [2, 1, true],
    [3, 0, true],
    [4, 0, true],
    [5, 0, false],
  ] as const) {
    const aged = new MessageCache()
    aged.add(first)
    for (let k = 0; k < age; k++) aged.shift()
    expect(aged.recent().length).toBe(isOffered)
    expect(aged.has(first)).toBe(isKept)
  }
})
