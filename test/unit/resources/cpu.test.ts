import fc from 'fast-check'
import { expect, test } from 'vitest'
import { freeCpuShare, sumCpuTimes } from '../../../node/resources/cpu.ts'
import { machineLabels } from '../../../node/resources/index.ts'
import { hasChanged } from '../../../node/resources/threshold.ts'
import type { ResourceSample } from '../../../node/resources/types.ts'

const zero = { idleMs: 0, totalMs: 0 }

test('times of all cores are summed', () => {
  const times = { user: 1, nice: 2, sys: 3, idle: 4, irq: 5 }
  expect(sumCpuTimes([{ times }, { times }])).toEqual({ idleMs: 8, totalMs: 30 })
})

test.each([
  ['an idle machine', { machineCores: 4, cpuCores: 4, before: zero, after: { idleMs: 4_000, totalMs: 4_000 } }, 1],
  ['a quarter busy', { machineCores: 4, cpuCores: 4, before: zero, after: { idleMs: 3_000, totalMs: 4_000 } }, 0.75],
  [
    'one usable core of a machine with two idle ones',
    { machineCores: 4, cpuCores: 1, before: zero, after: { idleMs: 2_000, totalMs: 4_000 } },
    1,
  ],
  [
    'a quota of two cores, half used, on an idle machine',
    {
      machineCores: 8,
      cpuCores: 2,
      before: zero,
      after: { idleMs: 7_000, totalMs: 8_000 },
      group: { usedMs: 1_000, elapsedMs: 1_000 },
    },
    0.5,
  ],
  [
    'a quota with room on a machine without',
    {
      machineCores: 4,
      cpuCores: 2,
      before: zero,
      after: { idleMs: 500, totalMs: 4_000 },
      group: { usedMs: 0, elapsedMs: 1_000 },
    },
    0.25,
  ],
  ['no time passed', { machineCores: 4, cpuCores: 4, before: zero, after: zero }, 1],
])('%s', (_, interval, share) => {
  expect(freeCpuShare(interval)).toBeCloseTo(share, 9)
})

test('the share is one, whatever the counters say', () => {
  const times = fc.record({ idleMs: fc.nat(), totalMs: fc.nat() })
  const group = fc.record({ usedMs: fc.integer(), elapsedMs: fc.nat() })
  fc.assert(
    fc.property(times, times, group, (before, after, used) => {
      const share = freeCpuShare({ machineCores: 4, cpuCores: 1.5, before, after, group: used })
      expect(share).toBeGreaterThanOrEqual(0)
      expect(share).toBeLessThanOrEqual(1)
    }),
  )
})

const sample: ResourceSample = {
  cpuCores: 4,
  cpuFree: 0.5,
  load1: 1,
  memoryBytes: 1_000,
  memoryFreeBytes: 500,
  diskBytes: 1_000,
  diskFreeBytes: 500,
  rssBytes: 1,
  measuredAt: 0,
}

test.each([
  [{ cpuFree: 0.61 }, true],
  [{ cpuFree: 0.55 }, false],
  [{ cpuCores: 2 }, true],
  [{ memoryFreeBytes: 399 }, true],
  [{ memoryFreeBytes: 401 }, false],
  [{ diskFreeBytes: 600 }, true],
  [{ diskBytes: 2_000 }, true],
  [{ load1: 9, rssBytes: 2 ** 30, measuredAt: 5 }, false],
])('%j is worth telling: %s', (patch, worth) => {
  expect(hasChanged(sample, { ...sample, ...patch })).toBe(worth)
})

test('labels say what the machine is, and the operator has the last word', () => {
  expect(machineLabels({ site: 'roadside', arch: 'mine' })).toEqual({
    os: process.platform,
    arch: 'mine',
    node: process.versions.node,
    site: 'roadside',
  })
})
