// The door of node/resources.
export { machineLabels } from './labels.ts'
export { ResourceMonitor, type ResourceMonitorInit } from './monitor.ts'
export type { ResourceSample, SampleListener } from './types.ts'
