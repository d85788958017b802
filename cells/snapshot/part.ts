// One part as bytes, and back: frame, hash and header. Pure; reading is total.
import { equal, sha256 } from '../../core/bytes.ts'
import { CodedError } from '../../core/errors.ts'
import { fromCbor, toCbor } from '../../core/shape.ts'
import type { CellErrorCode } from '../errors.ts'
import {
  type FilesHeader,
  filesHeader,
  HASH_AT,
  HASH_BYTES,
  HEADER_AT,
  MAGIC,
  MAX_HEADER_BYTES,
  PART,
  type PagesHeader,
  type PartKind,
  pagesHeader,
  SNAPSHOT_FORMAT,
  type StateHeader,
  stateHeader,
} from './format.ts'

const KIND_AT = 8
const LENGTH_AT = 12
const HEADER_LENGTH_AT = 16

/** A part of which the frame and the header have been read, not yet the payload. */
export type Part = { readonly hash: Uint8Array; readonly payload: Uint8Array } & (
  | { readonly kind: 'pages'; readonly header: PagesHeader }
  | { readonly kind: 'files'; readonly header: FilesHeader }
  | { readonly kind: 'rehearsal' | 'state'; readonly header: StateHeader }
)

/** Before the first part. */
export const CHAIN_START: Uint8Array = new Uint8Array(HASH_BYTES)

/** The chain after one more part: whoever knows it knows that none is missing and none stands elsewhere. */
export function chained(chain: Uint8Array, hash: Uint8Array): Uint8Array {
  return sha256(chain, hash)
}

/** `payload` is compressed already where the header says so. */
export function sealPart(
  kind: PartKind,
  header: PagesHeader | FilesHeader | StateHeader,
  payload: Uint8Array,
): { readonly bytes: Uint8Array<ArrayBuffer>; readonly hash: Uint8Array } {
  const head = toCbor(header)
  const bytes = new Uint8Array(HEADER_AT + head.length + payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint32(4, SNAPSHOT_FORMAT, true)
  view.setUint32(KIND_AT, PART[kind], true)
  view.setUint32(LENGTH_AT, bytes.length, true)
  view.setUint32(HEADER_LENGTH_AT, head.length, true)
  bytes.set(head, HEADER_AT)
  bytes.set(payload, HEADER_AT + head.length)
  const hash = hashOf(bytes)
  bytes.set(hash, HASH_AT)
  return { bytes, hash }
}

/**
 * Cuts whole parts apart, one after the other.
 * @param verify whether to check hashes: not needed by one who passes the parts on to another who does. @default true
 * @throws `SNAPSHOT_MALFORMED`, `SNAPSHOT_VERSION_MISMATCH`
 */
export function* readParts(bytes: Uint8Array, verify = true): Generator<Part, void, void> {
  for (let at = 0; at < bytes.length; ) {
    const part = cut(bytes.subarray(at))
    yield readPart(part, verify)
    at += part.length
  }
}

/** The first part of `bytes`, by the length that it says. */
function cut(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < HEADER_AT || view.getUint32(0, true) !== MAGIC) throw malformed('a part does not start like one')
  const version = view.getUint32(4, true)
  if (version !== SNAPSHOT_FORMAT) throw versionMismatch('format', String(version), String(SNAPSHOT_FORMAT))
  const length = view.getUint32(LENGTH_AT, true)
  if (length < HEADER_AT || length > bytes.length) throw malformed('a part is cut off')
  return bytes.subarray(0, length)
}

function readPart(part: Uint8Array, verify: boolean): Part {
  const view = new DataView(part.buffer, part.byteOffset, part.byteLength)
  const headerBytes = view.getUint32(HEADER_LENGTH_AT, true)
  const payloadAt = HEADER_AT + headerBytes
  if (headerBytes > MAX_HEADER_BYTES || payloadAt > part.length) throw malformed('a header is cut off')
  const hash = part.subarray(HASH_AT, HEADER_AT)
  if (verify && !equal(hashOf(part), hash)) throw malformed('a hash is wrong')
  const head = part.subarray(HEADER_AT, payloadAt)
  const payload = part.subarray(payloadAt)
  const code: CellErrorCode = 'SNAPSHOT_MALFORMED'
  switch (view.getUint32(KIND_AT, true)) {
    case PART.pages:
      return { kind: 'pages', hash, payload, header: fromCbor(head, pagesHeader, code) }
    case PART.files:
      return { kind: 'files', hash, payload, header: fromCbor(head, filesHeader, code) }
    case PART.rehearsal:
      return { kind: 'rehearsal', hash, payload, header: fromCbor(head, stateHeader, code) }
    case PART.state:
      return { kind: 'state', hash, payload, header: fromCbor(head, stateHeader, code) }
    default:
      throw malformed('it has a part of no known kind')
  }
}

function hashOf(part: Uint8Array): Uint8Array {
  return sha256(part.subarray(0, HASH_AT), part.subarray(HEADER_AT))
}

export function malformed(why: string, cause?: unknown): CodedError<CellErrorCode> {
  return new CodedError('SNAPSHOT_MALFORMED', `this is not a usable snapshot: ${why}; take a new one`, { cause })
}

export function versionMismatch(what: string, found: string, wanted: string): CodedError<CellErrorCode> {
  const message = `the snapshot was made with ${what} ${found}, and this peer has ${wanted}: run the same release on both`
  return new CodedError('SNAPSHOT_VERSION_MISMATCH', message, { facts: { what, found, wanted } })
}
