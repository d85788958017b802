// The door of protocols/blobs.
import { BlobService } from './service.ts'
import type { BlobsInit } from './types.ts'

export { BLOB_ERRORS, type BlobErrorCode } from './errors.ts'
export { checkedCid, isCid } from './messages.ts'
export { BLOB_PROTOCOL } from './protocol.ts'
export type { BlobService } from './service.ts'
export type { BlobPolicy, BlobStore, BlobsInit, BlobWriter, Cid, FetchInit } from './types.ts'

/** A blob service over `init.store`; it serves nothing before `start()`. */
export function blobService(init: BlobsInit): BlobService {
  return new BlobService(init)
}
