// Content-addressed objects: where they are kept, who may read them, and how they are fetched from other peers.
import type { Logger } from '@libp2p/interface'
import type { Network, PeerKey } from '../kit/types.ts'

/** SHA-256 of the content, 64 lower-case hex digits. */
export type Cid = string

/** An object being written: invisible until `commit`. Exactly one of `commit` and `abort` ends it. */
export interface BlobWriter {
  /** Bytes written so far. */
  readonly size: number
  /** Rejects with `BLOB_STORE_FULL` or `BLOB_QUOTA`; nothing of the object is kept then. */
  write(chunk: Uint8Array): Promise<void>
  /**
   * Makes the object durable and visible under the hash of what was written. With `expected` another hash is
   * `BLOB_CORRUPT`, and nothing is kept.
   */
  commit(expected?: Cid): Promise<Cid>
  /** Idempotent; after `commit` it does nothing. */
  abort(): Promise<void>
}

/** A store of immutable objects. What `put` or `commit` acknowledged survives a crash. */
export interface BlobStore {
  has(cid: Cid): Promise<boolean>
  /** Bytes; undefined when there is no such object. */
  size(cid: Cid): Promise<number | undefined>
  /** `length` bytes from `offset` on, fewer only at the end, unverified; undefined when there is no such object. */
  read(cid: Cid, offset: number, length: number): Promise<Uint8Array | undefined>
  /** The whole object, verified; undefined when there is none. Rejects with `BLOB_CORRUPT` and drops one that rotted. */
  readWhole(cid: Cid): Promise<Uint8Array | undefined>
  put(bytes: Uint8Array): Promise<Cid>
  writer(): Promise<BlobWriter>
  /** False when there was no such object. */
  remove(cid: Cid): Promise<boolean>
}

/** Which peers are served which objects: a cell's inputs go only where the cell may. Asked before anything is said. */
export interface BlobPolicy {
  mayRead(peer: PeerKey, cid: Cid): boolean
}

export interface BlobsInit {
  readonly network: Network
  readonly store: BlobStore
  readonly policy: BlobPolicy
  readonly log: Logger
}

export interface FetchInit {
  readonly signal?: AbortSignal
  /** A larger object is refused before any of it is kept, `BLOB_TOO_LARGE`. @default 1 GiB */
  readonly maxBytes?: number
}
