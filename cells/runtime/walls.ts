// What stands between a cell and everything else on this machine, as far as it is in force here.

import { HOST_HEAP_MB } from './limits.ts'

export interface Wall {
  readonly wall: string
  readonly active: boolean
  /** What it holds, or why it does not stand. */
  readonly detail: string
}

/** The walls of every host process that this Node starts; see `hostFlags` for how they are built. */
export function wallsOf(): Wall[] {
  const permission = process.allowedNodeEnvironmentFlags.has('--permission')
  return [
    {
      wall: 'process per owner',
      active: true,
      detail: 'cells of different owners never share a process; on wasix every cell has its own',
    },
    { wall: 'no key, no environment', active: true, detail: 'host processes hold no identity and no variables' },
    {
      wall: 'permission model',
      active: permission,
      detail: permission
        ? 'no files but the code and a folder of its own, no child processes; the network stays open'
        : 'this Node has none',
    },
    { wall: 'memory cap', active: true, detail: `heap of ${HOST_HEAP_MB} MiB, linear memory and tables by module` },
    {
      wall: 'kernel sandbox',
      active: false,
      detail: 'no uid, namespaces or seccomp of its own: a hole in V8 is a hole in this user account',
    },
  ]
}
