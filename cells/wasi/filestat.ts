// The `filestat` record: writing it, and the rules for setting times.
import { ALL_TIME_FLAGS, FileType, Size, TimeFlag } from './abi.ts'
import type { Context } from './context.ts'
import { Errno } from './errno.ts'
import { big } from './memory-view.ts'
import { bytesOf, type Node } from './nodes.ts'
import { nanosecondsOf, setMicroseconds, setNanoseconds } from './timestamp.ts'

/** All files are on one device; streams are on none. */
const DEVICE = 1

export function fileTypeOf(node: Node): number {
  if (node.kind === 'directory') return FileType.DIRECTORY
  return node.kind === 'file' ? FileType.REGULAR_FILE : FileType.SYMBOLIC_LINK
}

/** `node` undefined: a stream. The record must be in bounds. */
export function writeFilestat({ memory }: Context, at: number, node: Node | undefined): void {
  memory.fill(at, Size.FILESTAT)
  if (node === undefined) {
    memory.setU8(at + 16, FileType.UNKNOWN)
    memory.setU64(at + 24, 1)
    return
  }
  memory.setU64(at, DEVICE)
  memory.setU64(at + 8, node.inode)
  memory.setU8(at + 16, fileTypeOf(node))
  memory.setU64(at + 24, node.kind === 'directory' ? 1 : node.links)
  memory.setU64(at + 32, bytesOf(node))
  memory.setBigU64(at + 40, nanosecondsOf(node.atime))
  memory.setBigU64(at + 48, nanosecondsOf(node.mtime))
  memory.setBigU64(at + 56, nanosecondsOf(node.ctime))
}

/** Sets the times that `flags` name; without any, nothing changes. */
export function setTimes(context: Context, node: Node, atime: bigint, mtime: bigint, flags: number): Errno {
  const { ATIM, ATIM_NOW, MTIM, MTIM_NOW } = TimeFlag
  if ((flags & ~ALL_TIME_FLAGS) !== 0) return Errno.INVAL
  const [atim, mtim] = [flags & (ATIM | ATIM_NOW), flags & (MTIM | MTIM_NOW)]
  if (atim === (ATIM | ATIM_NOW) || mtim === (MTIM | MTIM_NOW)) return Errno.INVAL
  const nowUs = context.clock.realtimeUs()
  if (atim === ATIM) setNanoseconds(node.atime, big(atime))
  else if (atim === ATIM_NOW) setMicroseconds(node.atime, nowUs)
  if (mtim === MTIM) setNanoseconds(node.mtime, big(mtime))
  else if (mtim === MTIM_NOW) setMicroseconds(node.mtime, nowUs)
  if (flags !== 0) setMicroseconds(node.ctime, nowUs)
  return Errno.SUCCESS
}
