// An object of the store as bytes for the control API, verified while they are read.
import { createHash } from 'node:crypto'
import { CodedError } from '../../core/errors.ts'
import type { BlobErrorCode, BlobStore } from '../../protocols/blobs/index.ts'
import { ByteStream } from '../control/byte-stream.ts'

const CHUNK_BYTES = 1 << 20

/** Undefined when there is no such object. The last chunk of one that rotted never comes: `BLOB_CORRUPT`, and it is dropped. */
export async function objectStream(store: BlobStore, cid: string): Promise<ByteStream | undefined> {
  const size = await store.size(cid)
  return size === undefined ? undefined : new ByteStream(size, verified(store, cid, size))
}

async function* verified(store: BlobStore, cid: string, size: number): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  for (let at = 0; at < size; ) {
    const chunk = (await store.read(cid, at, CHUNK_BYTES)) ?? new Uint8Array(0)
    hash.update(chunk)
    at += chunk.length
    if (chunk.length === 0 || (at >= size && hash.digest('hex') !== cid)) {
      await store.remove(cid)
      throw new CodedError<BlobErrorCode>(
        'BLOB_CORRUPT',
        `object ${cid} rotted on this disk and was removed: fetch it again, and check the disk`,
        { facts: { cid } },
      )
    }
    yield chunk
  }
}
