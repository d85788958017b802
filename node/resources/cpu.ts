// CPU time between two looks, and what is idle of what this process may use. Pure.

/** CPU time of all cores since boot, milliseconds. */
export interface CpuTimes {
  readonly idleMs: number
  readonly totalMs: number
}

/** Sums `os.cpus()`. */
export function sumCpuTimes(
  cpus: readonly { readonly times: Readonly<Record<'user' | 'nice' | 'sys' | 'idle' | 'irq', number>> }[],
): CpuTimes {
  let idleMs = 0
  let totalMs = 0
  for (const { times } of cpus) {
    idleMs += times.idle
    totalMs += times.user + times.nice + times.sys + times.idle + times.irq
  }
  return { idleMs, totalMs }
}

export interface CpuInterval {
  /** Cores of the machine. */
  readonly machineCores: number
  /** Cores this process may use. */
  readonly cpuCores: number
  readonly before: CpuTimes
  readonly after: CpuTimes
  /** CPU time that the limited group used in the interval, and the interval's length: with a quota only. */
  readonly group?: { readonly usedMs: number; readonly elapsedMs: number }
}

/** Idle share of the usable cores, 0..1: bounded by what the machine has idle, and by what the quota leaves. */
export function freeCpuShare(interval: CpuInterval): number {
  const { before, after, group, machineCores, cpuCores } = interval
  const totalMs = after.totalMs - before.totalMs
  // Too short for the kernel's tick (10 ms): nothing can be said, so nothing is claimed to be busy.
  const idleCores = totalMs <= 0 ? machineCores : (machineCores * (after.idleMs - before.idleMs)) / totalMs
  const leftCores = group === undefined || group.elapsedMs <= 0 ? cpuCores : cpuCores - group.usedMs / group.elapsedMs
  return Math.min(1, Math.max(0, Math.min(idleCores, leftCores) / cpuCores))
}
