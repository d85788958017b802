import { expect, it } from 'vitest'
import { seededRandom } from '../../../core/random.ts'
import { toCbor } from '../../../core/shape.ts'
import { memorySampleStore, PlacementModel } from '../../../fl/index.ts'
import type { Options } from '../../../node/config/options.ts'
import { type OwnRecordParts, ownFields } from '../../../node/own-record.ts'
import type { ResourceSample } from '../../../node/resources/index.ts'
import { SyntheticWorld } from '../../support/synthetic-runs.ts'

const sample = { cpuCores: 4, cpuFree: 0.5, memoryBytes: 1e9, memoryFreeBytes: 1e9, diskBytes: 1e9, load1: 0.1 }

/** What a peer says of itself that has seen some runs, each `factor` times as long as another peer's. */
async function said(factor: number): Promise<Uint8Array> {
  const model = new PlacementModel({ samples: memorySampleStore() })
  const runs = new SyntheticWorld(1, 1).anyRuns(20, seededRandom(1))
  for (const run of runs) await model.record({ ...run, ms: run.ms * factor })
  const options = { name: 'a', zone: 'z', preset: 'edge', slots: 2, 'cell-memory-mb': 64, 'fuel-share': 1 }
  const parts = {
    options: options as Options,
    labels: {},
    node: { getMultiaddrs: () => [] },
    hosting: { room: () => ({ memoryBytes: 1, diskBytes: 1, slots: 2 }), backlogMs: () => 0, active: () => [] },
    placement: { reserved: () => ({ memoryBytes: 0, diskBytes: 0, slots: 0 }) },
    facts: { hashes: [] },
    model,
    roles: ['host'],
  }
  return toCbor(ownFields(parts as unknown as OwnRecordParts, sample as ResourceSample, { integer: 50 }))
}

it('a peer says the same of itself, however long its private runs took', async () => {
  expect(await said(3)).toEqual(await said(1))
})
