// The nodes of a cell's file tree, and the bytes of its files: growth is amortised, input bytes are shared until
// the first change. Knows no paths, no descriptors, no limits.

import { setMicroseconds, type Timestamp, timestamp } from './timestamp.ts'

interface NodeFields {
  readonly inode: number
  /** Names that lead here; an open file without any lives until its last descriptor closes. */
  links: number
  /** Open descriptors. */
  opens: number
  /** Access times are not kept up at reads (as with `noatime`). */
  readonly atime: Timestamp
  readonly mtime: Timestamp
  readonly ctime: Timestamp
}

export interface FileNode extends NodeFields {
  readonly kind: 'file'
  /** Capacity: only the first `size` bytes are the file's, the rest is zero. */
  data: Uint8Array
  size: number
  /** `data` belongs to someone else and is copied before the first change. */
  shared: boolean
  /** The path at which this is an input that nobody changed. */
  input: string | undefined
}

export interface DirectoryNode extends NodeFields {
  readonly kind: 'directory'
  /** In the order of their cookies. */
  readonly entries: Map<string, Entry>
  nextCookie: number
  /** Undefined for the root and for removed directories. */
  parent: DirectoryNode | undefined
  /** The name in the parent; empty for the root. */
  name: string
}

export interface LinkNode extends NodeFields {
  readonly kind: 'link'
  readonly target: string
}

export type Node = FileNode | DirectoryNode | LinkNode

export interface Entry {
  readonly node: Node
  /** Position in a listing, stable while other entries come and go. */
  readonly cookie: number
}

/** Cookies 1 and 2 are those of `.` and `..`. */
export const FIRST_COOKIE = 3

/** The least capacity of a file that is written to, bytes. */
const MIN_CAPACITY = 256
/** Above this a file grows by as much instead of doubling, bytes: bounds what lies unused. */
const MAX_GROWTH = 64 * 1024 * 1024

const fields = (inode: number, nowUs: number): NodeFields => ({
  inode,
  links: 0,
  opens: 0,
  atime: timestamp(nowUs),
  mtime: timestamp(nowUs),
  ctime: timestamp(nowUs),
})

/** `data` is shared: copied before the first change. */
export function fileNode(inode: number, nowUs: number, data: Uint8Array, input: string | undefined): FileNode {
  // Not a Buffer, whose `slice` would not copy.
  const plain = new Uint8Array(data.buffer, data.byteOffset, data.length)
  return { kind: 'file', ...fields(inode, nowUs), data: plain, size: plain.length, shared: true, input }
}

/** `data` is the file's own: zero beyond `size`. */
export function ownedFileNode(inode: number, data: Uint8Array, size: number, input: string | undefined): FileNode {
  return { kind: 'file', ...fields(inode, 0), data, size, shared: false, input }
}

export function directoryNode(inode: number, nowUs: number): DirectoryNode {
  return {
    kind: 'directory',
    ...fields(inode, nowUs),
    entries: new Map(),
    nextCookie: FIRST_COOKIE,
    parent: undefined,
    name: '',
  }
}

export function linkNode(inode: number, nowUs: number, target: string): LinkNode {
  return { kind: 'link', ...fields(inode, nowUs), target }
}

/** What a node takes of the disk, and says as its size. */
export function bytesOf(node: Node): number {
  if (node.kind === 'file') return node.size
  return node.kind === 'link' ? Buffer.byteLength(node.target) : 0
}

/** The bytes of a file, not copied. */
export function contentOf(file: FileNode): Uint8Array {
  return file.data.subarray(0, file.size)
}

/**
 * Makes `file` writable up to `end`. False when the engine has no memory for that.
 * @param roomBytes how much the file may still grow: no more than that is reserved beyond its size
 */
export function reserve(file: FileNode, end: number, roomBytes: number): boolean {
  if (!file.shared && end <= file.data.length) return true
  const doubled = file.size + Math.min(Math.max(file.size, MIN_CAPACITY), MAX_GROWTH)
  const capacity = Math.max(end, file.size, Math.min(doubled, file.size + roomBytes))
  try {
    const data = new Uint8Array(capacity)
    data.set(contentOf(file))
    file.data = data
    file.shared = false
    return true
  } catch {
    return false
  }
}

/** Marks `file` as changed now. */
export function touch(file: FileNode, nowUs: number): void {
  setMicroseconds(file.mtime, nowUs)
  setMicroseconds(file.ctime, nowUs)
  file.input = undefined
}
