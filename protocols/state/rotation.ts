// Whom to probe next, and through whom: neighbours in shuffled turns, so that the longest wait is bounded (SWIM 4.3).
import { type Random, shuffled } from '../../core/random.ts'
import type { PeerKey } from '../kit/types.ts'
import type { Tracked } from './detector-types.ts'
import { INDIRECT_PROBES, PROBE_INTERVAL_MS, STALE_MS } from './protocol.ts'

type Members = ReadonlyMap<PeerKey, Tracked>

/** Neighbours, and members of whom nothing new was heard for long, in random order. */
export function newRotation(
  members: Members,
  connected: ReadonlySet<PeerKey>,
  self: PeerKey,
  now: number,
  random: Random,
): PeerKey[] {
  const due = [...members].filter(
    ([peer, member]) =>
      peer !== self &&
      (member.status === 'alive' || member.status === 'suspect') &&
      (connected.has(peer) || now - member.learntMs > STALE_MS),
  )
  return shuffled(
    due.map(([peer]) => peer),
    random,
  )
}

/** Still worth a probe when its turn comes: neither gone, nor being probed, nor heard a moment ago. */
export function isProbeable(member: Tracked | undefined, now: number): boolean {
  return (
    member !== undefined &&
    !member.probing &&
    (member.status === 'suspect' || (member.status === 'alive' && now - member.heardMs >= PROBE_INTERVAL_MS))
  )
}

/** A few healthy neighbours, at random, to ping `target` on our behalf. */
export function helpersFor(
  target: PeerKey,
  members: Members,
  connected: ReadonlySet<PeerKey>,
  random: Random,
): PeerKey[] {
  const healthy = [...connected].filter((peer) => peer !== target && members.get(peer)?.status === 'alive')
  return shuffled(healthy, random).slice(0, INDIRECT_PROBES)
}
