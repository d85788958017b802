// A seeded world of nodes that crash and restart over durable disks and a bad network: the same seed gives the same run.
import { type Random, seededRandom } from '../../core/random.ts'
import { Disk } from './disk.ts'
import { Life } from './life.ts'
import { SimulatedNetwork } from './network.ts'
import { settled, VirtualClock } from './virtual-clock.ts'

export interface NodeHooks {
  /** Brings the node up: called for every life. */
  readonly boot: (life: Life) => void
  /** What was in memory is gone. */
  readonly crashed: (life: Life) => void
}

export class Simulation {
  readonly clock = new VirtualClock()
  readonly random: Random
  readonly network: SimulatedNetwork
  readonly #hooks: NodeHooks
  readonly #disks = new Map<string, Disk>()
  readonly #lives = new Map<string, Life>()
  readonly #points = new Map<string, number>()
  /** Called at every point of every node with its number, from 1; it may crash the node. */
  onPoint: ((node: string, point: number) => void) | undefined

  constructor(seed: number, hooks: NodeHooks) {
    this.random = seededRandom(seed)
    this.network = new SimulatedNetwork(this.clock, this.random)
    this.#hooks = hooks
  }

  disk(node: string): Disk {
    const disk = this.#disks.get(node) ?? new Disk(this.random)
    this.#disks.set(node, disk)
    return disk
  }

  isUp(node: string): boolean {
    return this.#lives.has(node)
  }

  /** Points that the node has passed in all its lives. */
  points(node: string): number {
    return this.#points.get(node) ?? 0
  }

  boot(node: string): void {
    if (this.isUp(node)) return
    const life = new Life(node, this.clock, () => this.#pass(node))
    this.#lives.set(node, life)
    this.#hooks.boot(life)
  }

  crash(node: string): void {
    const life = this.#lives.get(node)
    if (life === undefined) return
    life.end()
    this.#lives.delete(node)
    this.network.crashed(node)
    this.#hooks.crashed(life)
  }

  /** Lets `ms` pass, or less when `isDone` says so; true when it did. */
  async run(ms: number, isDone: () => boolean = () => false): Promise<boolean> {
    const end = this.clock.mono() + ms
    await settled()
    for (;;) {
      if (isDone()) return true
      if (!(await this.clock.step(end))) return isDone()
    }
  }

  #pass(node: string): void {
    const point = this.points(node) + 1
    this.#points.set(node, point)
    this.onPoint?.(node, point)
  }
}
