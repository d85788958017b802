// Many peers on the simulated network: the machines of real peers, on virtual time.
import { describe, expect, it } from 'vitest'
import type { Claim } from '../../../protocols/state/claim.ts'
import { EMPTY, type Message, outgoing } from '../../../protocols/state/messages.ts'
import { MAX_PEERS } from '../../../protocols/state/protocol.ts'
import { signedRecord } from '../../../protocols/state/record.ts'
import { StateMesh, type StateMeshInit } from '../../../testnet/mesh/state-mesh.ts'
import { lan, wan } from '../../../testnet/world/models.ts'

function settled(count: number, patch: Partial<StateMeshInit> = {}): StateMesh {
  const mesh = new StateMesh({ seed: 1, count, model: lan(), ...patch })
  mesh.settle()
  mesh.world.run(mesh.world.now + 2_000)
  return mesh
}

/** By how many of those that run `about` is listed as each status. */
function listed(mesh: StateMesh, about: number): Record<string, number> {
  const out: Record<string, number> = {}
  for (const { index } of mesh.up) {
    const status = mesh.entry(index, about)?.status ?? 'unknown'
    out[status] = (out[status] ?? 0) + 1
  }
  return out
}

const allAlive = (mesh: StateMesh): boolean =>
  mesh.up.every(({ index }) => mesh.up.every((other) => mesh.entry(index, other.index)?.status === 'alive'))

const BUSY = { load: { backlogMs: 9_000, running: 3, load1: 2 } }

describe('news', () => {
  it.each([
    [0, 1_000],
    [0.3, 1_600],
  ])('of a change reach everybody with %f of the packets lost, and nobody is doubted', (lossRate, withinMs) => {
    const statuses = new Set<string>()
    const mesh = settled(100, {
      onChange: (_about, _by, status) => statuses.add(status),
    })
    mesh.world.setLoss(lossRate)
    for (let k = 0; k < 5; k++) {
      const origin = mesh.peer(7 * k)
      const before = origin.record.version
      origin.publish({ load: { ...BUSY.load, running: k + 1 } })
      const done = (): boolean => origin.record.version > before && mesh.reached(origin.record, mesh.peers) >= 0.99
      expect(mesh.world.runUntil(mesh.world.now + withinMs, done)).toBe(true)
      mesh.world.run(mesh.world.now + 1_000)
    }
    if (lossRate === 0) expect([...statuses]).toEqual(['alive'])
    else expect(statuses).not.toContain('failed')
  })

  it('of a change cost each peer a few copies, and everybody has what is told now and then', () => {
    const mesh = settled(100)
    const counted = (): number => mesh.peers.reduce((sum, { machine }) => sum + machine.counters.duplicates, 0)
    const before = counted()
    const version = mesh.peer(3).record.version
    mesh.peer(3).publish(BUSY)
    mesh.world.run(mesh.world.now + 1_000)
    expect(mesh.reached(mesh.peer(3).record, mesh.peers)).toBe(1)
    expect(mesh.peer(3).record.version).toBe(version + 1)
    expect(counted() - before).toBeLessThan(3 * 100)
    mesh.world.run(mesh.world.now + 60_000)
    for (const { record } of mesh.peers) expect(record.version).toBeGreaterThan(2)
    for (const { index } of mesh.peers)
      for (const { record } of mesh.peers) {
        const held = mesh.entry(index, mesh.roll.index(record.peer))?.signed?.version ?? 0
        expect(held).toBeGreaterThanOrEqual(record.version - 1)
      }
  })

  it('of one seed are the same twice, and of another seed are not', () => {
    const trace = (seed: number): number => {
      const mesh = settled(30, { seed, lossRate: 0.1 })
      mesh.world.crash(3, 'silent')
      mesh.world.run(20_000)
      return mesh.world.trace
    }
    expect(trace(5)).toBe(trace(5))
    expect(trace(5)).not.toBe(trace(6))
  })
})

