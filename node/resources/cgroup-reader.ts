// Reads the files that cgroup.ts parses. Files that are missing or unreadable mean "no limit": most machines have none.
import { readFile } from 'node:fs/promises'
import { posix } from 'node:path'
import {
  type CgroupPaths,
  cgroupPaths,
  parseByteLimit,
  parseCfsQuota,
  parseCount,
  parseCpuMax,
  parseStat,
} from './cgroup.ts'

/** What the cgroups of this process allow and have used; undefined where nothing limits or tells. */
export interface CgroupReading {
  readonly cpuCores?: number
  /** CPU time used by the whole group so far, milliseconds. */
  readonly cpuUsedMs?: number
  readonly memory?: { readonly limitBytes: number; readonly freeBytes: number }
}

export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    return undefined
  }
}

/** Where to look: does not change while the process runs. */
export async function findCgroups(proc = '/proc'): Promise<CgroupPaths> {
  const [self = '', mounts = ''] = await Promise.all([
    readText(posix.join(proc, 'self/cgroup')),
    readText(posix.join(proc, 'self/mountinfo')),
  ])
  return cgroupPaths(self, mounts)
}

export async function readCgroups(paths: CgroupPaths): Promise<CgroupReading> {
  const [cores, cpuUsedMs, memories] = await Promise.all([
    Promise.all(paths.cpu.directories.map((directory) => readQuota(directory, paths.cpu.version))),
    readCpuUsed(paths.cpuUsage.directories[0], paths.cpuUsage.version),
    Promise.all(paths.memory.directories.map((directory) => readMemory(directory, paths.memory.version))),
  ])
  const quotas = cores.filter((quota) => quota !== undefined)
  const limits = memories.filter((memory) => memory !== undefined)
  return {
    ...(quotas.length === 0 ? {} : { cpuCores: Math.min(...quotas) }),
    ...(cpuUsedMs === undefined ? {} : { cpuUsedMs }),
    ...(limits.length === 0
      ? {}
      : {
          memory: {
            limitBytes: Math.min(...limits.map(({ limitBytes }) => limitBytes)),
            freeBytes: Math.min(...limits.map(({ freeBytes }) => freeBytes)),
          },
        }),
  }
}

async function readQuota(directory: string, version: 1 | 2): Promise<number | undefined> {
  if (version === 2) return parseCpuMax((await readText(posix.join(directory, 'cpu.max'))) ?? '')
  const quota = (await readText(posix.join(directory, 'cpu.cfs_quota_us'))) ?? ''
  const period = (await readText(posix.join(directory, 'cpu.cfs_period_us'))) ?? ''
  return parseCfsQuota(quota, period)
}

async function readCpuUsed(directory: string | undefined, version: 1 | 2): Promise<number | undefined> {
  if (directory === undefined) return undefined
  if (version === 2) {
    const usec = parseStat((await readText(posix.join(directory, 'cpu.stat'))) ?? '', 'usage_usec')
    return usec === undefined ? undefined : usec / 1_000
  }
  const nsec = parseCount((await readText(posix.join(directory, 'cpuacct.usage'))) ?? '')
  return nsec === undefined ? undefined : nsec / 1_000_000
}

/** Pages of files not in use can be dropped when memory is short, so they count as free. */
async function readMemory(
  directory: string,
  version: 1 | 2,
): Promise<{ limitBytes: number; freeBytes: number } | undefined> {
  const [limitFile, usageFile, cacheKey] =
    version === 2
      ? ['memory.max', 'memory.current', 'inactive_file']
      : ['memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file']
  const limitBytes = parseByteLimit((await readText(posix.join(directory, limitFile))) ?? '')
  if (limitBytes === undefined) return undefined
  const usage = parseCount((await readText(posix.join(directory, usageFile))) ?? '') ?? 0
  const cache = parseStat((await readText(posix.join(directory, 'memory.stat'))) ?? '', cacheKey) ?? 0
  return { limitBytes, freeBytes: Math.max(0, limitBytes - Math.max(0, usage - cache)) }
}
