// From a captured state back to a tree and its descriptors. The state may come from anyone: what a shape cannot say
// (one parent per directory, names that lead somewhere, nothing out of reach) is checked here.
import { Content } from './content.ts'
import { type Descriptor, Descriptors } from './descriptors.ts'
import { bytesOf, type DirectoryNode, directoryNode, type FileNode, fileNode, linkNode, type Node } from './nodes.ts'
import type { PiecePool } from './pieces.ts'
import type { ReceivedContents } from './received-contents.ts'
import type { DescriptorState, NodeState, WasiState } from './state.ts'
import { MAX_DEPTH, MAX_NAME_BYTES, MAX_NAMES, MAX_PATH_CHARS, pathChars, Tree } from './tree.ts'

export interface Rebuilt {
  readonly tree: Tree
  readonly descriptors: Descriptors
}

/** Throws an error that says what is wrong with `state`. */
export function rebuild(
  state: WasiState,
  diskBytes: number,
  pool: PiecePool,
  contents: ReceivedContents | undefined,
): Rebuilt {
  const nodes = new Map<number, Node>()
  for (const node of state.nodes) {
    check(node.inode < state.nextInode && !nodes.has(node.inode), `inode ${node.inode} is used twice or not given out`)
    nodes.set(node.inode, nodeOf(node, pool, contents))
  }
  const root = nodes.get(state.root)
  if (root?.kind !== 'directory') throw new Error('the root is not a directory')
  let names = 0
  for (const one of state.nodes) {
    if (one.kind !== 'directory') continue
    const directory = nodes.get(one.inode)
    if (directory?.kind === 'directory') fill(directory, one, nodes, root)
    names += one.entries.length
    check(names <= MAX_NAMES, 'there are too many names')
  }
  const tree = new Tree({ diskBytes, root, nextInode: state.nextInode, pool })
  const descriptors = new Descriptors(tree)
  for (const one of state.descriptors) {
    check(descriptors.get(one.fd) === undefined, `descriptor ${one.fd} is open twice`)
    descriptors.put(one.fd, descriptorOf(one, nodes))
  }
  let bytes = 0
  for (const node of nodes.values()) {
    checkReach(node, root)
    bytes += bytesOf(node)
  }
  tree.adopt(names, bytes)
  return { tree, descriptors }
}

function nodeOf(state: NodeState, pool: PiecePool, contents: ReceivedContents | undefined): Node {
  const { inode } = state
  const node: Node =
    state.kind === 'file'
      ? fileOf(state, pool, contents)
      : state.kind === 'link'
        ? linkNode(inode, 0, state.target)
        : directoryNode(inode, 0)
  for (const time of ['atime', 'mtime', 'ctime'] as const) Object.assign(node[time], state[time])
  return node
}

function fileOf(
  state: NodeState & { kind: 'file' },
  pool: PiecePool,
  contents: ReceivedContents | undefined,
): FileNode {
  const { inode, size, pieces, deltas, input } = state
  if (deltas !== undefined) {
    const sent = contents?.complete(inode, deltas, size, pieces)
    if (sent === undefined) throw new Error(`the bytes of inode ${inode} were sent ahead and are not here`)
    return fileNode(inode, 0, sent, input)
  }
  const content = new Content(pool)
  for (const { at, bytes } of pieces) {
    check(at === content.size && at + bytes.length <= size, `inode ${inode} has holes`)
    content.append(bytes)
  }
  check(content.size === size, `inode ${inode} has holes`)
  return fileNode(inode, 0, content, input)
}

function fill(
  directory: DirectoryNode,
  state: NodeState & { kind: 'directory' },
  nodes: ReadonlyMap<number, Node>,
  root: DirectoryNode,
): void {
  let before = 0
  for (const { name, cookie, inode } of state.entries) {
    const node = nodes.get(inode)
    if (node === undefined) throw new Error(`the name ${name} leads nowhere`)
    check(isName(name) && !directory.entries.has(name), `the name ${name} is not one, or stands twice`)
    check(cookie > before && cookie < state.nextCookie, `the cookie of ${name} is out of order`)
    check(node.kind !== 'directory' || (node.links === 0 && node !== root), `the directory ${name} has two parents`)
    before = cookie
    directory.entries.set(name, { node, cookie })
    node.links++
    if (node.kind !== 'directory') continue
    node.parent = directory
    node.name = name
  }
  directory.nextCookie = state.nextCookie
}

function descriptorOf(state: DescriptorState, nodes: ReadonlyMap<number, Node>): Descriptor {
  const { flags, rights, inheriting } = state
  if (state.kind !== 'file' && state.kind !== 'directory') return { kind: state.kind, flags, rights, inheriting }
  const node = nodes.get(state.inode)
  if (state.kind === 'file' && node?.kind === 'file') {
    return { kind: 'file', flags, rights, inheriting, node, position: state.position }
  }
  if (state.kind === 'directory' && node?.kind === 'directory') {
    return { kind: 'directory', flags, rights, inheriting, node, preopen: state.preopen }
  }
  throw new Error(`descriptor ${state.fd} is not of its inode's kind`)
}

/** A node hangs below the root, not too deep, or is held by a descriptor alone; a removed directory is empty. */
function checkReach(node: Node, root: DirectoryNode): void {
  check(node === root || node.links > 0 || node.opens > 0, `inode ${node.inode} is out of reach`)
  if (node.kind !== 'directory' || node === root) return
  if (node.links === 0) {
    check(node.entries.size === 0, `inode ${node.inode} was removed but is not empty`)
    return
  }
  let at: DirectoryNode | undefined = node
  for (let depth = 0; at !== root; depth++) {
    check(at !== undefined && depth < MAX_DEPTH, `inode ${node.inode} hangs in a circle, nowhere, or too deep`)
    at = at?.parent
  }
  const path = pathChars(node)
  for (const name of node.entries.keys())
    check(path + 1 + name.length <= MAX_PATH_CHARS, `the path of ${name} in inode ${node.inode} is too long`)
}

function isName(name: string): boolean {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) return false
  return Buffer.byteLength(name) <= MAX_NAME_BYTES
}

function check(condition: boolean, problem: string): asserts condition {
  if (!condition) throw new Error(problem)
}
