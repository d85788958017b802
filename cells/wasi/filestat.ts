// The `filestat` record: writing it, and the rules for setting times.
import { FileType, Size, TimeFlag } from './abi.ts'
import type { Context } from './context.ts'
import { Errno } from './errno.ts'
import { u64 } from './memory-view.ts'
import { bytesOf, type Node } from './nodes.ts'

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
  memory.setNanoseconds(at + 40, node.atimeUs)
  memory.setNanoseconds(at + 48, node.mtimeUs)
  memory.setNanoseconds(at + 56, node.ctimeUs)
}

/** Sets the times that `flags` name; they are kept in whole microseconds. */
export function setTimes(context: Context, node: Node, atime: bigint, mtime: bigint, flags: number): Errno {
  const { ATIM, ATIM_NOW, MTIM, MTIM_NOW } = TimeFlag
  const [atim, mtim] = [flags & (ATIM | ATIM_NOW), flags & (MTIM | MTIM_NOW)]
  if (atim === (ATIM | ATIM_NOW) || mtim === (MTIM | MTIM_NOW)) return Errno.INVAL
  const nowUs = context.clock.realtimeUs()
  if (atim !== 0) node.atimeUs = atim === ATIM_NOW ? nowUs : toUs(atime)
  if (mtim !== 0) node.mtimeUs = mtim === MTIM_NOW ? nowUs : toUs(mtime)
  node.ctimeUs = nowUs
  return Errno.SUCCESS
}

function toUs(nanoseconds: bigint): number {
  return Math.min(Number.MAX_SAFE_INTEGER, Math.floor(u64(nanoseconds) / 1000))
}
