// Texts of Linux's /proc, parsed (proc(5)). Pure; a text that is not what it should be gives undefined or nothing.

/** `MemAvailable` of /proc/meminfo, bytes: what can be had without swapping. Absent before Linux 3.14. */
export function parseMemAvailable(meminfo: string): number | undefined {
  const match = /^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)
  return match === null ? undefined : Number(match[1]) * 1024
}

/** One line of /proc/self/cgroup: `hierarchy:controllers:path`. Version 2 has no controllers in it. */
export interface CgroupMembership {
  readonly controllers: readonly string[]
  readonly path: string
}

export function parseSelfCgroup(text: string): CgroupMembership[] {
  const out: CgroupMembership[] = []
  for (const line of text.split('\n')) {
    const match = /^\d+:([^:]*):(\/.*)$/.exec(line)
    if (match === null) continue
    const [, controllers = '', path = '/'] = match
    out.push({ controllers: controllers === '' ? [] : controllers.split(','), path })
  }
  return out
}

/** A mounted cgroup hierarchy of /proc/self/mountinfo. */
export interface CgroupMount {
  readonly version: 1 | 2
  /** The directory of the hierarchy that is seen at `mountPoint`. */
  readonly root: string
  readonly mountPoint: string
  /** Super options: for version 1 the controllers are among them. */
  readonly options: readonly string[]
}

export function parseCgroupMounts(mountinfo: string): CgroupMount[] {
  const out: CgroupMount[] = []
  for (const line of mountinfo.split('\n')) {
    // id parent major:minor root mount-point options optional-fields… - type source super-options
    const [before = '', after = ''] = line.split(' - ')
    const [, , , root, mountPoint] = before.split(' ')
    const [type, , options = ''] = after.split(' ')
    if (root === undefined || mountPoint === undefined || (type !== 'cgroup' && type !== 'cgroup2')) continue
    out.push({
      version: type === 'cgroup2' ? 2 : 1,
      root: unescaped(root),
      mountPoint: unescaped(mountPoint),
      options: options.split(','),
    })
  }
  return out
}

/** Mountinfo writes space, tab, newline and backslash as three octal digits. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}
