// Measures the machine at intervals, and tells listeners when it changed enough to matter.
import { statfs } from 'node:fs/promises'
import { availableParallelism, cpus, freemem, loadavg, totalmem } from 'node:os'
import type { Logger } from '@libp2p/interface'
import type { Clock } from '../../core/clock.ts'
import { messageOf } from '../../core/errors.ts'
import { type Startable, Tasks } from '../../core/lifecycle.ts'
import type { CgroupPaths } from './cgroup.ts'
import { type CgroupReading, findCgroups, readCgroups, readText } from './cgroup-reader.ts'
import { type CpuTimes, freeCpuShare, sumCpuTimes } from './cpu.ts'
import { parseMemAvailable } from './procfs.ts'
import { hasChanged } from './threshold.ts'
import type { ResourceSample, SampleListener } from './types.ts'

export interface ResourceMonitorInit {
  /** The disk that counts is the one this folder is on. */
  readonly home: string
  readonly clock: Clock
  readonly log: Logger
  /** @default 2000: a few reads of small files; shorter makes CPU shares jump */
  readonly intervalMs?: number
}

const DEFAULT_INTERVAL_MS = 2_000

interface CpuLook {
  readonly times: CpuTimes
  readonly groupUsedMs: number | undefined
  readonly atMs: number
}

export class ResourceMonitor implements Startable {
  readonly #init: ResourceMonitorInit
  readonly #listeners = new Set<SampleListener>()
  #tasks: Tasks | undefined
  #cgroups: Promise<CgroupPaths> | undefined
  #look: CpuLook | undefined
  #share = 1
  #told: ResourceSample | undefined

  constructor(init: ResourceMonitorInit) {
    this.#init = init
  }

  async start(): Promise<void> {
    if (this.#tasks !== undefined) return
    const { clock, log } = this.#init
    this.#tasks = new Tasks({ onError: (error) => log.error('cannot measure this machine: %s', messageOf(error)) })
    await this.#measure()
    this.#tasks.every(
      'resources',
      clock,
      () => this.#init.intervalMs ?? DEFAULT_INTERVAL_MS,
      () => this.#measure(),
    )
  }

  async stop(): Promise<void> {
    await this.#tasks?.stop()
    this.#tasks = undefined
    this.#look = undefined
    this.#told = undefined
  }

  /** The machine now. The CPU share is over the time since the last interval began, the first one since boot. */
  async sample(): Promise<ResourceSample> {
    const { clock, home } = this.#init
    this.#cgroups ??= findCgroups()
    const [group, disk, meminfo] = await Promise.all([
      this.#cgroups.then(readCgroups),
      statfs(home),
      readText('/proc/meminfo'),
    ])
    const machineBytes = totalmem()
    const availableBytes = parseMemAvailable(meminfo ?? '') ?? freemem()
    const cpuCores = Math.min(availableParallelism(), group.cpuCores ?? Number.POSITIVE_INFINITY)
    return {
      cpuCores,
      cpuFree: this.#cpuFree(cpuCores, group),
      load1: loadavg()[0] ?? 0,
      memoryBytes: Math.min(machineBytes, group.memory?.limitBytes ?? machineBytes),
      memoryFreeBytes: Math.min(availableBytes, group.memory?.freeBytes ?? availableBytes),
      diskBytes: disk.blocks * disk.bsize,
      // What this user may take: the blocks kept for root are not free.
      diskFreeBytes: disk.bavail * disk.bsize,
      rssBytes: process.memoryUsage.rss(),
      measuredAt: clock.now(),
    }
  }

  /** Told of the first measurement after `start()`, and of each that differs by a tenth or more from the last one told. */
  onChange(listener: SampleListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async #measure(): Promise<void> {
    const sample = await this.sample()
    if (this.#told !== undefined && !hasChanged(this.#told, sample)) return
    this.#told = sample
    for (const listener of this.#listeners) {
      try {
        listener(sample)
      } catch (error) {
        this.#init.log.error('a listener of the resource monitor threw: %s', messageOf(error))
      }
    }
  }

  #cpuFree(cpuCores: number, group: CgroupReading): number {
    const atMs = this.#init.clock.mono()
    const machine = cpus()
    const look = { times: sumCpuTimes(machine), groupUsedMs: group.cpuUsedMs, atMs }
    const before = this.#look
    // Callers of `sample` must not cut the interval short: a share over a few milliseconds is noise.
    if (before !== undefined && atMs - before.atMs < (this.#init.intervalMs ?? DEFAULT_INTERVAL_MS) / 2)
      return this.#share
    const limited = group.cpuCores !== undefined && look.groupUsedMs !== undefined && before?.groupUsedMs !== undefined
    this.#share = freeCpuShare({
      machineCores: machine.length,
      cpuCores,
      before: before?.times ?? { idleMs: 0, totalMs: 0 },
      after: look.times,
      ...(limited
        ? {
            group: {
              usedMs: (look.groupUsedMs ?? 0) - (before?.groupUsedMs ?? 0),
              elapsedMs: atMs - (before?.atMs ?? 0),
            },
          }
        : {}),
    })
    this.#look = look
    return this.#share
  }
}
