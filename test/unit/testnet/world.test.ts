// The simulated world against what it promises: order, loss, clocks, pauses, partitions and the ways to die.
import { expect, it } from 'vitest'
import { seededRandom } from '../../../core/random.ts'
import { cities, lan, matrix, wan } from '../../../testnet/world/models.ts'
import { DATAGRAM_OVERHEAD_BYTES, LINK_OVERHEAD_BYTES } from '../../../testnet/world/network.ts'
import type { NetworkModel, Participant, Port, WorldInit } from '../../../testnet/world/types.ts'
import { World } from '../../../testnet/world/world.ts'

const DELAY_MS = 10
const steady: NetworkModel = { delayMs: () => DELAY_MS }

/** Writes down what happens to it, and when. */
class Witness implements Participant<number> {
  readonly log: string[] = []
  readonly at: number[] = []
  readonly got: number[] = []
  refuses = false
  onWake: () => void = () => undefined
  readonly port: Port<number>
  readonly #now: () => number

  constructor(port: Port<number>, now: () => number) {
    this.port = port
    this.#now = now
  }

  receive(from: number, message: number, via: 'link' | 'datagram'): void {
    this.got.push(message)
    this.#note(`${via} ${from}`)
  }

  linkUp(peer: number, outbound: boolean): boolean {
    this.#note(`up ${peer} ${outbound ? 'out' : 'in'}`)
    return outbound || !this.refuses
  }

  linkDown(peer: number): void {
    this.#note(`down ${peer}`)
  }

  openFailed(peer: number): void {
    this.#note(`failed ${peer}`)
  }

  wake(): void {
    this.#note('wake')
    this.onWake()
  }

  /** When it happened last. */
  when(what: string): number {
    return this.at[this.log.lastIndexOf(what)] ?? Number.NaN
  }

  #note(what: string): void {
    this.log.push(what)
    this.at.push(this.#now())
  }
}

function worldOf(init: Partial<WorldInit> = {}): {
  world: World<number>
  all: Witness[]
  boot: (i: number) => Witness
} {
  const world = new World<number>({ seed: 1, count: 3, model: steady, ...init })
  const all: Witness[] = []
  const boot = (index: number): Witness => {
    world.boot(index, (port) => (all[index] = new Witness(port, () => world.now)))
    return all[index] as Witness
  }
  for (let index = 0; index < world.count; index++) boot(index)
  return { world, all, boot }
}

/** Of two linked ones, and the world around them. */
function pair(init: Partial<WorldInit> = {}) {
  const { world, all, boot } = worldOf(init)
  const [a, b] = all as [Witness, Witness]
  a.port.open(1)
  world.runUntil(2_000, () => world.isLinked(0, 1) && world.isLinked(1, 0))
  return { world, a, b, boot }
}

/** A message every so often. */
function stream(world: World<number>, from: Witness, to: number, everyMs: number, count: number): void {
  for (let k = 0; k < count; k++) world.at(world.now + k * everyMs, () => from.port.send(to, k, 100))
}

const inOrder = (count: number): number[] => Array.from({ length: count }, (_, k) => k)

it('opens a link in three one-way delays and tells the opener one later', () => {
  const { a, b } = pair()
  expect(b.when('up 0 in')).toBe(3 * DELAY_MS)
  expect(a.when('up 1 out')).toBe(4 * DELAY_MS)
})

it('makes one link of two that are opened at once', () => {
  const { world, all } = worldOf({ model: wan(3, 3) })
  all[0]?.port.open(1)
  all[1]?.port.open(0)
  world.run(10_000)
  expect(all[0]?.log.length).toBe(1)
  expect(all[1]?.log.length).toBe(1)
  all[0]?.port.send(1, 7, 1)
  all[1]?.port.send(0, 8, 1)
  world.run(20_000)
  expect([all[0]?.got, all[1]?.got]).toEqual([[8], [7]])
})

