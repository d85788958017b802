// What this peer says of itself: put together from the machine, the cells and the model, and published when it changes.
import type { Libp2p } from '@libp2p/interface'
import type { PlacementModel } from '../fl/index.ts'
import { farFirst } from '../protocols/admission/index.ts'
import type { Placement } from '../protocols/placement/index.ts'
import type { OwnFields } from '../protocols/state/index.ts'
import type { Hosting } from './cells/hosting.ts'
import type { ModuleFactsCache } from './cells/module-facts.ts'
import type { Options } from './config/options.ts'
import type { ResourceSample } from './resources/index.ts'
import { VERSION } from './version.ts'

export interface OwnRecordParts {
  readonly options: Options
  readonly labels: Readonly<Record<string, string>>
  readonly node: Libp2p
  readonly hosting: Hosting
  readonly placement: Placement
  readonly facts: ModuleFactsCache
  readonly model: PlacementModel
  readonly roles: readonly string[]
}

export function ownFields(
  parts: OwnRecordParts,
  sample: ResourceSample,
  calibration: Readonly<Record<string, number>>,
): OwnFields {
  const { options, hosting, placement, model } = parts
  const room = hosting.room()
  const promised = placement.reserved()
  return {
    name: options.name,
    zone: options.zone,
    preset: options.preset,
    labels: parts.labels,
    addresses: farFirst(parts.node.getMultiaddrs().map(String)),
    capacity: {
      cpuCores: sample.cpuCores,
      memoryBytes: Math.min(sample.memoryBytes, options['cell-memory-mb'] * 1024 * 1024 * Math.max(1, options.slots)),
      diskBytes: sample.diskBytes,
      slots: options.slots,
    },
    free: {
      cpu: sample.cpuFree,
      memoryBytes: Math.max(0, room.memoryBytes - promised.memoryBytes),
      diskBytes: Math.max(0, room.diskBytes - promised.diskBytes),
      slots: Math.max(0, room.slots - promised.slots),
    },
    load: { backlogMs: hosting.backlogMs(), running: hosting.active().length, load1: sample.load1 },
    calibration,
    fuelShare: options['fuel-share'],
    cells: hosting.active().map(({ record }) => ({ id: record.cell, phase: record.phase })),
    modules: parts.facts.hashes,
    // No loss: from one record to the next it would tell the time of the run that was held out in between.
    model: { version: model.version, round: model.round },
    roles: parts.roles,
    agentVersion: VERSION,
  }
}
