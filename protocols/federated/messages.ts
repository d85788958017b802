// Bytes <-> checked values: what travels on the four streams. Decoding is total and bounded.
import * as s from '../../core/shape.ts'
import type { PeerKey } from '../kit/types.ts'
import { MAX_GROUP, MAX_INVITED, MAX_PARAMETERS, MAX_VIEW } from './protocol.ts'
import type { RoundKey, UpdateSet } from './round-types.ts'
import type { Lineage } from './types.ts'

/** Hex SHA-256, or empty where there is no version yet. */
const digest = s.text(64)
const peer = s.text(128)
const view = s.integer(0, MAX_VIEW)
const round = s.integer()

const lineageShape: s.Shape<Lineage> = s.object({
  version: digest,
  round,
  parent: digest,
  contributors: s.list(peer, MAX_GROUP),
})

/** `ready`: I take part in the round after `head`. `head`: this is my version; nothing is asked. */
export const readyShape = s.union({
  ready: s.object({
    task: digest,
    head: lineageShape,
    view,
    closesInMs: s.number(0, 3_600_000),
    /** floor(log2(samples)): a rough size, no exact count. */
    bucket: s.integer(0, 52),
  }),
  head: s.object({ task: digest, head: lineageShape }),
})
export type Ready = s.Infer<typeof readyShape>

export const answerShape = s.object({ joined: s.boolean, view, head: lineageShape })
export type Answer = s.Infer<typeof answerShape>

/** Opens an update; `weight` 0 says that none follows. Then come pieces of at most `CHUNK_BYTES`, `bytes` in all. */
export const updateShape = s.object({
  task: digest,
  round,
  parent: digest,
  view,
  weight: s.integer(),
  hash: digest,
  bytes: s.integer(0, MAX_PARAMETERS * 4),
})

export const commitShape = s.object({
  task: digest,
  round,
  parent: digest,
  view,
  step: s.oneOf('hold', 'agree', 'leave'),
  set: s.list(s.object({ peer, hash: digest }), MAX_INVITED),
})
export type Commit = s.Infer<typeof commitShape>

/** Asks for the weights of one version; the answer's `bytes` follow in pieces. */
export const modelShape = s.object({ task: digest, version: digest })
export const modelAnswerShape = s.object({ bytes: s.integer(0, MAX_PARAMETERS * 4) })
export const nothingShape = s.object({})

export function commitMessage(key: RoundKey, step: Commit['step'], set: UpdateSet): Commit {
  return { ...key, step, set: [...set].map(([member, hash]) => ({ peer: member, hash })) }
}

/** The set of a message; a member named twice counts as first named. */
export function setOf(message: Commit): UpdateSet {
  const set = new Map<PeerKey, string>()
  for (const entry of message.set) if (!set.has(entry.peer)) set.set(entry.peer, entry.hash)
  return set
}
