// What paths are for: opening, making, renaming and removing files and directories, and their links.
import { ALL_FD_FLAGS, ALL_OPEN_FLAGS, DIRECTORY_RIGHTS, FdFlag, FILE_RIGHTS, OpenFlag, Right, Size } from './abi.ts'
import { type Context, directoryAt, endingOf, targetAt } from './context.ts'
import { isWithin, rightsOf } from './descriptor-calls.ts'
import type { Descriptor, DirectoryDescriptor } from './descriptors.ts'
import { Errno } from './errno.ts'
import { setTimes, writeFilestat } from './filestat.ts'
import type { Node } from './nodes.ts'
import type { Target } from './resolve.ts'

export function pathCalls(context: Context) {
  return { ...openCalls(context), ...statCalls(context), ...nameCalls(context), ...linkCalls(context) }
}

function openCalls(context: Context) {
  const { memory, tree, descriptors, clock } = context

  /** What the directory must allow for these flags and rights; a descriptor has no more rights than it hands down. */
  const mayOpen = (
    fd: number,
    flags: number,
    fdFlags: number,
    base: bigint,
    inheriting: bigint,
  ): DirectoryDescriptor | Errno => {
    const creates = (flags & OpenFlag.CREAT) !== 0 ? Right.PATH_CREATE_FILE : 0
    const truncates = (flags & OpenFlag.TRUNC) !== 0 ? Right.PATH_FILESTAT_SET_SIZE : 0
    const directory = directoryAt(context, fd, Right.PATH_OPEN | creates | truncates)
    if (typeof directory === 'number') return directory
    const syncsData = (fdFlags & FdFlag.DSYNC) !== 0 ? Right.FD_DATASYNC : 0
    const syncs = (fdFlags & (FdFlag.SYNC | FdFlag.RSYNC)) !== 0 ? Right.FD_SYNC : 0
    const lacking = (syncsData | syncs) & ~directory.inheriting
    const within = isWithin(base, directory.inheriting) && isWithin(inheriting, directory.inheriting)
    return within && lacking === 0 ? directory : Errno.NOTCAPABLE
  }

  /** The node to open: found as the flags ask, or made. */
  const nodeFor = (target: Target, flags: number, rights: number): Node | Errno => {
    const { node, parent, name } = target
    if (node === undefined) {
      if ((flags & OpenFlag.CREAT) === 0) return Errno.NOENT
      if (parent === undefined || target.directoryWanted) return Errno.ISDIR
      return tree.createFile(parent, name, clock.realtimeUs())
    }
    if ((flags & OpenFlag.CREAT) !== 0 && (flags & OpenFlag.EXCL) !== 0) return Errno.EXIST
    if (node.kind === 'link') return Errno.LOOP
    if (node.kind === 'directory') {
      const writes = (flags & (OpenFlag.TRUNC | OpenFlag.CREAT)) !== 0 || (rights & Right.FD_WRITE) !== 0
      return writes ? Errno.ISDIR : node
    }
    if ((flags & OpenFlag.DIRECTORY) !== 0) return Errno.NOTDIR
    const errno = (flags & OpenFlag.TRUNC) !== 0 ? tree.resize(node, 0, clock.realtimeUs()) : Errno.SUCCESS
    return errno === Errno.SUCCESS ? node : errno
  }

  return {
    path_open(
      fd: number,
      lookup: number,
      path: number,
      length: number,
      flags: number,
      rightsBase: bigint,
      rightsInheriting: bigint,
      fdFlags: number,
      result: number,
    ): Errno {
      const directory = mayOpen(fd, flags, fdFlags, rightsBase, rightsInheriting)
      if (typeof directory === 'number') return directory
      if (!memory.has(result >>> 0, 4)) return Errno.FAULT
      const ending = endingOf(lookup)
      const unknown = (flags & ~ALL_OPEN_FLAGS) !== 0 || (fdFlags & ~ALL_FD_FLAGS) !== 0 || ending === undefined
      const makesDirectory = OpenFlag.CREAT | OpenFlag.DIRECTORY
      if (unknown || (flags & makesDirectory) === makesDirectory) return Errno.INVAL
      const exclusive = OpenFlag.CREAT | OpenFlag.EXCL
      const target = targetAt(
        context,
        fd,
        Right.PATH_OPEN,
        path,
        length,
        (flags & exclusive) === exclusive ? 'link' : ending,
      )
      if (typeof target === 'number') return target
      if (descriptors.isFull()) return Errno.MFILE
      const rights = rightsOf(rightsBase)
      const node = nodeFor(target, flags, rights)
      if (typeof node === 'number') return node
      const opened = describe(node, fdFlags, rights, rightsOf(rightsInheriting))
      const number = opened === undefined ? undefined : descriptors.add(opened)
      if (number === undefined) return Errno.MFILE
      memory.setU32(result >>> 0, number)
      return Errno.SUCCESS
    },
  }
}

function describe(node: Node, flags: number, rights: number, inheriting: number): Descriptor | undefined {
  if (node.kind === 'file')
    return { kind: 'file', flags, rights: rights & FILE_RIGHTS, inheriting: 0, node, position: 0 }
  if (node.kind === 'link') return undefined
  return { kind: 'directory', flags, rights: rights & DIRECTORY_RIGHTS, inheriting, node, preopen: undefined }
}

