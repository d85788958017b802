// Reading, writing, position and size of open files and streams.
import { FdFlag, MAX_ADVICE, Right, Whence } from './abi.ts'
import { type Context, fileAt } from './context.ts'
import type { Descriptor, FileDescriptor } from './descriptors.ts'
import { Errno } from './errno.ts'
import { i64, u64 } from './memory-view.ts'
import { readStdin } from './read-stdin.ts'
import { gatherToFile, gatherToStream, MAX_IOVECS, scatter, storageErrno, type Transferred } from './transfer.ts'
import type { BLOCK_AGAIN } from './types.ts'

/** Positions and sizes are safe integers: 2^53 - 1 is more than any disk here. */
const MAX_POSITION = Number.MAX_SAFE_INTEGER

export function fileCalls(context: Context) {
  return { ...transferCalls(context), ...positionCalls(context), ...sizeCalls(context), ...syncCalls(context) }
}

function transferCalls(context: Context) {
  const { memory } = context
  /**
   * Checks what all four transfers have in common; the descriptor, or what is wrong. One that was not opened for reading
   * or writing is BADF, as in POSIX: of all rights, these two are the access mode.
   */
  const begin = (fd: number, right: number, vectors: number, count: number, result: number): Descriptor | Errno => {
    const descriptor = context.descriptors.get(fd)
    if (descriptor === undefined) return Errno.BADF
    if (descriptor.kind === 'directory') return Errno.ISDIR
    if ((descriptor.rights & right) === 0) return Errno.BADF
    if (count > MAX_IOVECS) return Errno.INVAL
    return memory.has(vectors, count * 8) && memory.has(result, 4) ? descriptor : Errno.FAULT
  }
  const end = (transferred: Transferred, result: number): Errno => {
    if (transferred < 0) return -transferred as Errno
    memory.setU32(result, transferred)
    context.host.moved?.(transferred)
    return Errno.SUCCESS
  }
  /** A file and a sane position for the calls that name one, which need the right to seek as well. */
  const beginAt = (fd: number, right: number, vectors: number, count: number, position: number, result: number) => {
    const descriptor = begin(fd, right, vectors, count, result)
    if (typeof descriptor === 'number') return descriptor
    if (descriptor.kind !== 'file') return Errno.SPIPE
    if ((descriptor.rights & Right.FD_SEEK) === 0) return Errno.NOTCAPABLE
    return position > MAX_POSITION ? Errno.INVAL : descriptor
  }

  return {
    fd_read(fd: number, iovs: number, count: number, nread: number): Errno | typeof BLOCK_AGAIN {
      const vectors = iovs >>> 0
      const counted = count >>> 0
      const result = nread >>> 0
      const descriptor = begin(fd, Right.FD_READ, vectors, counted, result)
      if (typeof descriptor === 'number') return descriptor
      if (descriptor.kind === 'stdin') return readStdin(context, descriptor, vectors, counted, result)
      if (descriptor.kind !== 'file') return Errno.BADF
      const { node } = descriptor
      const moved = scatter(context, node.content, descriptor.position, vectors, counted)
      if (moved > 0) descriptor.position += moved
      return end(moved, result)
    },

    fd_pread(fd: number, iovs: number, count: number, offset: bigint, nread: number): Errno {
      const [vectors, counted, result, position] = [iovs >>> 0, count >>> 0, nread >>> 0, u64(offset)]
      const file = beginAt(fd, Right.FD_READ, vectors, counted, position, result)
      if (typeof file === 'number') return file
      return end(scatter(context, file.node.content, position, vectors, counted), result)
    },

    fd_write(fd: number, iovs: number, count: number, nwritten: number): Errno {
      const vectors = iovs >>> 0
      const counted = count >>> 0
      const result = nwritten >>> 0
      const descriptor = begin(fd, Right.FD_WRITE, vectors, counted, result)
      if (typeof descriptor === 'number') return descriptor
      if (descriptor.kind === 'stdout' || descriptor.kind === 'stderr') {
        return end(gatherToStream(context, descriptor.kind, vectors, counted), result)
      }
      if (descriptor.kind !== 'file') return Errno.BADF
      const before = descriptor.node.content.size
      const moved = gatherToFile(context, descriptor, descriptor.position, vectors, counted)
      if (moved > 0) descriptor.position = isAppending(descriptor) ? before + moved : descriptor.position + moved
      return end(moved, result)
    },

    /** With APPEND it writes at the end, as on Linux. */
    fd_pwrite(fd: number, iovs: number, count: number, offset: bigint, nwritten: number): Errno {
      const [vectors, counted, result, position] = [iovs >>> 0, count >>> 0, nwritten >>> 0, u64(offset)]
      const file = beginAt(fd, Right.FD_WRITE, vectors, counted, position, result)
      if (typeof file === 'number') return file
      return end(gatherToFile(context, file, position, vectors, counted), result)
    },
  }
}

