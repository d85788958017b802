// Whether a measurement differs enough from the last one told to be told again. Pure.
import type { ResourceSample } from './types.ts'

/** A tenth of a core share, of the memory, of the disk: the step that placement cares about. */
export const CHANGE_STEP = 0.1

export function hasChanged(before: ResourceSample, after: ResourceSample, step = CHANGE_STEP): boolean {
  return (
    before.cpuCores !== after.cpuCores ||
    Math.abs(before.cpuFree - after.cpuFree) >= step ||
    moved(before.memoryFreeBytes, after.memoryFreeBytes, after.memoryBytes, step) ||
    moved(before.diskFreeBytes, after.diskFreeBytes, after.diskBytes, step) ||
    moved(before.memoryBytes, after.memoryBytes, after.memoryBytes, step) ||
    moved(before.diskBytes, after.diskBytes, after.diskBytes, step)
  )
}

function moved(before: number, after: number, whole: number, step: number): boolean {
  return whole > 0 && Math.abs(before - after) >= step * whole
}
