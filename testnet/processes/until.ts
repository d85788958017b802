// Waiting for a state of the mesh, with a deadline and a word about what was last seen.
import { sleep, systemClock } from '../../core/clock.ts'
import { CodedError } from '../../core/errors.ts'

/** Polls `probe` until it gives a value; fails with `what` and the last thing `probe` threw after `timeoutMs`. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false>,
  timeoutMs = 30_000,
): Promise<T> {
  const end = systemClock.mono() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      const value = await probe()
      if (value !== undefined && value !== false) return value
    } catch (error) {
      last = error
    }
    if (systemClock.mono() > end) {
      throw new CodedError('NOT_REACHED', `after ${timeoutMs} ms still not: ${what}`, { cause: last })
    }
    await sleep(systemClock, 100)
  }
}