it('keeps the order on a link, whatever is lost', () => {
  for (const lossRate of [0, 0.05, 0.3]) {
    const { world, a, b } = pair({ model: wan(2, 3), lossRate })
    stream(world, a, 1, 7, 2_000)
    world.run(world.now + 60_000)
    expect(b.got).toEqual(inOrder(2_000))
  }
})

it('holds up a lone message by a retransmission timeout, and one that is followed by a round trip', () => {
  const { world, a, b } = pair({ seed: 5 })
  world.setLoss(0.999)
  a.port.send(1, 0, 1)
  world.run(world.now + DELAY_MS)
  world.setLoss(0)
  const sentMs = world.now - DELAY_MS
  world.run(sentMs + 1_000)
  expect(b.when('link 0')).toBe(sentMs + DELAY_MS + 200)

  world.setLoss(0.999)
  a.port.send(1, 1, 1)
  world.run(world.now + DELAY_MS)
  world.setLoss(0)
  a.port.send(1, 2, 1)
  const secondMs = world.now
  world.run(secondMs + 1_000)
  expect(b.got).toEqual([0, 1, 2])
  expect(b.when('link 0')).toBe(secondMs + 3 * DELAY_MS)
})

it('loses the share of datagrams that it should, and doubles some', () => {
  const { world, all } = worldOf({ model: lan(), lossRate: 0.2, duplicateRate: 0.1, reorderMs: 50 })
  for (let k = 0; k < 20_000; k++) world.at(k, () => all[0]?.port.datagram(1, k, 100))
  world.run(30_000)
  const got = all[1]?.got ?? []
  expect(got.length / 20_000).toBeCloseTo(1.1 * 0.8, 1)
  expect(new Set(got).size).toBeLessThan(got.length)
  expect(got).not.toEqual([...got].sort((a, b) => a - b))
})

it('gives the same trace on the same seed, and another on another', () => {
  const traceOf = (seed: number): number => {
    const { world, all } = worldOf({ seed, count: 30, model: wan(1, 30), lossRate: 0.05 })
    for (const one of all) {
      one.onWake = () => {
        one.port.open(one.port.random.int(30))
        for (let to = 0; to < 30; to++) one.port.send(to, 1, 50)
        one.port.datagram(one.port.random.int(30), 1, 100)
        one.port.wakeAt(one.port.mono() + 100 * one.port.random.next())
      }
      one.port.wakeAt(0)
    }
    world.at(3_000, () => world.crash(3, 'silent'))
    world.at(4_000, () => world.starve(5, 3_000))
    world.run(10_000)
    expect(world.events).toBeGreaterThan(10_000)
    return world.trace
  }
  expect(traceOf(7)).toBe(traceOf(7))
  expect(traceOf(7)).not.toBe(traceOf(8))
})

it('counts bytes with what carries them, and what goes out waits for the way out', () => {
  const { world, a, b } = pair({ bytesPerSecond: 10_000 })
  world.resetCounters()
  const sentMs = world.now
  for (let k = 0; k < 10; k++) a.port.send(1, k, 100 - LINK_OVERHEAD_BYTES)
  a.port.datagram(1, 10, 100 - DATAGRAM_OVERHEAD_BYTES)
  world.run(sentMs + 1_000)
  expect(world.bytesSent[0]).toBe(1_100)
  expect(world.messagesSent[0]).toBe(11)
  expect(b.at.slice(-11).map((ms) => Math.round(ms - sentMs))).toEqual(inOrder(11).map((k) => 10 * (k + 1) + DELAY_MS))
})

it('lets a paused participant handle all that waited, in order, when it wakes', () => {
  const { world, a, b } = pair()
  const beganMs = world.now
  b.port.wakeAt(b.port.mono() + 500)
  stream(world, a, 1, 100, 20)
  world.pause(1, 1_000)
  world.run(beganMs + 999)
  expect(b.got).toEqual([])
  world.run(beganMs + 1_000)
  expect(b.got).toEqual(inOrder(10))
  expect(b.log.slice(1, 8)).toEqual([...Array(5).fill('link 0'), 'wake', 'link 0'])
  world.run(beganMs + 3_000)
  expect(b.got).toEqual(inOrder(20))
  expect(b.when('link 0')).toBe(beganMs + 1_900 + DELAY_MS)
})

