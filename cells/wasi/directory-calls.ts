// Listing directories. Cookies are positions that stay valid while entries come and go between two calls.
import { FileType, Right, Size } from './abi.ts'
import { type Context, directoryAt } from './context.ts'
import { Errno } from './errno.ts'
import { fileTypeOf } from './filestat.ts'
import { u64 } from './memory-view.ts'
import type { DirectoryNode } from './nodes.ts'

interface Listed {
  readonly name: string
  readonly inode: number
  readonly type: number
  readonly cookie: number
}

export function directoryCalls(context: Context) {
  const { memory } = context
  return {
    /** The last entry may be cut off: a caller that finds its buffer full asks again from the cookie it knows. */
    fd_readdir(fd: number, buffer: number, bufferLength: number, cookie: bigint, result: number): Errno {
      const directory = directoryAt(context, fd, Right.FD_READDIR)
      if (typeof directory === 'number') return directory
      const start = buffer >>> 0
      const end = start + (bufferLength >>> 0)
      if (!memory.has(start, end - start) || !memory.has(result >>> 0, 4)) return Errno.FAULT
      const header = new Uint8Array(Size.DIRENT)
      let at = start
      for (const entry of listingOf(directory.node, u64(cookie))) {
        const name = Buffer.from(entry.name)
        writeHeader(header, entry, name.length)
        for (const part of [header, name]) {
          const fits = Math.min(part.length, end - at)
          memory.put(at, part, 0, fits)
          at += fits
        }
        if (at === end) break
      }
      memory.setU32(result >>> 0, at - start)
      return Errno.SUCCESS
    },
  }
}

/** The entries after `cookie`. */
function* listingOf(directory: DirectoryNode, cookie: number): Generator<Listed> {
  const type = FileType.DIRECTORY
  if (cookie < 1) yield { name: '.', inode: directory.inode, type, cookie: 1 }
  if (cookie < 2) yield { name: '..', inode: (directory.parent ?? directory).inode, type, cookie: 2 }
  for (const [name, entry] of directory.entries) {
    if (entry.cookie > cookie) {
      yield { name, inode: entry.node.inode, type: fileTypeOf(entry.node), cookie: entry.cookie }
    }
  }
}

function writeHeader(header: Uint8Array, entry: Listed, nameBytes: number): void {
  const view = new DataView(header.buffer)
  view.setBigUint64(0, BigInt(entry.cookie), true)
  view.setBigUint64(8, BigInt(entry.inode), true)
  view.setUint32(16, nameBytes, true)
  view.setUint32(20, entry.type, true)
}