function positionCalls(context: Context) {
  const { memory } = context
  const seekable = (fd: number, rights: number, result: number): FileDescriptor | Errno => {
    const file = fileAt(context, fd, rights, Errno.BADF, Errno.SPIPE)
    if (typeof file === 'number') return file
    return memory.has(result, 8) ? file : Errno.FAULT
  }
  return {
    /** The right to seek includes that to tell; who may only tell may ask where it stands. */
    fd_seek(fd: number, offset: bigint, whence: number, newOffset: number): Errno {
      const result = newOffset >>> 0
      const tells = whence === Whence.CUR && i64(offset) === 0
      const file = seekable(fd, tells ? Right.FD_SEEK | Right.FD_TELL : Right.FD_SEEK, result)
      if (typeof file === 'number') return file
      if (whence !== Whence.SET && whence !== Whence.CUR && whence !== Whence.END) return Errno.INVAL
      const base = whence === Whence.SET ? 0 : whence === Whence.CUR ? file.position : file.node.content.size
      const position = base + i64(offset)
      if (position < 0) return Errno.INVAL
      if (position > MAX_POSITION) return Errno.OVERFLOW
      file.position = position
      memory.setU64(result, position)
      return Errno.SUCCESS
    },

    fd_tell(fd: number, offset: number): Errno {
      const result = offset >>> 0
      const file = seekable(fd, Right.FD_SEEK | Right.FD_TELL, result)
      if (typeof file === 'number') return file
      memory.setU64(result, file.position)
      return Errno.SUCCESS
    },
  }
}

function sizeCalls(context: Context) {
  const { tree, clock } = context
  const resize = (file: FileDescriptor, size: number): Errno => {
    if (size > MAX_POSITION) return Errno.FBIG
    context.host.moved?.(Math.abs(size - file.node.content.size))
    try {
      return tree.resize(file.node, size, clock.realtimeUs())
    } catch (error) {
      return storageErrno(error)
    }
  }
  return {
    fd_filestat_set_size(fd: number, size: bigint): Errno {
      const file = fileAt(context, fd, Right.FD_FILESTAT_SET_SIZE, Errno.INVAL, Errno.INVAL)
      return typeof file === 'number' ? file : resize(file, u64(size))
    },

    /** POSIX `posix_fallocate`: never shrinks. */
    fd_allocate(fd: number, offset: bigint, length: bigint): Errno {
      const file = fileAt(context, fd, Right.FD_ALLOCATE, Errno.BADF, Errno.SPIPE)
      if (typeof file === 'number') return file
      if (u64(length) === 0) return Errno.INVAL
      const end = u64(offset) + u64(length)
      return end > file.node.content.size ? resize(file, end) : Errno.SUCCESS
    },
  }
}

function syncCalls(context: Context) {
  /** There is nothing behind the memory to write to; a directory has entries to sync, a stream nothing. */
  const sync = (fd: number, right: number): Errno => {
    const descriptor = context.descriptors.get(fd)
    if (descriptor === undefined) return Errno.BADF
    if (!('node' in descriptor)) return Errno.INVAL
    return (descriptor.rights & right) === 0 ? Errno.NOTCAPABLE : Errno.SUCCESS
  }
  return {
    fd_sync: (fd: number): Errno => sync(fd, Right.FD_SYNC),
    fd_datasync: (fd: number): Errno => sync(fd, Right.FD_DATASYNC),

    fd_advise(fd: number, _offset: bigint, _length: bigint, advice: number): Errno {
      const file = fileAt(context, fd, Right.FD_ADVISE, Errno.BADF, Errno.SPIPE)
      if (typeof file === 'number') return file
      return advice >>> 0 > MAX_ADVICE ? Errno.INVAL : Errno.SUCCESS
    },
  }
}

function isAppending(descriptor: FileDescriptor): boolean {
  return (descriptor.flags & FdFlag.APPEND) !== 0
}
