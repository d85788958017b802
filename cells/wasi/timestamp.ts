// Times of nodes: exact to the nanosecond over the whole range of the interface, which no double is.

/** Since the Unix epoch. Each belongs to one node and is changed in place. */
export interface Timestamp {
  /** Whole seconds: at most 2^64 ns. */
  seconds: number
  /** [0, 10^9) */
  nanoseconds: number
}

export const MAX_SECONDS = 18_446_744_073
const NANOSECONDS = 1_000_000_000n

export function timestamp(us: number): Timestamp {
  const made = { seconds: 0, nanoseconds: 0 }
  setMicroseconds(made, us)
  return made
}

export function setMicroseconds(time: Timestamp, us: number): void {
  time.seconds = Math.floor(us / 1e6)
  time.nanoseconds = (us - time.seconds * 1e6) * 1000
}

/** @param ns u64 */
export function setNanoseconds(time: Timestamp, ns: bigint): void {
  const unsigned = BigInt.asUintN(64, ns)
  time.seconds = Number(unsigned / NANOSECONDS)
  time.nanoseconds = Number(unsigned % NANOSECONDS)
}

export function nanosecondsOf({ seconds, nanoseconds }: Timestamp): bigint {
  return BigInt(seconds) * NANOSECONDS + BigInt(nanoseconds)
}