describe('a mesh', () => {
  it('grows from nothing: everybody knows one address, and in the end everybody', () => {
    const mesh = new StateMesh({ seed: 2, count: 40, model: wan(2, 40) })
    for (let index = 0; index < 40; index++) {
      mesh.boot(index)
      if (index > 0) mesh.peer(index).connectTo(index - 1)
    }
    expect(mesh.world.runUntil(60_000, () => allAlive(mesh), 100)).toBe(true)
    mesh.world.run(mesh.world.now + 30_000)
    for (const { machine } of mesh.peers) {
      expect(machine.links.size).toBeGreaterThanOrEqual(8)
      expect(machine.links.size).toBeLessThanOrEqual(20)
    }
  })

  it('of peers that joined all through one has links all over, and not one centre', () => {
    const mesh = new StateMesh({ seed: 4, count: 60, model: lan() })
    for (let index = 0; index < 60; index++) {
      mesh.boot(index)
      if (index > 0) mesh.peer(index).connectTo(0)
    }
    mesh.world.run(120_000)
    expect(allAlive(mesh)).toBe(true)
    mesh.world.crash(0, 'silent')
    mesh.world.run(mesh.world.now + 10_000)
    expect(listed(mesh, 0)).toEqual({ failed: 59 })
    expect(mesh.up.every(({ machine }) => machine.links.size >= 8 && machine.links.size <= 20)).toBe(true)
  })

  it('forgets nobody who comes back: with its disk, without it, and with its clock behind', () => {
    const mesh = settled(20)
    const { world } = mesh
    world.crash(5, 'closed')
    world.run(world.now + 6_000)
    expect(listed(mesh, 5)).toEqual({ failed: 19 })
    world.setClock(5, { skewMs: -3_600_000 })
    mesh.boot(5)
    mesh.peer(5).connectTo(6)
    expect(world.runUntil(world.now + 5_000, () => allAlive(mesh), 50)).toBe(true)
  })

  it('lists who said goodbye as left at once, and doubts it no more', () => {
    const mesh = settled(20)
    mesh.peer(4).leave()
    mesh.world.run(mesh.world.now + 500)
    mesh.world.crash(4, 'closed')
    expect(listed(mesh, 4)).toEqual({ left: 19 })
    mesh.world.run(mesh.world.now + 30_000)
    expect(listed(mesh, 4)).toEqual({ left: 19 })
  })
})

describe('a dead peer', () => {
  it.each([
    ['closed', 100, 5_000],
    ['silent', 100, 5_000],
    ['silent', 8, 5_000],
    ['silent', 3, 5_000],
  ] as const)('(%s, of %i) is failed everywhere within %i ms, and nobody else is', (kind, count, withinMs) => {
    const failed = new Set<number>()
    const mesh = settled(count, {
      onChange: (about, _by, status) => {
        if (status === 'failed') failed.add(about)
      },
    })
    mesh.world.crash(2, kind)
    const isDone = (): boolean => listed(mesh, 2).failed === count - 1
    expect(mesh.world.runUntil(mesh.world.now + withinMs, isDone)).toBe(true)
    mesh.world.run(mesh.world.now + 60_000)
    expect(isDone()).toBe(true)
    expect([...failed]).toEqual([2])
  })

  it('is found even when all that watched it died with it', () => {
    const mesh = settled(60)
    const doomed = [5, ...[...mesh.peer(5).machine.links.keys()].map((key) => mesh.roll.index(key))]
    for (const index of doomed) mesh.world.crash(index, 'silent')
    mesh.world.run(mesh.world.now + 240_000)
    for (const index of doomed) expect(listed(mesh, index)).toEqual({ failed: 60 - doomed.length })
  })
})

