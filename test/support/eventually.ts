// Waiting for something to become true, with a deadline: tests never sleep a fixed time.
import { vi } from 'vitest'

/** Resolves with the first value of `probe` that is neither undefined nor false; fails with the last error after `timeoutMs`. */
export function eventually<T>(probe: () => T | Promise<T>, timeoutMs = 10_000): Promise<NonNullable<T>> {
  return vi.waitFor(
    async () => {
      const value = await probe()
      if (value === undefined || value === null || value === false) throw new Error('not yet')
      return value as NonNullable<T>
    },
    { timeout: timeoutMs, interval: 50 },
  )
}
