// Reading, writing, position and size of open files and streams.
import { FdFlag, MAX_ADVICE, Right, Whence } from './abi.ts'
import { type Context, fileAt } from './context.ts'
import type { Descriptor, FileDescriptor } from './descriptors.ts'
import { Errno } from './errno.ts'
import { i64, u64 } from './memory-view.ts'
import { gatherToFile, gatherToStream, MAX_IOVECS, scatter, type Transferred } from './transfer.ts'

const MAX_POSITION = Number.MAX_SAFE_INTEGER

export function fileCalls(context: Context) {
  return { ...transferCalls(context), ...positionCalls(context), ...sizeCalls(context) }
}

function transferCalls(context: Context) {
  const { memory } = context
  /** Checks what all four transfers have in common; the descriptor, or what is wrong. */
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
    return Errno.SUCCESS
  }
  /** A file and a sane position for the calls that name one. */
  const beginAt = (fd: number, right: number, vectors: number, count: number, position: number, result: number) => {
    const descriptor = begin(fd, right, vectors, count, result)
    if (typeof descriptor === 'number') return descriptor
    if (descriptor.kind !== 'file') return Errno.SPIPE
    return position > MAX_POSITION ? Errno.INVAL : descriptor
  }

  return {
    fd_read(fd: number, iovs: number, count: number, nread: number): Errno {
      const [vectors, counted, result] = [iovs >>> 0, count >>> 0, nread >>> 0]
      const descriptor = begin(fd, Right.FD_READ, vectors, counted, result)
      if (typeof descriptor === 'number') return descriptor
      if (descriptor.kind === 'file') {
        const { data, size } = descriptor.node
        const moved = scatter(context, data, size, descriptor.position, vectors, counted)
        if (moved > 0) descriptor.position += moved
        return end(moved, result)
      }
      const { stdin } = context
      const moved = scatter(context, stdin.bytes, stdin.bytes.length, stdin.position, vectors, counted)
      if (moved > 0) stdin.position += moved
      return end(moved, result)
    },

    fd_pread(fd: number, iovs: number, count: number, offset: bigint, nread: number): Errno {
      const [vectors, counted, result, position] = [iovs >>> 0, count >>> 0, nread >>> 0, u64(offset)]
      const file = beginAt(fd, Right.FD_READ, vectors, counted, position, result)
      if (typeof file === 'number') return file
      return end(scatter(context, file.node.data, file.node.size, position, vectors, counted), result)
    },

    fd_write(fd: number, iovs: number, count: number, nwritten: number): Errno {
      const [vectors, counted, result] = [iovs >>> 0, count >>> 0, nwritten >>> 0]
      const descriptor = begin(fd, Right.FD_WRITE, vectors, counted, result)
      if (typeof descriptor === 'number') return descriptor
      if (descriptor.kind === 'stdout' || descriptor.kind === 'stderr') {
        return end(gatherToStream(context, descriptor.kind, vectors, counted), result)
      }
      if (descriptor.kind !== 'file') return Errno.BADF
      const before = descriptor.node.size
      const moved = gatherToFile(context, descriptor, descriptor.position, vectors, counted)
      if (moved > 0) descriptor.position = isAppending(descriptor) ? before + moved : descriptor.position + moved
      return end(moved, result)
    },

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
  const seekable = (fd: number, result: number): FileDescriptor | Errno => {
    const file = fileAt(context, fd)
    if (typeof file === 'number') return file === Errno.ISDIR ? Errno.BADF : file
    return memory.has(result, 8) ? file : Errno.FAULT
  }
  return {
    fd_seek(fd: number, offset: bigint, whence: number, newOffset: number): Errno {
      const result = newOffset >>> 0
      const file = seekable(fd, result)
      if (typeof file === 'number') return file
      if (whence !== Whence.SET && whence !== Whence.CUR && whence !== Whence.END) return Errno.INVAL
      const base = whence === Whence.SET ? 0 : whence === Whence.CUR ? file.position : file.node.size
      const position = base + i64(offset)
      if (position < 0) return Errno.INVAL
      if (position > MAX_POSITION) return Errno.OVERFLOW
      file.position = position
      memory.setU64(result, position)
      return Errno.SUCCESS
    },

    fd_tell(fd: number, offset: number): Errno {
      const result = offset >>> 0
      const file = seekable(fd, result)
      if (typeof file === 'number') return file
      memory.setU64(result, file.position)
      return Errno.SUCCESS
    },
  }
}

function sizeCalls(context: Context) {
  const { tree, clock } = context
  const writable = (fd: number): FileDescriptor | Errno => {
    const file = fileAt(context, fd)
    if (typeof file === 'number') return file === Errno.BADF ? file : Errno.INVAL
    return (file.rights & Right.FD_WRITE) === 0 ? Errno.BADF : file
  }
  const sync = (fd: number): Errno => (context.descriptors.get(fd) === undefined ? Errno.BADF : Errno.SUCCESS)
  return {
    fd_filestat_set_size(fd: number, size: bigint): Errno {
      const file = writable(fd)
      return typeof file === 'number' ? file : tree.resize(file.node, u64(size), clock.realtimeUs())
    },

    fd_allocate(fd: number, offset: bigint, length: bigint): Errno {
      const file = writable(fd)
      if (typeof file === 'number') return file
      const end = u64(offset) + u64(length)
      if (u64(length) === 0) return Errno.INVAL
      return end > file.node.size ? tree.resize(file.node, end, clock.realtimeUs()) : Errno.SUCCESS
    },

    fd_advise(fd: number, _offset: bigint, _length: bigint, advice: number): Errno {
      const file = fileAt(context, fd)
      if (typeof file === 'number') return file === Errno.ISDIR ? Errno.BADF : file
      return advice >>> 0 > MAX_ADVICE ? Errno.INVAL : Errno.SUCCESS
    },

    fd_sync: sync,
    fd_datasync: sync,
  }
}

function isAppending(descriptor: FileDescriptor): boolean {
  return (descriptor.flags & FdFlag.APPEND) !== 0
}
