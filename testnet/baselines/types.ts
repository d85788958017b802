// What is measured of a protocol that others have published, to be compared with ours: how far a change has come, who is taken for
// dead, and what it all costs (which the world counts).
import { seededRandom, shuffled } from '../../core/random.ts'
import type { World } from '../world/world.ts'

export type Status = 'alive' | 'suspect' | 'dead'

/** A mesh of participants that speak one protocol, in a world of its own. */
export interface Baseline {
  readonly name: string
  readonly world: World<unknown>
  /** What a participant tells of itself has changed; returns the version that the others should come to have. */
  change(index: number): number
  /** Whether `index` has this version of what `origin` tells, or a newer one. */
  has(index: number, origin: number, version: number): boolean
  /** What `index` takes `about` for; undefined where the protocol has no failure detector. */
  status(index: number, about: number): Status | undefined
  /** Begins again after a crash, knowing only `contact`. */
  restart(index: number, contact: number): void
}

/** Share of those that are up which have the version. */
export function reached(baseline: Baseline, origin: number, version: number): number {
  const up = upOf(baseline)
  return up.filter((index) => baseline.has(index, origin, version)).length / up.length
}

/** Share of those that are up which take `about` for what is asked. */
export function agreed(baseline: Baseline, about: number, status: Status): number {
  const up = upOf(baseline).filter((index) => index !== about)
  return up.filter((index) => baseline.status(index, about) === status).length / up.length
}

function upOf({ world }: Baseline): number[] {
  return Array.from({ length: world.count }, (_, index) => index).filter((index) => world.isUp(index))
}

/** Links everybody with `degree` others, roughly: rings through all of them, each in an order of its own. */
export function joinRings(count: number, degree: number, seed: number, join: (a: number, b: number) => void): void {
  const random = seededRandom(seed + 7)
  const all = Array.from({ length: count }, (_, index) => index)
  for (let ring = 0; ring < degree / 2; ring++) {
    const order = shuffled(all, random)
    for (const [at, index] of order.entries()) join(index, order[(at + 1) % count] as number)
  }
}
