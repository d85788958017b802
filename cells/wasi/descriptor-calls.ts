// Descriptors themselves: what they are, what they may, closing and renumbering them, and the preopened directories.
import { ALL_FD_FLAGS, ALL_RIGHTS, FileType, Right, Size } from './abi.ts'
import { type Context, descriptorAt } from './context.ts'
import type { Descriptor } from './descriptors.ts'
import { Errno } from './errno.ts'
import { fileTypeOf, setTimes, writeFilestat } from './filestat.ts'

export function descriptorCalls(context: Context) {
  return { ...tableCalls(context), ...statCalls(context), ...preopenCalls(context) }
}

function tableCalls({ descriptors }: Context) {
  return {
    fd_close: (fd: number): Errno => (descriptors.close(fd) ? Errno.SUCCESS : Errno.BADF),
    fd_renumber: (from: number, to: number): Errno => (descriptors.renumber(from, to) ? Errno.SUCCESS : Errno.BADF),
  }
}

function statCalls(context: Context) {
  const { memory, descriptors } = context
  return {
    fd_fdstat_get(fd: number, result: number): Errno {
      const descriptor = descriptors.get(fd)
      const at = result >>> 0
      if (descriptor === undefined) return Errno.BADF
      if (!memory.has(at, Size.FDSTAT)) return Errno.FAULT
      memory.fill(at, Size.FDSTAT)
      memory.setU8(at, 'node' in descriptor ? fileTypeOf(descriptor.node) : FileType.UNKNOWN)
      memory.setU16(at + 2, descriptor.flags)
      memory.setU64(at + 8, descriptor.rights)
      memory.setU64(at + 16, descriptor.inheriting)
      return Errno.SUCCESS
    },

    fd_fdstat_set_flags(fd: number, flags: number): Errno {
      const descriptor = descriptorAt(context, fd, Right.FD_FDSTAT_SET_FLAGS)
      if (typeof descriptor === 'number') return descriptor
      if ((flags & ~ALL_FD_FLAGS) !== 0) return Errno.INVAL
      descriptor.flags = flags
      return Errno.SUCCESS
    },

    /** Rights can be given up, never gained. */
    fd_fdstat_set_rights(fd: number, base: bigint, inheriting: bigint): Errno {
      const descriptor = descriptors.get(fd)
      if (descriptor === undefined) return Errno.BADF
      const [rights, passedOn] = [rightsOf(base), rightsOf(inheriting)]
      if (!isWithin(base, descriptor.rights) || !isWithin(inheriting, descriptor.inheriting)) return Errno.NOTCAPABLE
      descriptor.rights = rights
      descriptor.inheriting = passedOn
      return Errno.SUCCESS
    },

    fd_filestat_get(fd: number, result: number): Errno {
      const descriptor = descriptorAt(context, fd, Right.FD_FILESTAT_GET)
      if (typeof descriptor === 'number') return descriptor
      if (!memory.has(result >>> 0, Size.FILESTAT)) return Errno.FAULT
      writeFilestat(context, result >>> 0, nodeOf(descriptor))
      return Errno.SUCCESS
    },

    fd_filestat_set_times(fd: number, atime: bigint, mtime: bigint, flags: number): Errno {
      const descriptor = descriptorAt(context, fd, Right.FD_FILESTAT_SET_TIMES)
      if (typeof descriptor === 'number') return descriptor
      const node = nodeOf(descriptor)
      return node === undefined ? Errno.INVAL : setTimes(context, node, atime, mtime, flags)
    },
  }
}

function preopenCalls({ memory, descriptors }: Context) {
  const nameOf = (fd: number): Uint8Array | undefined => {
    const descriptor = descriptors.get(fd)
    const name = descriptor?.kind === 'directory' ? descriptor.preopen : undefined
    return name === undefined ? undefined : Buffer.from(name)
  }
  return {
    fd_prestat_get(fd: number, result: number): Errno {
      const name = nameOf(fd)
      if (name === undefined) return Errno.BADF
      if (!memory.has(result >>> 0, Size.PRESTAT)) return Errno.FAULT
      memory.setU32(result >>> 0, 0)
      memory.setU32((result >>> 0) + 4, name.length)
      return Errno.SUCCESS
    },

    fd_prestat_dir_name(fd: number, pointer: number, length: number): Errno {
      const name = nameOf(fd)
      if (name === undefined) return Errno.BADF
      if (length >>> 0 < name.length) return Errno.NAMETOOLONG
      if (!memory.has(pointer >>> 0, name.length)) return Errno.FAULT
      memory.put(pointer >>> 0, name)
      return Errno.SUCCESS
    },
  }
}

/** The defined rights among those of an i64 argument. */
export function rightsOf(value: unknown): number {
  return typeof value === 'bigint' ? Number(BigInt.asUintN(30, value)) & ALL_RIGHTS : 0
}

/** Whether all rights in an i64 argument, also those that nobody knows, are among `held`. */
export function isWithin(wanted: bigint, held: number): boolean {
  return typeof wanted === 'bigint' && (BigInt.asUintN(64, wanted) & ~BigInt(held)) === 0n
}

function nodeOf(descriptor: Descriptor) {
  return 'node' in descriptor ? descriptor.node : undefined
}
