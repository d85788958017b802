// The nodes of a cell's file tree. Knows no paths, no descriptors, no limits.
import type { Content } from './content.ts'
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
  readonly content: Content
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

const fields = (inode: number, nowUs: number): NodeFields => ({
  inode,
  links: 0,
  opens: 0,
  atime: timestamp(nowUs),
  mtime: timestamp(nowUs),
  ctime: timestamp(nowUs),
})

export function fileNode(inode: number, nowUs: number, content: Content, input: string | undefined): FileNode {
  return { kind: 'file', ...fields(inode, nowUs), content, input }
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
  if (node.kind === 'file') return node.content.size
  return node.kind === 'link' ? Buffer.byteLength(node.target) : 0
}

/** Marks `file` as changed now. */
export function touch(file: FileNode, nowUs: number): void {
  setMicroseconds(file.mtime, nowUs)
  setMicroseconds(file.ctime, nowUs)
  file.input = undefined
}
