// What paths are for: opening, making, renaming and removing files and directories, and their links.
import { ALL_FD_FLAGS, DIRECTORY_RIGHTS, FILE_RIGHTS, OpenFlag, Right, Size, SYMLINK_FOLLOW } from './abi.ts'
import { type Context, directoryAt, targetAt } from './context.ts'
import { rightsOf } from './descriptor-calls.ts'
import type { Descriptor } from './descriptors.ts'
import { Errno } from './errno.ts'
import { setTimes, writeFilestat } from './filestat.ts'
import type { Node } from './nodes.ts'
import type { Target } from './resolve.ts'

export function pathCalls(context: Context) {
  return { ...openCalls(context), ...statCalls(context), ...nameCalls(context), ...linkCalls(context) }
}

function openCalls(context: Context) {
  const { memory, tree, descriptors, clock } = context

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
      return writes && (flags & OpenFlag.DIRECTORY) === 0 ? Errno.ISDIR : node
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
      const directory = directoryAt(context, fd)
      if (typeof directory === 'number') return directory
      if (!memory.has(result >>> 0, 4)) return Errno.FAULT
      const makesDirectory = OpenFlag.CREAT | OpenFlag.DIRECTORY
      if ((flags & makesDirectory) === makesDirectory || (fdFlags & ~ALL_FD_FLAGS) !== 0) return Errno.INVAL
      const exclusive = OpenFlag.CREAT | OpenFlag.EXCL
      const follow = (lookup & SYMLINK_FOLLOW) !== 0 && (flags & exclusive) !== exclusive
      const target = targetAt(context, fd, path, length, follow)
      if (typeof target === 'number') return target
      if (descriptors.isFull()) return Errno.MFILE
      const rights = rightsOf(rightsBase) & directory.inheriting
      const node = nodeFor(target, flags, rights)
      if (typeof node === 'number') return node
      const inheriting = rightsOf(rightsInheriting) & directory.inheriting
      const opened = describe(node, fdFlags, rights, inheriting)
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
  const find = (fd: number, lookup: number, path: number, length: number): Node | Errno => {
    const target = targetAt(context, fd, path, length, (lookup & SYMLINK_FOLLOW) !== 0)
    return typeof target === 'number' ? target : (target.node ?? Errno.NOENT)
  }
  return {
    path_filestat_get(fd: number, lookup: number, path: number, length: number, result: number): Errno {
      if (!memory.has(result >>> 0, Size.FILESTAT)) return Errno.FAULT
      const node = find(fd, lookup, path, length)
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
      const node = find(fd, lookup, path, length)
      return typeof node === 'number' ? node : setTimes(context, node, atime, mtime, flags)
    },
  }
}

function nameCalls(context: Context) {
  const { tree, clock } = context
  return {
    path_create_directory(fd: number, path: number, length: number): Errno {
      const target = targetAt(context, fd, path, length, false)
      if (typeof target === 'number') return target
      if (target.node !== undefined || target.parent === undefined) return Errno.EXIST
      const made = tree.createDirectory(target.parent, target.name, clock.realtimeUs())
      return typeof made === 'number' ? made : Errno.SUCCESS
    },

    path_remove_directory(fd: number, path: number, length: number): Errno {
      const target = targetAt(context, fd, path, length, false)
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
      const target = targetAt(context, fd, path, length, false)
      if (typeof target === 'number') return target
      if (target.node === undefined) return Errno.NOENT
      if (target.node.kind === 'directory' || target.parent === undefined) return Errno.ISDIR
      tree.unlink(target.parent, target.name, clock.realtimeUs())
      return Errno.SUCCESS
    },

    path_rename(fd: number, path: number, length: number, newFd: number, newPath: number, newLength: number): Errno {
      const from = targetAt(context, fd, path, length, false)
      if (typeof from === 'number') return from
      const to = targetAt(context, newFd, newPath, newLength, false)
      if (typeof to === 'number') return to
      if (from.node === undefined) return Errno.NOENT
      if (from.parent === undefined || to.parent === undefined) return Errno.BUSY
      if (to.directoryWanted && from.node.kind !== 'directory') return Errno.NOTDIR
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
      const from = targetAt(context, fd, path, length, (lookup & SYMLINK_FOLLOW) !== 0)
      if (typeof from === 'number') return from
      const to = targetAt(context, newFd, newPath, newLength, false)
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
      const at = targetAt(context, fd, path, length, false)
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
      const target = targetAt(context, fd, path, length, false)
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
