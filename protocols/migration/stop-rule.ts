// When a live copy has had its last round: pure, and the only place that decides it.

/** One round that is over: what travelled, and what the program had written again by its end, uncompressed. */
export interface Round {
  readonly bytes: number
  readonly dirtyBytes: number
}

export interface StopRule {
  /** So little left is not worth another round, bytes. */
  readonly smallBytes: number
  readonly maxRounds: number
  /** A round is no progress when it leaves more than this share of what the one before it left. */
  readonly progress: number
  /** Since the copy began, milliseconds. */
  readonly budgetMs: number
  /** All rounds and what the stop will add, bytes. */
  readonly maxBytes: number
}

/**
 * Whether the program is to be stopped now, or another round is to be copied while it runs. Another round pays when it will
 * leave clearly less for the stop; pre-copy ends otherwise at once, however much is left (Clark et al., "Live migration of
 * virtual machines", NSDI 2005: the writable working set does not shrink by being copied again).
 *
 * @param rounds those that are over, the oldest first
 * @param elapsedMs since the copy began
 */
export function isTimeToStop(rounds: readonly Round[], elapsedMs: number, rule: StopRule): boolean {
  const last = rounds.at(-1)
  const before = rounds.at(-2)
  // Without a round nothing has been copied, and all of it would have to be in the stop.
  if (last === undefined) return false
  if (last.dirtyBytes <= rule.smallBytes) return true
  if (rounds.length >= rule.maxRounds || elapsedMs >= rule.budgetMs) return true
  // What a round copies is compressed, what it leaves is not: the two cannot be compared.
  if (before !== undefined && last.dirtyBytes > before.dirtyBytes * rule.progress) return true
  const moved = rounds.reduce((sum, { bytes }) => sum + bytes, 0)
  // Room for one round more, and for a stop that finds as much again.
  return moved + 2 * last.dirtyBytes > rule.maxBytes
}
