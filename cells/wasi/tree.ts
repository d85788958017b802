// The file tree of a cell: names, links and sizes, with the disk limit over all of it.
// Pure: no memory of the guest, no clock, no descriptor numbers.
import { Content } from './content.ts'
import type { ContentWatch } from './contents.ts'
import { Errno } from './errno.ts'
import {
  bytesOf,
  type DirectoryNode,
  directoryNode,
  type FileNode,
  fileNode,
  type LinkNode,
  linkNode,
  type Node,
  touch,
} from './nodes.ts'
import { PiecePool } from './pieces.ts'
import { setMicroseconds } from './timestamp.ts'

/** Names in a tree: what an inode costs is not in the disk limit, so it has its own. */
export const MAX_NAMES = 65_536
/** Directories below each other: walks may recurse. */
export const MAX_DEPTH = 128
/** Bytes of one name: NAME_MAX of Linux. */
export const MAX_NAME_BYTES = 255
/** Characters of a path from the root: a result under a longer one could not be told to anyone. PATH_MAX of macOS. */
export const MAX_PATH_CHARS = 1024

export interface TreeInit {
  readonly diskBytes: number
  readonly root: DirectoryNode
  readonly nextInode: number
  /** Of the contents of new files. @default all in memory */
  readonly pool?: PiecePool
}

export class Tree {
  readonly root: DirectoryNode
  readonly pool: PiecePool
  /** Told of every change of a file's bytes, while somebody wants to know. */
  watch: ContentWatch | undefined
  readonly #limitBytes: number
  #nextInode: number
  #usedBytes = 0
  #names = 0

