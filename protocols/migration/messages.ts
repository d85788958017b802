// Bytes <-> checked values: what travels on the two streams. Decoding is total and bounded.
import * as s from '../../core/shape.ts'
import { CHUNK_BYTES, MAX_MANIFEST_BYTES, MAX_REASON_CHARS } from './protocol.ts'

const cell = s.text(128)
const attempt = s.text(32)
const epoch = s.integer(1)
/** Hex SHA-256. */
const digest = s.text(64)
const reason = s.text(MAX_REASON_CHARS)

/** An offer as it travels and as it is journalled. */
export const offerShape = s.object({
  cell,
  attempt,
  epoch,
  module: digest,
  moduleBytes: s.integer(),
  manifest: s.bytes(MAX_MANIFEST_BYTES),
  signature: s.bytes(1024),
  reservation: s.text(512),
  memoryBytes: s.integer(),
})

const toDestination = s.union({
  prepare: s.object({ offer: offerShape }),
  /** The next piece of a part, or, after the last part, of the context. `more`: the part goes on in the next piece. */
  piece: s.object({
    index: s.integer(),
    of: s.oneOf('part', 'context'),
    more: s.boolean,
    sha256: s.bytes(32, 32),
    bytes: s.bytes(CHUNK_BYTES, 1),
  }),
  /** All parts of round `round` have been sent. */
  round: s.object({ round: s.integer(1) }),
  /** All there is has been sent. */
  complete: s.object({ root: digest }),
  'hand-over': s.object({ cell, attempt, epoch, root: digest }),
  settled: s.object({}),
})
/** What a source says. */
export type ToDestination = s.Infer<typeof toDestination>
export type PieceMessage = Extract<ToDestination, { kind: 'piece' }>

const toSource = s.union({
  /** `maxImageBytes`: so much of the cell is taken in, all rounds together. */
  ready: s.object({ maxImageBytes: s.integer(1) }),
  /** All parts of that round are applied, and written. */
  applied: s.object({ round: s.integer(1) }),
  received: s.object({ root: digest }),
  /** The destination runs the cell. `hostStartedAt`: since when, on the clock that all processes of its host share. */
  running: s.object({ epoch, hostStartedAt: s.optional(s.number(0)) }),
  /** The destination owns the cell, but its first start failed; it goes on trying. */
  owned: s.object({ epoch, reason }),
  refuse: s.object({ reason }),
})
/** What a destination says. */
export type ToSource = s.Infer<typeof toSource>

export function decodeToDestination(bytes: Uint8Array): ToDestination {
  return s.fromCbor(bytes, toDestination, 'MESSAGE_MALFORMED')
}

export function decodeToSource(bytes: Uint8Array): ToSource {
  return s.fromCbor(bytes, toSource, 'MESSAGE_MALFORMED')
}

export function encodeMessage(message: ToDestination | ToSource): Uint8Array {
  return s.toCbor(message)
}

/** `ask`: who owns the cell? `settled`: nothing in the source's journal will make it ask again. */
export const questionShape = s.object({ kind: s.oneOf('ask', 'settled'), cell, attempt })
export type Question = s.Infer<typeof questionShape>

/** `pending`: a write is under way, ask again. `unknown`: this peer has no record, which permits nothing. */
export const answerShape = s.object({ answer: s.oneOf('owned', 'never', 'unknown', 'pending') })
export type Answer = s.Infer<typeof answerShape>['answer']

/** A reason cut to what a message may carry. */
export function cutReason(text: string): string {
  return text.slice(0, MAX_REASON_CHARS)
}
