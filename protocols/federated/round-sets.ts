// Sets of members, as the round needs them: in common, in order, without oneself.
import { sha256Hex, utf8 } from '../../core/bytes.ts'
import type { PeerKey } from '../kit/types.ts'
import type { RoundConfig, RoundState, UpdateSet } from './round-types.ts'

/** What stands in every one of `sets`, with the same hash. */
export function intersection(sets: ReadonlyMap<PeerKey, UpdateSet>): UpdateSet {
  const [first = new Map<PeerKey, string>(), ...rest] = sets.values()
  return new Map([...first].filter(([peer, hash]) => rest.every((set) => set.get(peer) === hash)))
}

/** Peers in an order that is fresh in every round and the same for all who ask: where there are too many, the first ones. */
export function ranked({ taskHash, parent }: RoundConfig, peers: readonly PeerKey[]): PeerKey[] {
  const rank = (peer: PeerKey): string => sha256Hex(utf8(`${taskHash} ${parent.version} ${peer}`))
  return peers
    .map((peer) => ({ peer, rank: rank(peer) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .map(({ peer }) => peer)
}

/** This peer, and of the others in their order whoever holds the updates of all of these, as they hold its own. */
export function mutual({ config, holds, updates }: RoundState): ReadonlySet<PeerKey> {
  const knows = (a: PeerKey, b: PeerKey): boolean => holds.get(a)?.get(b) === updates.get(b)?.hash
  const chosen = new Set([config.self])
  for (const peer of ranked(config, [...holds.keys()]))
    if ([...chosen].every((other) => knows(peer, other) && knows(other, peer))) chosen.add(peer)
  return chosen
}

/** The members but for this peer. */
export function others(state: RoundState): PeerKey[] {
  return [...state.group].filter((peer) => peer !== state.config.self)
}

/** `set` itself when nothing changes. */
export const plus = <T>(set: ReadonlySet<T>, item: T): ReadonlySet<T> => (set.has(item) ? set : new Set([...set, item]))
export const minus = <T>(set: ReadonlySet<T>, item: T): ReadonlySet<T> =>
  new Set([...set].filter((other) => other !== item))