  /** The nodes below `init.root` are counted by {@link adopt}. */
  constructor(init: TreeInit) {
    this.root = init.root
    this.pool = init.pool ?? new PiecePool()
    this.#limitBytes = init.diskBytes
    this.#nextInode = init.nextInode
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  get nextInode(): number {
    return this.#nextInode
  }

  /** Counts what was put in place by other means. */
  adopt(names: number, bytes: number): void {
    this.#names += names
    this.#usedBytes += bytes
  }

  /** `content` counts whether or not it fits. @param content by default, there is none */
  createFile(
    parent: DirectoryNode,
    name: string,
    nowUs: number,
    content: Content = new Content(this.pool),
    input?: string,
  ): FileNode | Errno {
    const errno = this.#mayAdd(parent, name)
    if (errno !== Errno.SUCCESS) return errno
    const file = fileNode(this.#nextInode++, nowUs, content, input)
    this.#usedBytes += content.size
    this.#add(parent, name, file, nowUs)
    return file
  }

  createDirectory(parent: DirectoryNode, name: string, nowUs: number): DirectoryNode | Errno {
    const errno = this.#mayAdd(parent, name)
    if (errno !== Errno.SUCCESS) return errno
    if (depthOf(parent) >= MAX_DEPTH) return Errno.NAMETOOLONG
    const directory = directoryNode(this.#nextInode++, nowUs)
    this.#add(parent, name, directory, nowUs)
    return directory
  }

  createLink(parent: DirectoryNode, name: string, nowUs: number, target: string): LinkNode | Errno {
    const errno = this.#mayAdd(parent, name)
    if (errno !== Errno.SUCCESS) return errno
    const link = linkNode(this.#nextInode++, nowUs, target)
    const bytes = bytesOf(link)
    if (bytes > this.#limitBytes - this.#usedBytes) return Errno.NOSPC
    this.#usedBytes += bytes
    this.#add(parent, name, link, nowUs)
    return link
  }

  /** A second name for a file or link. */
  link(parent: DirectoryNode, name: string, node: FileNode | LinkNode, nowUs: number): Errno {
    const errno = this.#mayAdd(parent, name)
    if (errno === Errno.SUCCESS) this.#add(parent, name, node, nowUs)
    return errno
  }

  /** Takes the name away; the node goes with its last name and descriptor. Directories must be empty. */
  unlink(parent: DirectoryNode, name: string, nowUs: number): void {
    const node = parent.entries.get(name)?.node
    if (node === undefined) return
    parent.entries.delete(name)
    noteNames(parent, node, nowUs)
    node.links--
    this.#names--
    if (node.kind === 'directory') node.parent = undefined
    this.#forget(node)
  }

  /** Moves a name; what stands at the new one, if anything, is replaced in the same step. POSIX `rename`. */
  rename(from: DirectoryNode, oldName: string, to: DirectoryNode, newName: string, nowUs: number): Errno {
    const node = from.entries.get(oldName)?.node
    if (node === undefined) return Errno.NOENT
    const old = to.entries.get(newName)?.node
    if (old === node) return Errno.SUCCESS
    if (to.links === 0 && to !== this.root) return Errno.NOENT
    const below = node.kind === 'directory' ? longestBelow(node) : 0
    if (pathChars(to) + 1 + newName.length + below > MAX_PATH_CHARS) return Errno.NAMETOOLONG
    if (node.kind === 'directory') {
      if (old !== undefined && old.kind !== 'directory') return Errno.NOTDIR
      if (isWithin(to, node)) return Errno.INVAL
      if (depthOf(to) + heightOf(node) > MAX_DEPTH) return Errno.NAMETOOLONG
    } else if (old?.kind === 'directory') return Errno.ISDIR
    if (old?.kind === 'directory' && old.entries.size > 0) return Errno.NOTEMPTY
    if (old !== undefined) this.unlink(to, newName, nowUs)
    from.entries.delete(oldName)
    noteNames(from, node, nowUs)
    node.links--
    this.#names--
    this.#add(to, newName, node, nowUs)
    return Errno.SUCCESS
  }

  retain(node: Node): void {
    node.opens++
  }

  release(node: Node): void {
    node.opens--
    this.#forget(node)
  }

  /** Writes what fits of `source[start, start + length)` at `position`; returns how much that was. Throws `StorageError`. */
  write(file: FileNode, position: number, source: Uint8Array, start: number, length: number, nowUs: number): number {
    const { content } = file
    const before = content.size
    const room = Math.max(0, this.#limitBytes - this.#usedBytes)
    const fits = Math.min(length, Math.max(0, before - position) + Math.max(0, room - Math.max(0, position - before)))
    if (fits === 0) return 0
    try {
      content.write(position, source, start, fits)
    } finally {
      // Part of it may have been written. A gap before the position is new as well.
      this.#changed(file, before, Math.min(position, before), position + fits, nowUs)
    }
    return fits
  }

  /** Throws `StorageError`, and nothing has changed then. */
  resize(file: FileNode, size: number, nowUs: number): Errno {
    const before = file.content.size
    if (size - before > Math.max(0, this.#limitBytes - this.#usedBytes)) return Errno.NOSPC
    file.content.resize(size)
    this.#changed(file, before, Math.min(before, size), Math.max(before, size), nowUs)
    return Errno.SUCCESS
  }

  /** Bytes in [from, to) of a file that had `before`. */
  #changed(file: FileNode, before: number, from: number, to: number, nowUs: number): void {
    this.#usedBytes += file.content.size - before
    this.watch?.changed(file, from, to)
    touch(file, nowUs)
  }

  #mayAdd(parent: DirectoryNode, name: string): Errno {
    if (parent.links === 0 && parent !== this.root) return Errno.NOENT
    if (pathChars(parent) + 1 + name.length > MAX_PATH_CHARS) return Errno.NAMETOOLONG
    return this.#names >= MAX_NAMES ? Errno.NOSPC : Errno.SUCCESS
  }

  #add(parent: DirectoryNode, name: string, node: Node, nowUs: number): void {
    parent.entries.set(name, { node, cookie: parent.nextCookie++ })
    noteNames(parent, node, nowUs)
    node.links++
    this.#names++
    if (node.kind !== 'directory') return
    node.parent = parent
    node.name = name
  }

  #forget(node: Node): void {
    if (node.links > 0 || node.opens > 0) return
    this.#usedBytes -= bytesOf(node)
    if (node.kind !== 'file') return
    this.watch?.gone(node)
    node.content.drop()
  }
}

/** The names of `node` in `parent` have changed. */
function noteNames(parent: DirectoryNode, node: Node, nowUs: number): void {
  setMicroseconds(parent.mtime, nowUs)
  setMicroseconds(parent.ctime, nowUs)
  setMicroseconds(node.ctime, nowUs)
}

function depthOf(directory: DirectoryNode): number {
  let depth = 0
  for (let at = directory.parent; at !== undefined; at = at.parent) depth++
  return depth
}

/** Characters of the directory's path; none for the root, whose files are below `/` alone. */
export function pathChars(directory: DirectoryNode): number {
  let chars = 0
  for (let at = directory; at.parent !== undefined; at = at.parent) chars += 1 + at.name.length
  return chars
}

/** Characters by which the longest path inside `directory` is longer than its own. */
function longestBelow(directory: DirectoryNode): number {
  let chars = 0
  for (const [name, { node }] of directory.entries)
    chars = Math.max(chars, 1 + name.length + (node.kind === 'directory' ? longestBelow(node) : 0))
  return chars
}

/** Directories on the longest way down from `directory`, itself included. */
function heightOf(directory: DirectoryNode): number {
  let below = 0
  for (const { node } of directory.entries.values()) {
    if (node.kind === 'directory') below = Math.max(below, heightOf(node))
  }
  return below + 1
}

function isWithin(directory: DirectoryNode, ancestor: DirectoryNode): boolean {
  for (let at: DirectoryNode | undefined = directory; at !== undefined; at = at.parent) if (at === ancestor) return true
  return false
}
