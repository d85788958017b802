// What a peer measures of the machine it runs on.

/** One measurement. Limits of the cgroup that the process runs in are already applied to capacity and free. */
export interface ResourceSample {
  /** Cores this process may use; fractional under a CPU quota. */
  readonly cpuCores: number
  /** Idle share of `cpuCores` over the last interval, 0..1. */
  readonly cpuFree: number
  /** One-minute load average of the machine; 0 where the system has none. */
  readonly load1: number
  readonly memoryBytes: number
  readonly memoryFreeBytes: number
  /** Of the file system that holds the home folder. */
  readonly diskBytes: number
  readonly diskFreeBytes: number
  /** Resident memory of this process. */
  readonly rssBytes: number
  /** Wall clock, milliseconds. */
  readonly measuredAt: number
}

export type SampleListener = (sample: ResourceSample) => void
