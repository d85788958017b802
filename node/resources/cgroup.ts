// Control groups: which directories limit this process, and what their files say. Pure: texts in, numbers out.
// Kernel documentation: admin-guide/cgroup-v2.rst, scheduler/sched-bwc.rst, cgroup-v1/memory.rst.
import { posix } from 'node:path'
import { parseCgroupMounts, parseSelfCgroup } from './procfs.ts'

/** Directories whose limits all apply to this process, innermost first. Empty where the controller is not mounted. */
export interface CgroupPaths {
  readonly cpu: { readonly version: 1 | 2; readonly directories: readonly string[] }
  /** Accounts the CPU time used; on version 1 a hierarchy of its own. */
  readonly cpuUsage: { readonly version: 1 | 2; readonly directories: readonly string[] }
  readonly memory: { readonly version: 1 | 2; readonly directories: readonly string[] }
}

/** From /proc/self/cgroup and /proc/self/mountinfo. A controller bound to version 1 is taken from there (hybrid set-up). */
export function cgroupPaths(selfCgroup: string, mountinfo: string): CgroupPaths {
  const memberships = parseSelfCgroup(selfCgroup)
  const mounts = parseCgroupMounts(mountinfo)
  const find = (controller: string): { version: 1 | 2; directories: string[] } => {
    const legacy = memberships.find(({ controllers }) => controllers.includes(controller))
    const membership = legacy ?? memberships.find(({ controllers }) => controllers.length === 0)
    const version = legacy === undefined ? 2 : 1
    const mount = mounts.find(
      (candidate) => candidate.version === version && (version === 2 || candidate.options.includes(controller)),
    )
    if (membership === undefined || mount === undefined) return { version, directories: [] }
    return { version, directories: upwards(mount.mountPoint, within(mount.root, membership.path)) }
  }
  return { cpu: find('cpu'), cpuUsage: find('cpuacct'), memory: find('memory') }
}

/** The path relative to what is mounted; in a container without its own cgroup namespace the mount shows only our part. */
function within(root: string, path: string): string {
  const relative = posix.relative(root, path)
  return relative.startsWith('..') ? '' : relative
}

function upwards(mountPoint: string, relative: string): string[] {
  const out: string[] = []
  for (let at = relative; at !== '' && at !== '.'; at = posix.dirname(at)) out.push(posix.join(mountPoint, at))
  return [...out, mountPoint]
}

/** `cpu.max` (`QUOTA PERIOD` or `max PERIOD`): cores; undefined when there is no limit. */
export function parseCpuMax(text: string): number | undefined {
  const match = /^(\d+) (\d+)\s*$/.exec(text)
  return match === null ? undefined : quotient(Number(match[1]), Number(match[2]))
}

/** `cpu.cfs_quota_us` (-1: none) and `cpu.cfs_period_us`: cores. */
export function parseCfsQuota(quota: string, period: string): number | undefined {
  return quotient(Number.parseInt(quota, 10), Number.parseInt(period, 10))
}

function quotient(quota: number, period: number): number | undefined {
  return quota > 0 && period > 0 ? quota / period : undefined
}

/** `memory.max`, `memory.limit_in_bytes`: bytes; undefined for `max` and for version 1's "no limit", near 2^63. */
export function parseByteLimit(text: string): number | undefined {
  const bytes = parseCount(text)
  return bytes === undefined || bytes > 2 ** 60 ? undefined : bytes
}

/** A file with one non-negative number. */
export function parseCount(text: string): number | undefined {
  return /^\d+\s*$/.test(text) ? Number(text) : undefined
}

/** The value of `key` in a file of `key value` lines, as `memory.stat` and `cpu.stat` are. */
export function parseStat(text: string, key: string): number | undefined {
  for (const line of text.split('\n')) {
    const [name, value] = line.split(' ')
    if (name === key && value !== undefined) return parseCount(value)
  }
  return undefined
}
