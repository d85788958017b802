// How long a suspected peer has to show that it lives, and how far this peer should trust its own sense of time.
// Formulas: hashicorp/memberlist (suspicion.go, awareness.go); Lifeguard, arXiv 1707.00788. The constants are ours: news reach
// everybody within half a second here, and every neighbour of a dead peer notices by itself.
import { SUSPICION_CONFIRMATIONS, SUSPICION_MAX_MULTIPLIER, SUSPICION_MIN_MS } from './protocol.ts'

/** Highest local health score: timeouts grow at most eightfold (memberlist's AwarenessMaxMultiplier). */
export const MAX_HEALTH_SCORE = 7

/** Milliseconds from suspicion to `failed` with `peers` in the mesh and `confirmations` by others than the first accuser. */
export function suspicionTimeoutMs(peers: number, confirmations: number): number {
  const minMs = SUSPICION_MIN_MS * Math.max(1, Math.log10(Math.max(1, peers)) / 2)
  // With too few peers to confirm there is nothing to wait for.
  if (peers - 2 < SUSPICION_CONFIRMATIONS) return minMs
  const maxMs = SUSPICION_MAX_MULTIPLIER * minMs
  const share = Math.log(confirmations + 1) / Math.log(SUSPICION_CONFIRMATIONS + 1)
  return Math.max(minMs, maxMs - share * (maxMs - minMs))
}

/** The score after `delta`: up for signs that this peer itself is slow, down for a probe that went well. 0 is healthy. */
export function adjustHealth(score: number, delta: number): number {
  return Math.min(MAX_HEALTH_SCORE, Math.max(0, score + delta))
}

/** A timeout or interval stretched by the local health multiplier. */
export function stretched(ms: number, score: number): number {
  return ms * (score + 1)
}
