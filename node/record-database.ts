// The records of a home, in LevelDB: one write at a time, each on the disk before it is acknowledged, and none after a failed one
// in the same log. (A write that fails in the middle, on a full disk, leaves half a record in LevelDB's log. Writes after it succeed,
// and are dropped by the next recovery, which stops there: so the database is opened anew before anything else is written.)
import { readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Level } from 'level'
import type { RecordStore } from './cells/types.ts'

/** What a recovery writes beside the log it reads. */
const REOPEN_BYTES = 128 * 1024

type Operation = { readonly type: 'put'; readonly value: Uint8Array } | { readonly type: 'del' }
type Kinded = { readonly kind: string; readonly key: string } & Operation

interface Waiting {
  readonly operation: Kinded
  readonly done: PromiseWithResolvers<void>
}

type Sublevel = ReturnType<typeof sublevelOf>

export class RecordDatabase {
  readonly #folder: string
  #level: Level<string, Uint8Array>
  readonly #kinds = new Map<string, Sublevel>()
  #queue: Waiting[] = []
  #writing: Promise<void> | undefined
  readonly #reading = new Set<Promise<unknown>>()
  /** Reads wait for this while the database is opened anew. */
  #reopening: Promise<void> | undefined
  #suspect = false

  private constructor(folder: string, level: Level<string, Uint8Array>) {
    this.#folder = folder
    this.#level = level
  }

  static async open(folder: string): Promise<RecordDatabase> {
    return new RecordDatabase(folder, await opened(folder))
  }

  /** Records of one kind. */
  records(kind: string): RecordStore {
    return {
      put: (key, value) => this.#write({ kind, key, type: 'put', value }),
      remove: (key) => this.#write({ kind, key, type: 'del' }),
      get: (key) => this.#read(() => this.#of(kind).get(key)),
      list: () => this.#read(() => this.#of(kind).iterator().all()),
    }
  }

  /** Lets what was asked for be written first. */
  async close(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
    await this.#level.close()
  }

  async #read<T>(work: () => Promise<T>): Promise<T> {
    await this.#reopening
    const reading = work()
    this.#reading.add(reading)
    try {
      return await reading
    } finally {
      this.#reading.delete(reading)
    }
  }

  #write(operation: Kinded): Promise<void> {
    const done = Promise.withResolvers<void>()
    this.#queue.push({ operation, done })
    this.#writing ??= this.#drain().finally(() => {
      this.#writing = undefined
    })
    return done.promise
  }

  /** Whatever came while the disk was busy goes in one batch, with one sync. */
  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue
      this.#queue = []
      try {
        if (this.#suspect) await this.#reopen()
        const operations = batch.map(({ operation: { kind, ...rest } }) => ({ ...rest, sublevel: this.#of(kind) }))
        await this.#level.batch<string, Uint8Array>(operations, { sync: true })
        for (const { done } of batch) done.resolve()
      } catch (error) {
        this.#suspect = true
        for (const { done } of batch) done.reject(error)
      }
    }
  }

  /** Fails, and changes nothing, while the disk has no room for it: what was written can still be read then. */
  async #reopen(): Promise<void> {
    if (this.#level.status === 'open') await this.#tryRoom()
    const reopening = (async () => {
      await Promise.allSettled(this.#reading)
      this.#kinds.clear()
      await this.#level.close()
      this.#level = await opened(this.#folder)
    })()
    this.#reopening = reopening.catch(() => undefined)
    await reopening
    this.#suspect = false
  }

  async #tryRoom(): Promise<void> {
    let bytes = REOPEN_BYTES
    for (const name of await readdir(this.#folder))
      if (name.endsWith('.log')) bytes += (await stat(join(this.#folder, name))).size
    const probe = `${this.#folder}.room`
    try {
      await writeFile(probe, new Uint8Array(bytes), { mode: 0o600, flush: true })
    } finally {
      await rm(probe, { force: true })
    }
  }

  #of(kind: string): Sublevel {
    const known = this.#kinds.get(kind) ?? sublevelOf(this.#level, kind)
    this.#kinds.set(kind, known)
    return known
  }
}

/** A database begins to open as soon as it is constructed. */
async function opened(folder: string): Promise<Level<string, Uint8Array>> {
  const level = new Level<string, Uint8Array>(folder, { valueEncoding: 'view', createIfMissing: true })
  await level.open()
  return level
}

function sublevelOf(level: Level<string, Uint8Array>, kind: string) {
  return level.sublevel<string, Uint8Array>(kind, { valueEncoding: 'view' })
}
