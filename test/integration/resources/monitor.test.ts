import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { defaultLogger } from '@libp2p/logger'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../../core/clock.ts'
import { findCgroups, readCgroups } from '../../../node/resources/cgroup-reader.ts'
import { ResourceMonitor, type ResourceSample } from '../../../node/resources/index.ts'
import { eventually } from '../../support/eventually.ts'

const log = defaultLogger().forComponent('test:resources')
let home: string
let monitor: ResourceMonitor

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cloudskin-resources-'))
  monitor = new ResourceMonitor({ home, clock: systemClock, log, intervalMs: 100 })
})
afterEach(async () => {
  await monitor.stop()
  await rm(home, { recursive: true, force: true })
})

test('this machine, as it is', async () => {
  const sample = await monitor.sample()
  expect(sample.cpuCores).toBeGreaterThan(0)
  expect(sample.cpuCores).toBeLessThanOrEqual(navigator.hardwareConcurrency)
  expect(sample.memoryBytes).toBeGreaterThan(2 ** 26)
  expect(sample.memoryFreeBytes).toBeLessThan(sample.memoryBytes)
  expect(sample.memoryFreeBytes).toBeGreaterThan(0)
  expect(sample.diskBytes).toBeGreaterThan(sample.diskFreeBytes)
  expect(sample.rssBytes).toBeGreaterThan(2 ** 24)
  expect(sample.rssBytes).toBeLessThan(sample.memoryBytes)
})

test('listeners hear the first measurement, and a core that gets busy', async () => {
  const told: ResourceSample[] = []
  const unsubscribe = monitor.onChange((sample) => told.push(sample))
  monitor.onChange(() => {
    throw new Error('a broken listener harms nobody')
  })
  await monitor.start()
  expect(told).toHaveLength(1)
  const spinners = Array.from({ length: navigator.hardwareConcurrency }, () => new Worker('for (;;);', { eval: true }))
  try {
    await eventually(() => told.some(({ cpuFree }) => cpuFree < 0.3), 20_000)
  } finally {
    await Promise.all(spinners.map((worker) => worker.terminate()))
  }
  unsubscribe()
  await monitor.stop()
  await monitor.stop()
})

test('a cgroup tree: the tightest limit of all ancestors holds', async () => {
  const mount = join(home, 'cgroup')
  const leaf = join(mount, 'a/b')
  await mkdir(leaf, { recursive: true })
  await mkdir(join(home, 'proc/self'), { recursive: true })
  await writeFile(join(home, 'proc/self/cgroup'), '0::/a/b\n')
  await writeFile(join(home, 'proc/self/mountinfo'), `35 28 0:30 / ${mount} rw - cgroup2 cgroup2 rw\n`)
  await writeFile(join(mount, 'a/cpu.max'), '50000 100000\n')
  await writeFile(join(leaf, 'cpu.max'), 'max 100000\n')
  await writeFile(join(leaf, 'cpu.stat'), 'usage_usec 7000\nuser_usec 6000\n')
  await writeFile(join(mount, 'a/memory.max'), '1000000\n')
  await writeFile(join(mount, 'a/memory.current'), '900000\n')
  await writeFile(join(mount, 'a/memory.stat'), 'anon 1\ninactive_file 300000\n')
  await writeFile(join(leaf, 'memory.max'), '2000000\n')
  await writeFile(join(leaf, 'memory.current'), '100000\n')
  const reading = await readCgroups(await findCgroups(join(home, 'proc')))
  expect(reading).toEqual({ cpuCores: 0.5, cpuUsedMs: 7, memory: { limitBytes: 1_000_000, freeBytes: 400_000 } })
  const none = await readCgroups(await findCgroups(join(home, 'nowhere')))
  expect(none).toEqual({})
})
