// A node's disk: what was written survives crashes; a write may fail, and one that failed may have been made all the same.
import type { Random } from '../../core/random.ts'
import type { Life } from './life.ts'

/** How often a write that is reported as failed stands on the disk nevertheless: a failed sync says nothing. */
const SURVIVES_FAILURE = 0.3

export class Disk {
  readonly #random: Random
  readonly #tables = new Map<string, Map<string, unknown>>()
  /** Writes fail as long as it is. */
  full = false

  constructor(random: Random) {
    this.#random = random
  }

  /** What stands on the disk now, seen from outside. */
  peek<T>(table: string): ReadonlyMap<string, T> {
    return this.#table(table) as ReadonlyMap<string, T>
  }

  wipe(): void {
    this.#tables.clear()
  }

  async put(life: Life, table: string, key: string, value: unknown): Promise<void> {
    await this.#write(life, () => this.#table(table).set(key, value))
  }

  async remove(life: Life, table: string, key: string): Promise<void> {
    await this.#write(life, () => this.#table(table).delete(key))
  }

  async get<T>(life: Life, table: string, key: string): Promise<T | undefined> {
    await life.pause(this.#random.int(2))
    return this.#table(table).get(key) as T | undefined
  }

  async entries<T>(life: Life, table: string): Promise<(readonly [string, T])[]> {
    await life.pause(this.#random.int(2))
    return [...this.#table(table)] as [string, T][]
  }

  async #write(life: Life, apply: () => void): Promise<void> {
    life.point()
    await life.pause(this.#random.int(5))
    if (this.full) {
      if (this.#random.next() < SURVIVES_FAILURE) apply()
      throw new Error('no space left on device')
    }
    apply()
    life.point()
    await life.pause(this.#random.int(3))
  }

  #table(name: string): Map<string, unknown> {
    const table = this.#tables.get(name) ?? new Map<string, unknown>()
    this.#tables.set(name, table)
    return table
  }
}
