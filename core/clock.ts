// Time as an argument. The only file, with random.ts, that may touch the real clock and bare timers.

export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Wall clock, milliseconds since the Unix epoch. May jump. */
  now(): number
  /** Monotonic milliseconds from an arbitrary origin. Never runs backwards. */
  mono(): number
  /** Calls `fn` once after `delayMs`, unless cancelled. */
  after(delayMs: number, fn: () => void): Timer
}

export const systemClock: Clock = {
  now: () => Date.now(),
  mono: () => performance.now(),
  after(delayMs, fn) {
    const handle = setTimeout(fn, delayMs)
    return { cancel: () => clearTimeout(handle) }
  },
}

/** Monotonic milliseconds on one clock for all processes and threads of this host: for spans that cross them. */
export function hostMono(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** Resolves after `delayMs`; rejects with the signal's reason when it aborts first. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason)
      return
    }
    const onAbort = (): void => {
      timer.cancel()
      reject(signal?.reason)
    }
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
