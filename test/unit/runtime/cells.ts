// The peer's handle of a cell, with a host process that is told.
import type { CellHostProcess } from '../../../cells/runtime/host-process.ts'
import { RunningCell } from '../../../cells/runtime/running-cell.ts'
import type { Clock } from '../../../core/clock.ts'

export const USAGE = { busyMs: 1, wallMs: 1, fuel: 1, memoryBytes: 0, outputBytes: 0, diskBytes: 0 }

/** A cell, number 1 of `host`, that listens to it; its limits do not matter but for that of wall time. */
export function cellOf(host: CellHostProcess, clock: Clock, wallMs = 1_000): RunningCell {
  const cell = new RunningCell({
    id: 'c',
    cell: 1,
    host,
    clock,
    limits: { memoryBytes: 1, wallMs, fuel: 1, outputBytes: 1, diskBytes: 1 },
    events: { onOutput: () => undefined },
    moduleHash: '',
    arrives: false,
    track: async () => undefined,
    migratable: true,
    alone: false,
    take: () => '',
    onStuck: async () => undefined,
    onEnded: () => undefined,
  })
  cell.attach()
  return cell
}