describe('nobody is taken for dead', () => {
  it('because others are starved of CPU, nor because it is so itself; a starved one is back within 5 s of waking', () => {
    const untilMs = new Float64Array(60)
    const wrong: string[] = []
    const mesh = settled(60, {
      onChange: (about, by, status) => {
        if (status !== 'failed') return
        const { now } = mesh.world
        // What one who was starved himself believes just then is what he heard before.
        if (now < (untilMs[by.index] as number) + 5_000) return
        if (now > (untilMs[about] as number) + 5_000) wrong.push(`${about} by ${by.index} at ${now}`)
      },
    })
    const { world } = mesh
    for (let k = 0; k < 30; k++) {
      const index = world.random.int(60)
      const ms = 5_000 + world.random.int(25_000)
      untilMs[index] = Math.max(untilMs[index] as number, world.now + ms)
      if (k % 2 === 0) world.starve(index, ms)
      else world.pause(index, ms)
      world.run(world.now + 3_000)
    }
    const lastMs = Math.max(...untilMs)
    expect(world.runUntil(lastMs + 5_000, () => world.now > lastMs && allAlive(mesh), 50)).toBe(true)
    expect(wrong).toEqual([])
  })

  it('once it has woken, though it tells of itself anew before it hears that it is called dead', () => {
    const mesh = settled(30)
    const { world } = mesh
    // Longer than from one refresh to the next.
    world.pause(7, 40_000)
    world.run(world.now + 39_000)
    expect(listed(mesh, 7)).toEqual({ failed: 29, alive: 1 })
    expect(world.runUntil(world.now + 3_000, () => allAlive(mesh), 50)).toBe(true)
  })

  it('by a link that is cut between two of them', () => {
    const failed: number[] = []
    const mesh = settled(12, {
      onChange: (about, _by, status) => {
        if (status === 'failed') failed.push(about)
      },
    })
    mesh.world.setReach((a, b) => !(a + b === 3 && a * b === 2))
    mesh.world.run(mesh.world.now + 120_000)
    expect(failed).toEqual([])
  })
})

describe('a partition', () => {
  const shapes: Record<string, (a: number, b: number) => boolean> = {
    'into halves': (a, b) => a < 15 === b < 15,
    'of one peer': (a, b) => (a === 0) === (b === 0),
    'into three': (a, b) => a % 3 === b % 3,
    'in one direction': (a, b) => !(a < 15 && b >= 15),
  }
  it.each(Object.entries(shapes))('%s heals: all views are equal again within 5 s', (_, reach) => {
    const mesh = settled(30)
    const { world } = mesh
    world.setReach(reach)
    world.run(world.now + 600_000)
    expect(allAlive(mesh)).toBe(false)
    world.setReach(undefined)
    expect(world.runUntil(world.now + 5_000, () => allAlive(mesh), 50)).toBe(true)
  })
})

describe('zones', () => {
  it('keep full records inside, and know of each other what matters', () => {
    const mesh = settled(1_050, { zones: 3 })
    const { world } = mesh
    world.run(world.now + 8_000)
    expect(mesh.peers.every(({ machine }) => machine.isZoned)).toBe(true)
    for (const { machine } of mesh.peers.slice(0, 30)) {
      const held = [...machine.table.all()].filter(({ isListed }) => isListed).length
      // Its own zone, the reporters of the others, and neighbours of a few border peers.
      expect(held).toBeLessThan(370)
      expect(machine.summaries().size).toBe(2)
    }
    const origin = mesh.peer(5)
    origin.publish({ free: { cpu: 0.9, memoryBytes: 6 * 2 ** 30, diskBytes: 0, slots: 1 } })
    const others = mesh.peers.filter(({ index }) => mesh.zoneOf(index) !== mesh.zoneOf(5))
    const told = (): number =>
      others.filter(({ machine }) => machine.summaries().get('zone-2')?.freeSlots === 350 * 8 - 7).length /
      others.length
    expect(world.runUntil(world.now + 2_000, () => told() >= 0.99, 50)).toBe(true)
  }, 60_000)
})

