// What the calls of one cell share, and the few steps that most of them begin with.
import { SYMLINK_FOLLOW } from './abi.ts'
import type { CellClock } from './cell-clock.ts'
import type { Descriptor, Descriptors, DirectoryDescriptor, FileDescriptor } from './descriptors.ts'
import { Errno } from './errno.ts'
import type { GuestRandom } from './guest-random.ts'
import type { MemoryView } from './memory-view.ts'
import type { Output } from './output.ts'
import { type Ending, resolve, type Target } from './resolve.ts'
import type { Stdin } from './stdin.ts'
import type { Tree } from './tree.ts'
import type { WasiHost } from './types.ts'

export interface Context {
  readonly memory: MemoryView
  readonly tree: Tree
  readonly descriptors: Descriptors
  readonly stdin: Stdin
  readonly output: Output
  readonly clock: CellClock
  readonly random: GuestRandom
  readonly host: WasiHost
  /** Each with its final NUL. */
  readonly args: readonly Uint8Array[]
  /** `name=value`, each with its final NUL. */
  readonly env: readonly Uint8Array[]
  /** Monotonic time at which the blocking call began that a stop request interrupted. */
  blockedSinceUs: number | undefined
}

/** The open descriptor `fd`, which must have `right`. */
export function descriptorAt(context: Context, fd: number, right: number): Descriptor | Errno {
  const descriptor = context.descriptors.get(fd)
  if (descriptor === undefined) return Errno.BADF
  return (descriptor.rights & right) === 0 ? Errno.NOTCAPABLE : descriptor
}

/** The open file `fd`, which must have one of `rights`; what is no file is refused as POSIX refuses it. */
export function fileAt(
  context: Context,
  fd: number,
  rights: number,
  ofDirectory: Errno,
  ofStream: Errno,
): FileDescriptor | Errno {
  const descriptor = context.descriptors.get(fd)
  if (descriptor === undefined) return Errno.BADF
  if (descriptor.kind === 'directory') return ofDirectory
  if (descriptor.kind !== 'file') return ofStream
  return (descriptor.rights & rights) === 0 ? Errno.NOTCAPABLE : descriptor
}

/** The open directory `fd`, which must have all of `rights`. */
export function directoryAt(context: Context, fd: number, rights: number): DirectoryDescriptor | Errno {
  const descriptor = context.descriptors.get(fd)
  if (descriptor === undefined) return Errno.BADF
  if (descriptor.kind !== 'directory') return Errno.NOTDIR
  return (descriptor.rights & rights) === rights ? descriptor : Errno.NOTCAPABLE
}

/** Where the guest's path at `pointer` leads, seen from the directory `fd`, which must have `right`. */
export function targetAt(
  context: Context,
  fd: number,
  right: number,
  pointer: number,
  length: number,
  ending: Ending,
): Target | Errno {
  const directory = directoryAt(context, fd, right)
  if (typeof directory === 'number') return directory
  const path = context.memory.path(pointer >>> 0, length >>> 0)
  if (typeof path === 'number') return path
  return resolve(context.tree.root, directory.node, path, ending)
}

/** What `lookupflags` say of a link at the end of a path; undefined when they say something unknown. */
export function endingOf(lookup: number): Ending | undefined {
  if ((lookup & ~SYMLINK_FOLLOW) !== 0) return undefined
  return lookup === SYMLINK_FOLLOW ? 'follow' : 'link'
}