it('lets a starved participant run in slices, and freely again after that', () => {
  const { world, all } = worldOf()
  const one = all[0] as Witness
  one.onWake = () => one.port.wakeAt(one.port.mono() + 1)
  one.port.wakeAt(0)
  world.starve(0, 20_000)
  world.run(30_000)
  const starved = one.at.filter((ms) => ms < 20_000)
  const gaps = starved.slice(1).map((ms, k) => ms - (starved[k] as number))
  const long = gaps.filter((ms) => ms > 2)
  expect(long.length).toBeGreaterThan(5)
  expect(Math.min(...long)).toBeGreaterThan(499)
  expect(Math.max(...long)).toBeLessThan(3_002)
  expect(starved.length / long.length).toBeGreaterThan(15)
  expect(starved.length / long.length).toBeLessThan(65)
  expect(one.at.length - starved.length).toBeGreaterThan(9_900)
})

it('breaks a link that a partition leaves for long, at both ends, and opens none across it', () => {
  const { world, a, b } = pair()
  world.setReach((from, to) => from === to || from === 2 || to === 2)
  const beganMs = world.now
  a.port.send(1, 1, 1)
  a.port.datagram(1, 2, 1)
  world.run(beganMs + 60_000)
  expect(b.got).toEqual([])
  for (const [one, peer] of [
    [a, 1],
    [b, 0],
  ] as const) {
    expect(one.when(`down ${peer}`) - beganMs).toBeGreaterThan(15_000)
    expect(one.when(`down ${peer}`) - beganMs).toBeLessThan(30_100)
  }
  const openedMs = world.now
  a.port.open(1)
  a.port.open(2)
  world.run(openedMs + 5_000)
  expect(a.when('failed 1')).toBe(openedMs + 3_000)
  expect(a.when('up 2 out')).toBe(openedMs + 4 * DELAY_MS)
})

it('brings what a short partition held up, in order, soon after it', () => {
  const { world, a, b } = pair()
  world.setReach(() => false)
  stream(world, a, 1, 100, 100)
  world.at(world.now + 5_000, () => world.setReach(undefined))
  world.run(world.now + 20_000)
  expect(b.got).toEqual(inOrder(100))
  expect(b.log).not.toContain('down 0')
})

it('breaks a link on which only one direction is left: data comes, but no acknowledgement', () => {
  const { world, a, b } = pair()
  world.setReach((from) => from !== 1)
  stream(world, a, 1, 1_000, 20)
  world.run(world.now + 40_000)
  expect(b.got).toEqual(inOrder(10))
  expect(a.log).toContain('down 1')
  expect(b.log).toContain('down 0')
})

it('tells of a process that died at once, and of a machine that died when nothing has come through for long', () => {
  for (const kind of ['closed', 'silent'] as const) {
    const { world, a, b } = pair()
    const diedMs = world.now
    b.port.send(0, 5, 1)
    world.crash(1, kind)
    b.port.send(0, 6, 1)
    world.run(diedMs + 40_000)
    expect(a.got).toEqual([5])
    const heardMs = a.when('down 1') - diedMs
    if (kind === 'closed') expect(heardMs).toBe(DELAY_MS)
    else expect(heardMs).toBeGreaterThan(15_000)
    expect(heardMs).toBeLessThan(30_000)
    const openedMs = world.now
    a.port.open(1)
    world.run(openedMs + 5_000)
    expect(a.when('failed 1') - openedMs).toBe(kind === 'closed' ? 2 * DELAY_MS : 3_000)
  }
})