describe('a hostile member', () => {
  /** Says `message` on the link from `from` to `to`, as if its machine had. */
  function say(mesh: StateMesh, from: number, to: number, message: Partial<Message>): void {
    const { world } = mesh
    mesh.peer(to).machine.receive(mesh.roll.key(from), { ...EMPTY, ...message }, world.now)
  }

  const claimBy = (mesh: StateMesh, accuser: number, about: number): Claim => {
    const { incarnation, version } = mesh.peer(about).record
    return {
      about: mesh.roll.key(about),
      incarnation,
      version,
      accuser: mesh.roll.key(accuser),
      signature: new Uint8Array(64),
      verify: () => undefined,
    }
  }

  it('that calls others dead, again and again, has nobody listed as failed', () => {
    const failed: number[] = []
    const mesh = settled(40, {
      onChange: (about, _by, status) => {
        if (status === 'failed') failed.push(about)
      },
    })
    for (let k = 0; k < 300; k++) {
      for (const key of mesh.peer(0).machine.links.keys())
        say(mesh, 0, mesh.roll.index(key), { claims: [claimBy(mesh, 0, 1 + (k % 39))] })
      mesh.world.run(mesh.world.now + 200)
    }
    expect(failed).toEqual([])
    // What it costs: each is answered once, as long as the liar is heard at all.
    const refuted = mesh.peers.reduce((sum, { machine }) => sum + machine.counters.refutations, 0)
    expect(refuted).toBeGreaterThan(10)
    expect(refuted).toBeLessThan(200)
    expect(mesh.peers.reduce((sum, { machine }) => sum + machine.counters.ignoredClaims, 0)).toBeGreaterThan(100)
  })

  it('that is believed by nobody any more does not keep the dead alive', () => {
    const mesh = settled(40)
    for (let k = 0; k < 40; k++) {
      for (const key of mesh.peer(0).machine.links.keys())
        say(mesh, 0, mesh.roll.index(key), { claims: [claimBy(mesh, 0, 1 + (k % 39))] })
      mesh.world.run(mesh.world.now + 100)
    }
    mesh.world.crash(7, 'silent')
    mesh.world.run(mesh.world.now + 15_000)
    expect(listed(mesh, 7)).toEqual({ failed: 39 })
  })

  it('that names thousands of peers fills a table, and no more', () => {
    const mesh = settled(10)
    const made = Array.from({ length: 3_000 }, (_, i) => `somebody-${i}`)
    say(mesh, 0, 1, { haves: made.map((peer) => ({ peer, incarnation: 1, version: 1 })) })
    const { machine } = mesh.peer(1)
    expect([...machine.table.all()].length).toBeLessThanOrEqual(MAX_PEERS)
    expect(machine.counters.refused).toBeGreaterThan(900)
    mesh.world.run(mesh.world.now + 10_000)
    // What is only named, and never shown, is no member.
    expect(machine.table.present).toBe(10)
  })

  it('that repeats old records changes nothing', () => {
    const mesh = settled(10)
    const old = mesh.peer(3).record
    mesh.peer(3).publish(BUSY)
    mesh.world.run(mesh.world.now + 1_000)
    const { machine } = mesh.peer(1)
    const before = machine.counters.verified
    say(mesh, 0, 1, { bodies: [outgoing(old, true)] })
    expect(machine.table.get(old.peer)?.signed?.version).toBe(old.version + 1)
    expect(machine.counters.verified).toBe(before)
    expect(machine.counters.duplicates).toBeGreaterThan(0)
  })

  it('that replays what an earlier life of a peer signed makes it go above that', () => {
    const mesh = settled(10)
    const { record } = mesh.peer(3)
    const later = { ...record.record, incarnation: record.incarnation + 5_000, version: 9 }
    const signed = signedRecord({ record: later, urgent: false }, { ...record, coldVersion: 9 }, record.signature)
    for (const key of mesh.peer(0).machine.links.keys())
      say(mesh, 0, mesh.roll.index(key), { bodies: [outgoing(signed, true)] })
    mesh.world.run(mesh.world.now + 5_000)
    expect(mesh.peer(3).record.incarnation).toBe(later.incarnation + 1)
    expect(mesh.reached(mesh.peer(3).record, mesh.peers)).toBe(1)
  })
})
