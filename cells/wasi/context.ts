// What the calls of one cell share, and the few steps that most of them begin with.
import type { Random } from '../../core/random.ts'
import type { CellClock } from './cell-clock.ts'
import type { Descriptors, DirectoryDescriptor, FileDescriptor } from './descriptors.ts'
import { Errno } from './errno.ts'
import type { MemoryView } from './memory-view.ts'
import { resolve, type Target } from './resolve.ts'
import type { Output, Stdin } from './streams.ts'
import type { Tree } from './tree.ts'
import type { WasiHost } from './types.ts'

export interface Context {
  readonly memory: MemoryView
  readonly tree: Tree
  readonly descriptors: Descriptors
  readonly stdin: Stdin
  readonly output: Output
  readonly clock: CellClock
  readonly random: Random
  readonly host: WasiHost
  /** Each with its final NUL. */
  readonly args: readonly Uint8Array[]
  /** `name=value`, each with its final NUL. */
  readonly env: readonly Uint8Array[]
  /** Monotonic time at which the blocking call began that a stop request interrupted. */
  blockedSinceUs: number | undefined
}

export function fileAt(context: Context, fd: number): FileDescriptor | Errno {
  const descriptor = context.descriptors.get(fd)
  if (descriptor === undefined) return Errno.BADF
  if (descriptor.kind === 'file') return descriptor
  return descriptor.kind === 'directory' ? Errno.ISDIR : Errno.SPIPE
}

export function directoryAt(context: Context, fd: number): DirectoryDescriptor | Errno {
  const descriptor = context.descriptors.get(fd)
  if (descriptor === undefined) return Errno.BADF
  return descriptor.kind === 'directory' ? descriptor : Errno.NOTDIR
}

/** Where the guest's path at `pointer` leads, seen from the directory `fd`. */
export function targetAt(
  context: Context,
  fd: number,
  pointer: number,
  length: number,
  follow: boolean,
): Target | Errno {
  const directory = directoryAt(context, fd)
  if (typeof directory === 'number') return directory
  const path = context.memory.path(pointer >>> 0, length >>> 0)
  if (typeof path === 'number') return path
  return resolve(context.tree.root, directory.node, path, follow)
}
