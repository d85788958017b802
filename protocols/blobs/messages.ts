// The messages of the blob protocol, and how many credits a transfer takes.
import { CodedError } from '../../core/errors.ts'
import * as s from '../../core/shape.ts'
import type { BlobErrorCode } from './errors.ts'
import { CREDIT_CHUNKS, WINDOW_CHUNKS } from './protocol.ts'
import type { Cid } from './types.ts'

export const requestShape = s.object({ cid: s.text(64), offset: s.integer() })
export const headerShape = s.object({ size: s.integer() })

/** One credit: the receiver has put CREDIT_CHUNKS more chunks away. The content is of no meaning. */
export const CREDIT = new Uint8Array([1])

/** True when the sender must have read one more credit before it sends chunk number `index`. */
export function needsCredit(index: number): boolean {
  return index >= WINDOW_CHUNKS && (index - WINDOW_CHUNKS) % CREDIT_CHUNKS === 0
}

/** True when the receiver owes a credit after chunk number `index` of `total`: exactly as many as will be read. */
export function owesCredit(index: number, total: number): boolean {
  const done = index + 1
  return done % CREDIT_CHUNKS === 0 && done - CREDIT_CHUNKS + WINDOW_CHUNKS < total
}

export function isCid(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text)
}

/** Throws `BLOB_BAD_CID`: a content id becomes a path and must be nothing else. */
export function checkedCid(text: string): Cid {
  if (isCid(text)) return text
  throw new CodedError<BlobErrorCode>(
    'BLOB_BAD_CID',
    `"${text.slice(0, 80)}" is not a content id: give 64 lower-case hex digits`,
  )
}