function statCalls(context: Context) {
  const { memory } = context
  const find = (fd: number, right: number, lookup: number, path: number, length: number): Node | Errno => {
    const ending = endingOf(lookup)
    if (ending === undefined) return Errno.INVAL
    const target = targetAt(context, fd, right, path, length, ending)
    return typeof target === 'number' ? target : (target.node ?? Errno.NOENT)
  }
  return {
    path_filestat_get(fd: number, lookup: number, path: number, length: number, result: number): Errno {
      if (!memory.has(result >>> 0, Size.FILESTAT)) return Errno.FAULT
      const node = find(fd, Right.PATH_FILESTAT_GET, lookup, path, length)
      if (typeof node === 'number') return node
      writeFilestat(context, result >>> 0, node)
      return Errno.SUCCESS
    },

    path_filestat_set_times(
      fd: number,
      lookup: number,
      path: number,
      length: number,
      atime: bigint,
      mtime: bigint,
      flags: number,
    ): Errno {
      const node = find(fd, Right.PATH_FILESTAT_SET_TIMES, lookup, path, length)
      return typeof node === 'number' ? node : setTimes(context, node, atime, mtime, flags)
    },
  }
}

function nameCalls(context: Context) {
  const { tree, clock } = context
  return {
    path_create_directory(fd: number, path: number, length: number): Errno {
      const target = targetAt(context, fd, Right.PATH_CREATE_DIRECTORY, path, length, 'name')
      if (typeof target === 'number') return target
      if (target.node !== undefined || target.parent === undefined) return Errno.EXIST
      const made = tree.createDirectory(target.parent, target.name, clock.realtimeUs())
      return typeof made === 'number' ? made : Errno.SUCCESS
    },

    path_remove_directory(fd: number, path: number, length: number): Errno {
      const target = targetAt(context, fd, Right.PATH_REMOVE_DIRECTORY, path, length, 'name')
      if (typeof target === 'number') return target
      const { node, parent, name } = target
      if (node === undefined) return Errno.NOENT
      if (node.kind !== 'directory') return Errno.NOTDIR
      if (node === tree.root) return Errno.BUSY
      if (parent === undefined) return Errno.INVAL
      if (node.entries.size > 0) return Errno.NOTEMPTY
      tree.unlink(parent, name, clock.realtimeUs())
      return Errno.SUCCESS
    },

    path_unlink_file(fd: number, path: number, length: number): Errno {
      const target = targetAt(context, fd, Right.PATH_UNLINK_FILE, path, length, 'name')
      if (typeof target === 'number') return target
      if (target.node === undefined) return Errno.NOENT
      if (target.node.kind === 'directory' || target.parent === undefined) return Errno.ISDIR
      if (target.directoryWanted) return Errno.NOTDIR
      tree.unlink(target.parent, target.name, clock.realtimeUs())
      return Errno.SUCCESS
    },

    path_rename(fd: number, path: number, length: number, newFd: number, newPath: number, newLength: number): Errno {
      const from = targetAt(context, fd, Right.PATH_RENAME_SOURCE, path, length, 'name')
      if (typeof from === 'number') return from
      const to = targetAt(context, newFd, Right.PATH_RENAME_TARGET, newPath, newLength, 'name')
      if (typeof to === 'number') return to
      if (from.node === undefined) return Errno.NOENT
      if (from.parent === undefined || to.parent === undefined) return Errno.BUSY
      const directoryWanted = from.directoryWanted || to.directoryWanted
      if (directoryWanted && from.node.kind !== 'directory') return Errno.NOTDIR
      return tree.rename(from.parent, from.name, to.parent, to.name, clock.realtimeUs())
    },
  }
}

function linkCalls(context: Context) {
  const { memory, tree, clock } = context
  return {
    path_link(
      fd: number,
      lookup: number,
      path: number,
      length: number,
      newFd: number,
      newPath: number,
      newLength: number,
    ): Errno {
      const ending = endingOf(lookup)
      if (ending === undefined) return Errno.INVAL
      const from = targetAt(context, fd, Right.PATH_LINK_SOURCE, path, length, ending)
      if (typeof from === 'number') return from
      const to = targetAt(context, newFd, Right.PATH_LINK_TARGET, newPath, newLength, 'name')
      if (typeof to === 'number') return to
      if (from.node === undefined) return Errno.NOENT
      if (to.node !== undefined || to.parent === undefined) return Errno.EXIST
      if (from.node.kind === 'directory') return Errno.PERM
      if (to.directoryWanted) return Errno.NOENT
      return tree.link(to.parent, to.name, from.node, clock.realtimeUs())
    },

    path_symlink(text: number, textLength: number, fd: number, path: number, length: number): Errno {
      const target = memory.path(text >>> 0, textLength >>> 0)
      if (typeof target === 'number') return target
      const at = targetAt(context, fd, Right.PATH_SYMLINK, path, length, 'name')
      if (typeof at === 'number') return at
      if (at.node !== undefined || at.parent === undefined) return Errno.EXIST
      if (at.directoryWanted) return Errno.NOENT
      const made = tree.createLink(at.parent, at.name, clock.realtimeUs(), target)
      return typeof made === 'number' ? made : Errno.SUCCESS
    },

    /** As much of the target as fits, without a NUL. */
    path_readlink(
      fd: number,
      path: number,
      length: number,
      buffer: number,
      bufferLength: number,
      result: number,
    ): Errno {
      const [at, room] = [buffer >>> 0, bufferLength >>> 0]
      if (!memory.has(at, room) || !memory.has(result >>> 0, 4)) return Errno.FAULT
      const target = targetAt(context, fd, Right.PATH_READLINK, path, length, 'link')
      if (typeof target === 'number') return target
      if (target.node === undefined) return Errno.NOENT
      if (target.node.kind !== 'link') return Errno.INVAL
      const text = Buffer.from(target.node.target).subarray(0, room)
      memory.put(at, text)
      memory.setU32(result >>> 0, text.length)
      return Errno.SUCCESS
    },
  }
}
