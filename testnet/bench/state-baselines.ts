// The same questions to what others have published.
import { agreed, type Baseline, reached } from '../baselines/types.ts'
import { LOSS } from './state-figures.ts'
import { median } from './statistics.ts'
import type { Figures } from './types.ts'

const CHANGES = 5

export interface BaselineInit {
  readonly make: () => Baseline
  /** How long its cost is looked at; a large mesh of a costly protocol takes long enough in seconds. */
  readonly restMs: number
  readonly withDeaths: boolean
}

/** `bytesPerS`, `reach99S`, `reach99LossS` and, where it finds the dead, `deadS`; what takes longer than a minute is left out. */
export function baselineFigures({ make, restMs, withDeaths }: BaselineInit): Figures {
  const baseline = make()
  const { world } = baseline
  world.run(world.now + Math.min(restMs, 5_000))
  world.resetCounters()
  world.run(world.now + restMs)
  const figures: Record<string, number> = { bytesPerS: (median([...world.bytesSent]) * 1_000) / restMs }
  if (restMs < 5_000) return figures
  figures.reach99S = changes(baseline) / 1_000
  if (withDeaths) {
    world.crash(11, 'silent')
    const startMs = world.now
    if (world.runUntil(startMs + 60_000, () => agreed(baseline, 11, 'dead') === 1, 50))
      figures.deadS = (world.now - startMs) / 1_000
  }
  world.setLoss(LOSS)
  world.run(world.now + 5_000)
  figures.reach99LossS = changes(baseline) / 1_000
  return Object.fromEntries(Object.entries(figures).filter(([, value]) => Number.isFinite(value)))
}

function changes(baseline: Baseline): number {
  const { world } = baseline
  const took = Array.from({ length: CHANGES }, (_, k) => {
    const origin = (37 * k + 5) % world.count
    const version = baseline.change(origin)
    const startMs = world.now
    const isDone = world.runUntil(startMs + 30_000, () => reached(baseline, origin, version) >= 0.99, 10)
    const ms = isDone ? world.now - startMs : Number.POSITIVE_INFINITY
    world.run(world.now + 1_000)
    return ms
  })
  return median(took)
}
