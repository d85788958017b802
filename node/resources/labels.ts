// Labels that every peer fills in for itself; what the operator says goes over them.
import { arch, platform } from 'node:os'

/** `os`, `arch`, `node` (the version without its `v`), with `given` over them. */
export function machineLabels(given: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { os: platform(), arch: arch(), node: process.versions.node, ...given }
}
