import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  cgroupPaths,
  parseByteLimit,
  parseCfsQuota,
  parseCount,
  parseCpuMax,
  parseStat,
} from '../../../node/resources/cgroup.ts'
import { parseCgroupMounts, parseMemAvailable, parseSelfCgroup } from '../../../node/resources/procfs.ts'

const MEMINFO = `MemTotal:       24684084 kB
MemFree:        23624764 kB
MemAvailable:   24258928 kB
Buffers:           17728 kB
`

test('MemAvailable, and its absence', () => {
  expect(parseMemAvailable(MEMINFO)).toBe(24_258_928 * 1024)
  expect(parseMemAvailable('MemTotal: 1 kB\nMemFree: 1 kB\n')).toBeUndefined()
})

/** A systemd host with version 2 only; the process runs in a service. */
const V2_SELF = '0::/system.slice/cloudskin.service\n'
const V2_MOUNTS = `24 30 0:22 / /proc rw,nosuid shared:12 - proc proc rw
35 28 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
`

/** A Docker container on a version 1 host, without a cgroup namespace: only its own part is mounted. */
const V1_SELF = `12:memory:/docker/4f9a
11:cpu,cpuacct:/docker/4f9a
1:name=systemd:/docker/4f9a
0::/system.slice/containerd.service
`
const V1_MOUNTS = `700 699 0:25 /docker/4f9a /sys/fs/cgroup/systemd ro,nosuid - cgroup cgroup rw,xattr,name=systemd
701 699 0:33 /docker/4f9a /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct
702 699 0:36 /docker/4f9a /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory
`

/** Both: controllers on version 1, each in its own hierarchy, and an empty version 2. */
const HYBRID_SELF = `4:memory:/process_api/95716d62
2:cpuacct:/
1:cpu:/
0::/
`
const HYBRID_MOUNTS = `32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`

test('version 2: every ancestor may limit, innermost first', () => {
  const both = {
    version: 2,
    directories: ['/sys/fs/cgroup/system.slice/cloudskin.service', '/sys/fs/cgroup/system.slice', '/sys/fs/cgroup'],
  }
  expect(cgroupPaths(V2_SELF, V2_MOUNTS)).toEqual({ cpu: both, cpuUsage: both, memory: both })
})

test('version 1: the mount shows only our own part', () => {
  const cpu = { version: 1, directories: ['/sys/fs/cgroup/cpu,cpuacct'] }
  expect(cgroupPaths(V1_SELF, V1_MOUNTS)).toEqual({
    cpu,
    cpuUsage: cpu,
    memory: { version: 1, directories: ['/sys/fs/cgroup/memory'] },
  })
})

test('hybrid: a controller of version 1 is taken from there', () => {
  expect(cgroupPaths(HYBRID_SELF, HYBRID_MOUNTS)).toEqual({
    cpu: { version: 1, directories: ['/sys/fs/cgroup/cpu'] },
    cpuUsage: { version: 1, directories: ['/sys/fs/cgroup/cpuacct'] },
    memory: {
      version: 1,
      directories: [
        '/sys/fs/cgroup/memory/process_api/95716d62',
        '/sys/fs/cgroup/memory/process_api',
        '/sys/fs/cgroup/memory',
      ],
    },
  })
})

test('no cgroups, or none mounted: nothing limits', () => {
  const none = { version: 2, directories: [] }
  expect(cgroupPaths('', '')).toEqual({ cpu: none, cpuUsage: none, memory: none })
  expect(cgroupPaths(V2_SELF, '').memory.directories).toEqual([])
})

test('paths with colons and escaped blanks', () => {
  expect(parseSelfCgroup('3:cpu:/a:b\n')).toEqual([{ controllers: ['cpu'], path: '/a:b' }])
  expect(parseCgroupMounts('1 2 0:3 / /mnt/my\\040cgroup rw - cgroup2 none rw')).toEqual([
    { version: 2, root: '/', mountPoint: '/mnt/my cgroup', options: ['rw'] },
  ])
})

test.each([
  ['200000 100000\n', 2],
  ['50000 100000\n', 0.5],
  ['max 100000\n', undefined],
  ['', undefined],
  ['0 100000', undefined],
])('cpu.max %j', (text, cores) => {
  expect(parseCpuMax(text)).toBe(cores)
})

test.each([
  ['-1\n', '100000\n', undefined],
  ['150000\n', '100000\n', 1.5],
  ['', '', undefined],
])('cfs quota %j of %j', (quota, period, cores) => {
  expect(parseCfsQuota(quota, period)).toBe(cores)
})

test.each([
  ['max\n', undefined],
  ['9223372036854771712\n', undefined],
  ['536870912\n', 2 ** 29],
  ['', undefined],
])('memory limit %j', (text, bytes) => {
  expect(parseByteLimit(text)).toBe(bytes)
})

test('counts and stat files', () => {
  expect(parseCount('42\n')).toBe(42)
  expect(parseCount('-1')).toBeUndefined()
  expect(parseStat('anon 5\ninactive_file 4096\nactive_file 9\n', 'inactive_file')).toBe(4096)
  expect(parseStat('usage_usec 123\n', 'inactive_file')).toBeUndefined()
})

test('no text whatsoever makes a parser throw', () => {
  const line = fc.stringMatching(/^[0-9a-z: /,\-\\=]{0,60}$/)
  const texts = fc.array(fc.oneof(line, fc.string()), { maxLength: 5 }).map((lines) => lines.join('\n'))
  fc.assert(
    fc.property(texts, texts, (a, b) => {
      for (const { directories } of Object.values(cgroupPaths(a, b)))
        for (const directory of directories) expect(typeof directory).toBe('string')
      for (const parse of [parseMemAvailable, parseCpuMax, parseByteLimit, parseCount]) {
        const value = parse(a)
        if (value !== undefined) expect(value).toBeGreaterThanOrEqual(0)
      }
    }),
  )
})
