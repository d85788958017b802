// What the three messages of an exchange should say, given what this peer holds. Pure; the streams are the service's.
import type { PeerKey } from '../kit/types.ts'
import type { Members } from './members.ts'
import { compareStamps, newerThan, type Records, type Stamp } from './merge.ts'
import { digestOf, type Exchange, encodeExchange, fitting } from './messages.ts'
import type { SignedRecord } from './record.ts'

/** Leaves room for the largest digest within one message. */
const MAX_DELTA_BYTES = 512 * 1024

/** First message of a full comparison: all that is held, by stamp. */
export function openingMessage(members: Members, self: PeerKey): Uint8Array {
  return encodeExchange(digestOf(members.known(), members.stampOf, members.detector.members, self), true, [])
}

/** First message of a push: the own record itself, and whom we doubt. */
export function pushMessage(members: Members, self: PeerKey): Uint8Array {
  const own = members.records.get(self)
  const digest = digestOf(members.doubted(), members.stampOf, members.detector.members, self)
  return encodeExchange(digest, false, own === undefined ? [] : [own])
}

/** The answer to a first message: what the remote lacks, what we lack, whom we doubt. */
export function answerMessage(
  members: Members,
  self: PeerKey,
  first: Exchange,
  remote: PeerKey,
): { readonly bytes: Uint8Array; readonly asksForMore: boolean } {
  const theirs = stamps(first)
  const news = first.full ? newerThan(members.records, theirs) : newerAmong(members.records, theirs)
  const delta = [...lastWords(members, remote, theirs), ...news]
  const lacking = first.digest.filter((entry) => members.wants(entry.peer, entry)).map(({ peer }) => peer)
  const named = new Set([...lacking, ...members.doubted()])
  const digest = digestOf(named, members.stampOf, members.detector.members, self)
  return {
    bytes: encodeExchange(digest, false, fitting(delta, MAX_DELTA_BYTES)),
    asksForMore: lacking.length > 0,
  }
}

/** The third message: what the answer asked for; undefined when there is nothing of it here. */
export function deltaMessage(members: Members, answer: Exchange, remote: PeerKey): Uint8Array | undefined {
  const theirs = stamps(answer)
  const delta = [...lastWords(members, remote, theirs), ...newerAmong(members.records, theirs)]
  return delta.length === 0 ? undefined : encodeExchange([], false, fitting(delta, MAX_DELTA_BYTES))
}

function stamps(message: Exchange): Map<PeerKey, Stamp> {
  return new Map(message.digest.map((entry) => [entry.peer, entry]))
}

/** A forgotten record goes to its own peer alone: somebody who has forgotten an older one would list it as alive. */
function lastWords(members: Members, remote: PeerKey, theirs: ReadonlyMap<PeerKey, Stamp>): SignedRecord[] {
  return newerAmong(members.forgotten, theirs).filter(({ record }) => record.peer === remote)
}

function newerAmong(records: Records, theirs: ReadonlyMap<PeerKey, Stamp>): SignedRecord[] {
  const out: SignedRecord[] = []
  for (const [peer, stamp] of theirs) {
    const mine = records.get(peer)
    if (mine !== undefined && compareStamps(mine.record, stamp) > 0) out.push(mine)
  }
  return out
}
