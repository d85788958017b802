// How fast, how cheaply and how truly a simulated mesh knows itself; each function runs a mesh of its own.
import { StateMesh } from '../mesh/state-mesh.ts'
import type { StatePeer } from '../mesh/state-peer.ts'
import { lan } from '../world/models.ts'
import { median } from './statistics.ts'

export const LOSS = 0.3
const CHANGES = 5
const DEATHS = 3

export interface MeshFigures {
  readonly reachMs: number
  readonly reachLossMs: number
  readonly deadMs: number
  /** Sent per peer and second at rest, headers of TCP and IP included. */
  readonly bytesPerS: number
}

function settled(count: number, seed: number): StateMesh {
  const mesh = new StateMesh({ seed, count, model: lan() })
  mesh.settle()
  return mesh
}

/** Reach, death and cost in a mesh of one zone. */
export function meshFigures(count: number, seed: number): MeshFigures {
  const mesh = settled(count, seed)
  const { world } = mesh
  // Until what was made for the occasion has settled: pings, refreshes that came all at once.
  world.run(30_000)
  const bytesPerS = restBytes(mesh, 60_000)
  const reachMs = median(changes(mesh))
  const deadMs = median(deaths(mesh))
  world.setLoss(LOSS)
  world.run(world.now + 5_000)
  return { bytesPerS, reachMs, deadMs, reachLossMs: median(changes(mesh)) }
}

export function restBytes(mesh: StateMesh, ms: number): number {
  const { world } = mesh
  world.resetCounters()
  world.run(world.now + ms)
  return (median([...world.bytesSent]) * 1_000) / ms
}

/** How long each of some changes takes until 99 % have it. */
function changes(mesh: StateMesh): number[] {
  const { world } = mesh
  return Array.from({ length: CHANGES }, (_, k) => {
    const up = mesh.up
    const origin = up[(37 * k + 5) % up.length] as StatePeer
    const took = untilReached(mesh, origin, () => mesh.reached(origin.record, mesh.up) >= 0.99)
    world.run(world.now + 2_000)
    return took
  })
}

/** Another slot is taken at `origin`; milliseconds until `isDone`. */
export function untilReached(mesh: StateMesh, origin: StatePeer, isDone: () => boolean): number {
  const { world } = mesh
  const { version, record } = origin.record
  const startMs = world.now
  origin.publish({ free: { ...record.free, slots: Math.max(0, record.free.slots - 1) } })
  const done = (): boolean => origin.record.version > version && isDone()
  if (!world.runUntil(startMs + 30_000, done, 10)) return Number.POSITIVE_INFINITY
  return world.now - startMs
}

/** How long each of some machines is dead, of which nothing is heard any more, until all others list it as failed. */
function deaths(mesh: StateMesh): number[] {
  const { world } = mesh
  return Array.from({ length: DEATHS }, (_, k) => {
    const victim = 53 * k + 11
    world.crash(victim, 'silent')
    const startMs = world.now
    const isKnown = (): boolean => mesh.up.every(({ index }) => mesh.entry(index, victim)?.status === 'failed')
    if (!world.runUntil(startMs + 60_000, isKnown, 50)) return Number.POSITIVE_INFINITY
    const took = world.now - startMs
    world.run(world.now + 3_000)
    return took
  })
}

/** False verdicts: a peer that is not starved is listed as failed by one that is not either. */
export interface Verdicts {
  readonly wrong: number
  /** Starved ones that were still listed as failed 5 s after they woke. */
  readonly lateBack: number
  readonly peerHours: number
}

/** A tenth of the peers at any time get no CPU for 5 to 30 s, but for slices of it. */
export function verdictsUnderStarvation(count: number, minutes: number, seed: number): Verdicts {
  const untilMs = new Float64Array(count)
  let wrong = 0
  const mesh = new StateMesh({
    seed,
    count,
    model: lan(),
    onChange: (about, by, status) => {
      const wasWell = (index: number): boolean => world.now > (untilMs[index] as number) + 5_000
      if (status === 'failed' && wasWell(about) && wasWell(by.index)) wrong++
    },
  })
  const { world } = mesh
  mesh.settle()
  world.run(3_000)
  const endMs = world.now + minutes * 60_000
  const starve = (): void => {
    const starved = untilMs.filter((until) => until > world.now).length
    for (let k = starved; k < count / 10; k++) {
      const index = world.random.int(count)
      if ((untilMs[index] as number) > world.now) continue
      const ms = 5_000 + world.random.int(25_000)
      untilMs[index] = world.now + ms
      world.starve(index, ms)
    }
    if (world.now < endMs) world.at(world.now + 1_000, starve)
  }
  starve()
  world.run(endMs)
  // All wake; five seconds later nobody may be missing.
  world.run(Math.max(...untilMs) + 5_000)
  const lateBack = mesh.peers.filter(({ self }) =>
    mesh.peers.some(({ machine }) => machine.table.get(self)?.status !== 'alive'),
  ).length
  return { wrong, lateBack, peerHours: (count * minutes) / 60 }
}

/** The longest that views take to be equal again after a partition of ten minutes, over several shapes of it. */
export function healMs(count: number, seed: number): number {
  const half = count / 2
  const shapes: ((a: number, b: number) => boolean)[] = [
    (a, b) => a < half === b < half,
    (a, b) => (a === 0) === (b === 0),
    (a, b) => a % 3 === b % 3,
    (a, b) => a < count / 10 === b < count / 10,
    (a, b) => !(a < half && b >= half),
  ]
  const took = shapes.map((reach) => {
    const mesh = settled(count, seed)
    const { world } = mesh
    world.run(3_000)
    world.setReach(reach)
    world.run(world.now + 600_000)
    world.setReach(undefined)
    const startMs = world.now
    const isWhole = (): boolean =>
      mesh.peers.every(({ machine }) => mesh.peers.every(({ self }) => machine.table.get(self)?.status === 'alive'))
    return world.runUntil(startMs + 60_000, isWhole, 50) ? world.now - startMs : Number.POSITIVE_INFINITY
  })
  return Math.max(...took)
}
