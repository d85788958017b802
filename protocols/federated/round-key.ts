// Which attempt a message belongs to, and whether that is ours.
import type { PeerKey } from '../kit/types.ts'
import type { Refusal, RoundEvent, RoundKey, RoundState } from './round-types.ts'

/** The name of the attempt that `state` is in. */
export function keyOf(state: RoundState): RoundKey {
  const { taskHash: task, parent } = state.config
  return { task, round: parent.round + 1, parent: parent.version, view: state.view }
}

/** Why a member's message is not for this attempt; undefined when it is. Only a `ready` may raise the attempt. */
export function refusalOf(
  state: RoundState,
  peer: PeerKey,
  key: RoundKey,
  kind: RoundEvent['kind'] = 'update',
): Refusal | undefined {
  const mine = keyOf(state)
  if (key.task !== mine.task) return { code: 'ROUND_OTHER_TASK', reason: 'this peer trains another task' }
  if (key.parent !== mine.parent || key.round !== mine.round)
    return {
      code: 'ROUND_OTHER_PARENT',
      reason: `this peer trains from ${mine.parent.slice(0, 8)}, round ${mine.round}`,
    }
  const raises = kind === 'ready' && state.phase === 'gather' && key.view > mine.view
  if (key.view !== mine.view && !raises)
    return { code: 'ROUND_STALE', reason: `attempt ${key.view}, while this peer is in attempt ${mine.view}` }
  if (peer === state.config.self) return { code: 'ROUND_NONE', reason: 'a peer sends itself nothing' }
  return undefined
}
