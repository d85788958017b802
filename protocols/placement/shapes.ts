// The small shapes that every message here is made of: names of things, paths, usage. Bounds only, no meaning.
import * as s from '../../core/shape.ts'
import type { PeerKey } from '../kit/types.ts'

/** A text that `pattern` matches whole; `what` names it in the refusal. */
const matching =
  (pattern: RegExp, maxChars: number, what: string): s.Shape<string> =>
  (value, path) => {
    const text = s.text(maxChars)(value, path)
    if (!pattern.test(text)) throw new Error(`${path === '' ? 'value' : path} is not ${what}`)
    return text
  }

/** SHA-256 in 64 lower-case hex digits: names a module, a blob, a cell. */
export const cidShape = matching(/^[0-9a-f]{64}$/, 64, '64 lower-case hex digits')

/** Text of a peer id; whether it is one shows when a signature is checked or a connection opened. */
export const peerShape: s.Shape<PeerKey> = matching(/^[A-Za-z0-9._-]+$/, 128, 'a peer id')

/** Identifies a reservation at the host that made it. */
export const reservationShape = matching(/^[0-9a-f]{32}$/, 32, '32 hex digits')

/** Counts placements and moves of one cell; 0 is before the first. */
export const epochShape = s.integer(0)

/** Longest path in a cell's file tree, characters: longer ones are refused by most file systems too. */
const MAX_PATH_CHARS = 1024

/** Absolute, and the same place however it is read: no `.`, `..` or empty steps, no NUL, no trailing slash. */
export const pathShape: s.Shape<string> = (value, path) => {
  const text = s.text(MAX_PATH_CHARS)(value, path)
  const steps = text.split('/')
  const clean =
    text.length > 1 && steps[0] === '' && steps.slice(1).every((step) => step !== '' && step !== '.' && step !== '..')
  if (!clean || text.includes('\0')) throw new Error(`${path} is not an absolute path without . and ..`)
  return text
}

export const bytesCount = s.integer(0)

/** What a cell used; same fields and units as the engine's. */
export interface Usage {
  readonly busyMs: number
  readonly wallMs: number
  readonly fuel: number
  readonly memoryBytes: number
  readonly outputBytes: number
  readonly diskBytes: number
}

const amount = s.number(0)

export const usageShape: s.Shape<Usage> = s.object({
  busyMs: amount,
  wallMs: amount,
  fuel: amount,
  memoryBytes: amount,
  outputBytes: amount,
  diskBytes: amount,
})