it('tells whoever still holds a link to a machine that has begun anew', () => {
  const { world, a, boot } = pair()
  world.crash(1, 'silent')
  world.run(world.now + 1_000)
  const again = boot(1)
  const sentMs = world.now
  a.port.send(1, 1, 1)
  world.run(sentMs + 100)
  expect(a.when('down 1')).toBe(sentMs + 2 * DELAY_MS)
  expect(again.got).toEqual([])

  a.port.open(1)
  world.run(world.now + 1_000)
  world.crash(1, 'silent')
  const third = boot(1)
  third.port.open(0)
  world.run(world.now + 1_000)
  expect(a.log.slice(-2)).toEqual(['down 1', 'up 1 in'])
  a.port.send(1, 2, 1)
  third.port.send(0, 3, 1)
  world.run(world.now + 60_000)
  expect([a.got, third.got]).toEqual([[3], [2]])
})

it('tells an opener that it was refused', () => {
  const { world, all } = worldOf()
  const [a, b] = all as [Witness, Witness]
  b.refuses = true
  a.port.open(1)
  world.run(1_000)
  expect(a.log).toEqual(['failed 1'])
  expect([world.isLinked(0, 1), world.isLinked(1, 0)]).toEqual([false, false])
  b.refuses = false
  a.port.open(1)
  world.run(2_000)
  expect([world.isLinked(0, 1), world.isLinked(1, 0)]).toEqual([true, true])
})

it('closes a link behind what was sent before', () => {
  const { world, a, b } = pair({ lossRate: 0.2, model: lan() })
  for (let k = 0; k < 100; k++) a.port.send(1, k, 1)
  a.port.close(1)
  b.port.send(0, 1, 1)
  world.run(world.now + 20_000)
  expect(b.got).toEqual(inOrder(100))
  expect(b.log.at(-1)).toBe('down 0')
  expect(a.got).toEqual([])
  expect(a.log).not.toContain('down 1')
})

it('has clocks that drift and are wrong, and wakes by them', () => {
  const { world, all } = worldOf()
  const [a, b] = all as [Witness, Witness]
  world.run(1_000)
  world.setClock(0, { skewMs: 5_000, driftPpm: 1_000 })
  expect(a.port.mono()).toBeCloseTo(1_000, 6)
  expect(a.port.wall() - b.port.wall()).toBeCloseTo(5_000, 3)
  a.port.wakeAt(2_001)
  b.port.wakeAt(2_001)
  b.port.wakeAt(3_000)
  world.run(11_000)
  expect(a.at[0]).toBeCloseTo(2_000, 3)
  expect(b.at).toEqual([3_000])
  expect(a.port.mono()).toBeCloseTo(11_010, 3)
  expect(a.port.wall() - b.port.wall()).toBeCloseTo(5_010, 2)
})

it('runs what is due at one time in the order in which it was said, also far ahead', () => {
  const { world } = worldOf()
  const order: number[] = []
  const times = Array.from({ length: 3_000 }, () => world.random.int(40) * 700 * (world.random.int(5) === 0 ? 400 : 1))
  for (const [k, ms] of times.entries()) world.at(ms, () => order.push(k))
  world.run(20_000_000)
  expect(order).toEqual(inOrder(3_000).sort((a, b) => (times[a] as number) - (times[b] as number) || a - b))
})

it('has networks as near and far as they say', () => {
  const random = seededRandom(1)
  const share = (model: NetworkModel, fits: (ms: number) => boolean): number => {
    let fitting = 0
    for (let k = 0; k < 10_000; k++) if (fits(model.delayMs(random.int(1_000), random.int(1_000), random))) fitting++
    return fitting / 10_000
  }
  expect(share(lan(), (ms) => ms > 0.1 && ms < 2)).toBeGreaterThan(0.999)
  expect(share(wan(1, 1_000), (ms) => ms > 2 && ms < 165)).toBe(1)
  const mixed = matrix((a, b) => (a < b ? 20 : undefined))
  expect(share(mixed, (ms) => (ms >= 10 && ms <= 11) || (ms >= 150 && ms <= 165))).toBe(1)
  const measured = cities()
  if (measured !== undefined) expect(share(measured, (ms) => ms >= 0 && ms < 400)).toBeGreaterThan(0.99)
})
