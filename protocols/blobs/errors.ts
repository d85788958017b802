// Codes of blobs: the store's and the protocol's.
import type { CodeTable } from '../../core/errors.ts'

export type BlobErrorCode =
  | 'BLOB_BAD_CID'
  | 'BLOB_NOT_FOUND'
  | 'BLOB_NOT_ALLOWED'
  | 'BLOB_CORRUPT'
  | 'BLOB_TOO_LARGE'
  | 'BLOB_UNAVAILABLE'
  | 'BLOB_STORE_FULL'
  | 'BLOB_QUOTA'

export const BLOB_ERRORS: CodeTable<BlobErrorCode> = {
  BLOB_BAD_CID: 'The text is not a content id: 64 lower-case hex digits.',
  BLOB_NOT_FOUND: 'The asked peer has no object of that content id.',
  BLOB_NOT_ALLOWED: 'The asked peer does not serve that object to this one.',
  BLOB_CORRUPT: 'The bytes do not hash to the content id they were given under; they were dropped.',
  BLOB_TOO_LARGE: 'The object is larger than the caller allows.',
  BLOB_UNAVAILABLE: 'No holder could deliver the object; the text says what each of them did.',
  BLOB_STORE_FULL: 'The disk of the home folder is full; the unfinished object was removed.',
  BLOB_QUOTA: 'The object would exceed the quota of the blob store; the unfinished object was removed.',
}
