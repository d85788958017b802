// A deadline on the given clock, so that it passes in virtual time as in real time.
import type { Clock } from '../../core/clock.ts'
import { abortable } from '../../core/lifecycle.ts'

/** Runs `work` with a signal that aborts with `signal`, or after `timeoutMs` with a `TimeoutError`; rejects with its reason. */
export async function within<T>(
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeout = new AbortController()
  const timer = clock.after(timeoutMs, () =>
    timeout.abort(new DOMException(`no answer within ${timeoutMs} ms`, 'TimeoutError')),
  )
  try {
    const both = AbortSignal.any([signal, timeout.signal])
    return await abortable(work(both), both)
  } finally {
    timer.cancel()
  }
}
