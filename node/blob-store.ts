// Blobs as files: `<home>/blobs/ab/cdef…`. A blob is written aside, made durable, then renamed into view; a crash
// leaves at most a temporary file, which the next start removes. One process per home, which the home's lock ensures.
import { createHash, type Hash, randomUUID } from 'node:crypto'
import { constants, type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { sha256Hex } from '../core/bytes.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import { CodedError, messageOf } from '../core/errors.ts'
import type { Startable } from '../core/lifecycle.ts'
import {
  type BlobErrorCode,
  type BlobStore,
  type BlobWriter,
  type Cid,
  checkedCid,
  isCid,
} from '../protocols/blobs/index.ts'

export interface FileBlobStoreInit {
  /** The home folder; blobs go to `blobs` in it, created when missing. */
  readonly home: string
  /** Bytes of all blobs together, unfinished ones included. @default no limit but the disk */
  readonly quotaBytes?: number
  /** Objects that must stay; undefined for all. Others give way, those first that were not used for longest, when the quota is used up. @default all */
  readonly needed?: () => ReadonlySet<Cid> | undefined
  readonly clock?: Clock
}

/** An object used within this time is on its way into a record that names it: an upload before its cell, a result before its report. */
const GRACE_MS = 15 * 60_000
/** A file that is taken over is read in such pieces. */
const ADOPT_BYTES = 1 << 20
/** This part of the quota is made free at once: to look at every object for every chunk that is written would cost more. */
const ROOM_SHARE = 1 / 16

interface StoredObject {
  readonly size: number
  /** Monotonic; of an earlier life it is the past. */
  usedAt: number
}

/** Usable between `start()`, which lists what is there, and `stop()`. */
export class FileBlobStore implements BlobStore, Startable {
  readonly #root: string
  readonly #quotaBytes: number
  readonly #needed: (() => ReadonlySet<Cid> | undefined) | undefined
  readonly #clock: Clock
  readonly #objects = new Map<Cid, StoredObject>()
  readonly #removing = new Map<Cid, Promise<void>>()
  readonly #writers = new Set<FileBlobWriter>()
  #usedBytes = 0

  constructor(init: FileBlobStoreInit) {
    this.#root = join(init.home, 'blobs')
    this.#quotaBytes = init.quotaBytes ?? Number.POSITIVE_INFINITY
    this.#needed = init.needed
    this.#clock = init.clock ?? systemClock
  }

  /** Bytes in use, unfinished blobs included. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  async start(): Promise<void> {
    await rm(this.#temporary(), { recursive: true, force: true })
    await mkdir(this.#temporary(), { recursive: true, mode: 0o700 })
    this.#objects.clear()
    this.#usedBytes = 0
    const found: { readonly cid: Cid; readonly size: number; readonly mtimeMs: number }[] = []
    for (const shard of await readdir(this.#root)) {
      if (!/^[0-9a-f]{2}$/.test(shard)) continue
      for (const rest of await readdir(join(this.#root, shard))) {
        if (!isCid(shard + rest)) continue
        const { size, mtimeMs } = await stat(join(this.#root, shard, rest))
        found.push({ cid: shard + rest, size, mtimeMs })
      }
    }
    for (const { cid, size } of found.sort((a, b) => a.mtimeMs - b.mtimeMs)) {
      this.#objects.set(cid, { size, usedAt: Number.NEGATIVE_INFINITY })
      this.#usedBytes += size
    }
  }

  /** Drops what is unfinished. */
  async stop(): Promise<void> {
    await Promise.all([...this.#writers].map((writer) => writer.abort()))
  }

  async has(cid: Cid): Promise<boolean> {
    return this.#used(cid) !== undefined
  }

  async size(cid: Cid): Promise<number | undefined> {
    return this.#used(cid)?.size
  }

  async read(cid: Cid, offset: number, length: number): Promise<Uint8Array | undefined> {
    const size = this.#used(cid)?.size
    if (size === undefined) return undefined
    const handle = await this.#found(cid, open(this.#path(cid), 'r'))
    if (handle === undefined) return undefined
    try {
      const bytes = new Uint8Array(Math.max(0, Math.min(length, size - offset)))
      let filled = 0
      while (filled < bytes.length) {
        const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, offset + filled)
        if (bytesRead === 0) break
        filled += bytesRead
      }
      return bytes.subarray(0, filled)
    } finally {
      await handle.close()
    }
  }

  async readWhole(cid: Cid): Promise<Uint8Array | undefined> {
    if (this.#used(cid) === undefined) return undefined
    const buffer = await this.#found(cid, readFile(this.#path(cid)))
    if (buffer === undefined) return undefined
    const bytes = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
    if (sha256Hex(bytes) === cid) return bytes
    await this.remove(cid)
    throw new CodedError<BlobErrorCode>(
      'BLOB_CORRUPT',
      `object ${cid} rotted on this disk and was removed: fetch it again, and check the disk`,
      { facts: { cid } },
    )
  }

  async put(bytes: Uint8Array): Promise<Cid> {
    const cid = sha256Hex(bytes)
    if (this.#used(cid) !== undefined) return cid
    const writer = await this.writer()
    try {
      await writer.write(bytes)
      return await writer.commit(cid)
    } finally {
      await writer.abort()
    }
  }

  /**
   * Takes over a file of this file system, which nobody writes to any more, without copying it. It is gone from its place
   * then, also on an error, which is one of a writer's.
   */
  async adopt(file: string): Promise<Cid> {
    const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW)
    let reserved = 0
    try {
      const { size } = await handle.stat()
      await this.#reserve(size)
      reserved = size
      const hash = createHash('sha256')
      let read = 0
      for await (const chunk of handle.createReadStream({ autoClose: false, highWaterMark: ADOPT_BYTES })) {
        hash.update(chunk)
        read += chunk.length
      }
      if (read !== size) throw new Error(`${file} has changed while it was read`)
      await handle.sync()
      const cid = hash.digest('hex')
      if (await this.#adopt(file, cid, size)) reserved = 0
      return cid
    } catch (error) {
      throw storeError(error)
    } finally {
      this.#usedBytes -= reserved
      await handle.close()
      await rm(file, { force: true })
    }
  }

  /** Where an object lies, for who reads it piece by piece, unverified; undefined when there is none. */
  fileOf(cid: Cid): string | undefined {
    return this.#used(cid) === undefined ? undefined : this.#path(cid)
  }

  async writer(): Promise<BlobWriter> {
    const path = join(this.#temporary(), randomUUID())
    const handle = await open(path, 'wx', 0o600).catch((error: unknown) => {
      throw storeError(error)
    })
    const writer = new FileBlobWriter(path, handle, {
      reserve: (bytes) => this.#reserve(bytes),
      release: (bytes) => {
        this.#usedBytes -= bytes
      },
      adopt: (cid, size) => this.#adopt(path, cid, size),
      ended: () => this.#writers.delete(writer),
    })
    this.#writers.add(writer)
    return writer
  }

  async remove(cid: Cid): Promise<boolean> {
    const object = this.#objects.get(cid)
    if (object === undefined) return false
    this.#objects.delete(cid)
    this.#usedBytes -= object.size
    const removing = rm(this.#path(cid), { force: true }).finally(() => this.#removing.delete(cid))
    this.#removing.set(cid, removing)
    await removing
    return true
  }

  /** Marks it as the one used last: the map is in the order of use. */
  #used(cid: Cid): StoredObject | undefined {
    const object = this.#objects.get(cid)
    if (object === undefined) return undefined
    this.#objects.delete(cid)
    this.#objects.set(cid, object)
    object.usedAt = this.#clock.mono()
    return object
  }

  async #reserve(bytes: number): Promise<void> {
    if (this.#usedBytes + bytes > this.#quotaBytes) await this.#makeRoom(bytes)
    if (this.#usedBytes + bytes > this.#quotaBytes)
      throw new CodedError<BlobErrorCode>(
        'BLOB_QUOTA',
        `the blob store may hold ${this.#quotaBytes} bytes, and cells need the ${this.#usedBytes} that it has: forget cells that are over ("cloudskin rm"), or raise --blob-quota-mb`,
        { facts: { quotaBytes: this.#quotaBytes, usedBytes: this.#usedBytes } },
      )
    this.#usedBytes += bytes
  }

  /** Lets go of what nobody needs, as far as it takes. */
  async #makeRoom(bytes: number): Promise<void> {
    const needed = this.#needed?.()
    if (needed === undefined) return
    const until = this.#clock.mono() - GRACE_MS
    const idle = [...this.#objects].filter(([cid, { usedAt }]) => usedAt < until && !needed.has(cid))
    for (const [cid, { usedAt }] of idle) {
      if (this.#usedBytes + bytes <= this.#quotaBytes * (1 - ROOM_SHARE)) return
      // It may have been used again while another was removed.
      if (this.#objects.get(cid)?.usedAt === usedAt) await this.remove(cid)
    }
  }

  /** Renames a finished file into view. False when the object was there already. */
  async #adopt(temporary: string, cid: Cid, size: number): Promise<boolean> {
    if (this.#used(cid) !== undefined) return false
    // A file of that name that is just being removed would take this one with it.
    await this.#removing.get(cid)
    const folder = join(this.#root, cid.slice(0, 2))
    const made = await mkdir(folder, { recursive: true, mode: 0o700 })
    await rename(temporary, this.#path(cid))
    await syncFolder(folder)
    if (made !== undefined) await syncFolder(this.#root)
    // Another writer of the same bytes may have been first by now: then one of the two reservations goes back.
    if (this.#objects.has(cid)) this.#usedBytes -= size
    this.#objects.set(cid, { size, usedAt: this.#clock.mono() })
    return true
  }

  /** A file that somebody removed by hand is an object that is not here. */
  async #found<T>(cid: Cid, reading: Promise<T>): Promise<T | undefined> {
    try {
      return await reading
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
      await this.remove(cid)
      return undefined
    }
  }

  #path(cid: Cid): string {
    const checked = checkedCid(cid)
    return join(this.#root, checked.slice(0, 2), checked.slice(2))
  }

  #temporary(): string {
    return join(this.#root, 'tmp')
  }
}

interface WriterStore {
  reserve(bytes: number): Promise<void>
  release(bytes: number): void
  adopt(cid: Cid, size: number): Promise<boolean>
  ended(): void
}

class FileBlobWriter implements BlobWriter {
  readonly #path: string
  readonly #handle: FileHandle
  readonly #store: WriterStore
  readonly #hash: Hash = createHash('sha256')
  #size = 0
  #ended = false

  constructor(path: string, handle: FileHandle, store: WriterStore) {
    this.#path = path
    this.#handle = handle
    this.#store = store
  }

  get size(): number {
    return this.#size
  }

  async write(chunk: Uint8Array): Promise<void> {
    try {
      if (this.#ended) throw new Error('the object was already committed or aborted')
      await this.#store.reserve(chunk.length)
      if (this.#ended) {
        this.#store.release(chunk.length)
        throw new Error('the object was aborted while it was written')
      }
      this.#size += chunk.length
      this.#hash.update(chunk)
      for (let at = 0; at < chunk.length; ) at += (await this.#handle.write(chunk, at)).bytesWritten
    } catch (error) {
      await this.abort()
      throw storeError(error)
    }
  }

  async commit(expected?: Cid): Promise<Cid> {
    if (this.#ended) throw new Error('the object was already committed or aborted')
    const cid = this.#hash.digest('hex')
    if (expected !== undefined && cid !== expected) {
      await this.abort()
      throw new CodedError<BlobErrorCode>('BLOB_CORRUPT', `bytes given as object ${expected} hash to ${cid}`, {
        facts: { cid: expected, found: cid },
      })
    }
    try {
      await this.#handle.sync()
      await this.#handle.close()
      if (await this.#store.adopt(cid, this.#size)) this.#end()
      else await this.abort()
      return cid
    } catch (error) {
      await this.abort()
      throw storeError(error)
    }
  }

  async abort(): Promise<void> {
    if (this.#ended) return
    this.#end()
    this.#store.release(this.#size)
    await this.#handle.close().catch(() => undefined)
    await rm(this.#path, { force: true })
  }

  #end(): void {
    this.#ended = true
    this.#store.ended()
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** A full disk, or a user's disk quota that is used up, under its own code; anything else as it is. */
function storeError(error: unknown): unknown {
  const errno = errnoOf(error)
  if (errno !== 'ENOSPC' && errno !== 'EDQUOT') return error
  return new CodedError<BlobErrorCode>(
    'BLOB_STORE_FULL',
    `the disk of the home folder is full (${messageOf(error)}): free some space, then try again`,
    { cause: error },
  )
}
