// Which of two records of one peer holds. Commutative, associative, idempotent.

/** What orders the records of one peer. */
export interface Stamp {
  readonly incarnation: number
  readonly version: number
}

/** Something that its peer signed under a stamp. `hash` breaks ties between records of one version. */
export interface Stamped extends Stamp {
  readonly peer: string
  readonly hash: string
}

/** Negative when `a` is older than `b`, 0 when neither is. */
export function compareStamps(a: Stamp, b: Stamp): number {
  return a.incarnation - b.incarnation || a.version - b.version
}

/** The one that holds: the higher (incarnation, version), of equals the higher hash. */
export function mergeRecords<T extends Stamped>(a: T, b: T): T {
  const order = compareStamps(a, b)
  if (order !== 0) return order > 0 ? a : b
  return a.hash >= b.hash ? a : b
}
