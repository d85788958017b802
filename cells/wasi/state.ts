// The state of a cell's WASI as plain data: its shape, and capturing it. Nodes are listed by inode, so that hard
// links and files that are open without a name survive.
import { boolean, bytes, type Infer, integer, list, object, optional, text, union } from '../../core/shape.ts'
import { ALL_FD_FLAGS, ALL_RIGHTS } from './abi.ts'
import { type ContentLedger, contentFields, type Piece, piecesOf } from './contents.ts'
import { type Descriptor, MAX_DESCRIPTORS } from './descriptors.ts'
import { SEED_BYTES } from './guest-random.ts'
import { FIRST_COOKIE, type FileNode, type Node } from './nodes.ts'
import { PIECE_BYTES } from './pieces.ts'
import { MAX_SECONDS } from './timestamp.ts'
import { MAX_NAME_BYTES, MAX_NAMES, type Tree } from './tree.ts'

/** Longest argument or environment entry, and most of each: MAX_ARG_STRLEN of Linux, and room for its ARG_MAX. */
const MAX_TEXT = 131_072
const MAX_TEXTS = 4096
/** Longest path: PATH_MAX of Linux. */
const MAX_PATH = 4096
/** Bytes are in memory already when the shape sees them, so the shape does not bound them again. */
const MAX_BYTES = Number.MAX_SAFE_INTEGER
/** Every name may be a node of its own, every descriptor one without a name, and there is the root. */
const MAX_NODES = MAX_NAMES + MAX_DESCRIPTORS + 1

const time = object({ seconds: integer(0, MAX_SECONDS), nanoseconds: integer(0, 999_999_999) })
const times = { atime: time, mtime: time, ctime: time } as const
/** Counters go on from here by ones: bounded so that they stay exact. */
const MAX_COUNTER = 2 ** 48
const inode = integer(1, MAX_COUNTER)
const cookie = integer(FIRST_COOKIE, MAX_COUNTER)

const nodeState = union({
  file: object({
    inode,
    ...times,
    ...contentFields,
    /** When contents were sent ahead: in how many deltas, to which `pieces` are what has changed since. */
    deltas: optional(integer(1, MAX_COUNTER)),
    input: optional(text(MAX_PATH)),
  }),
  directory: object({
    inode,
    ...times,
    nextCookie: cookie,
    entries: list(object({ name: text(MAX_NAME_BYTES), cookie, inode }), MAX_NAMES),
  }),
  link: object({ inode, ...times, target: text(MAX_PATH) }),
})

const common = {
  fd: integer(0, MAX_DESCRIPTORS - 1),
  flags: integer(0, ALL_FD_FLAGS),
  rights: integer(0, ALL_RIGHTS),
  inheriting: integer(0, ALL_RIGHTS),
} as const

const descriptorState = union({
  stdin: object(common),
  stdout: object(common),
  stderr: object(common),
  file: object({ ...common, inode, position: integer() }),
  directory: object({ ...common, inode, preopen: optional(text(MAX_PATH)) }),
})

/** Shape of a {@link WasiState}: maps, lists, texts, integers and bytes, so it can be part of any CBOR message. */
export const wasiState = object({
  args: list(text(MAX_TEXT), MAX_TEXTS),
  /** `name=value` */
  env: list(text(2 * MAX_TEXT), MAX_TEXTS),
  /** What the program has not read yet, how much it has, and whether nothing more will come. */
  stdin: bytes(MAX_BYTES),
  stdinRead: integer(),
  stdinClosed: boolean,
  /** Of reproducible randomness: without it, random bytes come from the host. */
  random: optional(object({ seed: bytes(SEED_BYTES, SEED_BYTES), position: integer(0, MAX_COUNTER) })),
  stdoutBytes: integer(),
  stderrBytes: integer(),
  monotonicUs: integer(0, MAX_COUNTER),
  /** When the interrupted blocking call began; with its arguments, this is its deadline. */
  blockedSinceUs: optional(integer(0, MAX_COUNTER)),
  root: inode,
  nextInode: inode,
  nodes: list(nodeState, MAX_NODES),
  descriptors: list(descriptorState, MAX_DESCRIPTORS),
})

/** Everything that a program can observe of its WASI. File bytes are views: valid until the program goes on. */
export type WasiState = Infer<typeof wasiState>
export type NodeState = WasiState['nodes'][number]
export type DescriptorState = WasiState['descriptors'][number]

/** Every node that a name or a descriptor leads to. */
export function nodesOf(tree: Tree, open: Iterable<readonly [number, Descriptor]>): Set<Node> {
  const found = new Set<Node>([tree.root])
  for (const [, descriptor] of open) if ('node' in descriptor) found.add(descriptor.node)
  // A set also visits what is added to it on the way.
  for (const node of found)
    if (node.kind === 'directory') for (const entry of node.entries.values()) found.add(entry.node)
  return found
}

/** @param sent contents that were sent ahead and are left out; `all`: files are empty, as if of another program like this one */
export function captureNode(node: Node, sent: ContentLedger | 'all' | undefined): NodeState {
  const { inode, atime, mtime, ctime } = node
  const fields = { inode, atime: { ...atime }, mtime: { ...mtime }, ctime: { ...ctime } }
  if (node.kind === 'link') return { kind: 'link', ...fields, target: node.target }
  if (node.kind === 'file') {
    const file = { kind: 'file', ...fields, ...(sent === 'all' ? EMPTY : captureContent(node, sent)) } as const
    return node.input === undefined ? file : { ...file, input: node.input }
  }
  const entries = Array.from(node.entries, ([name, entry]) => ({ name, cookie: entry.cookie, inode: entry.node.inode }))
  return { kind: 'directory', ...fields, nextCookie: node.nextCookie, entries }
}

const EMPTY = { size: 0, pieces: [] }

function captureContent(file: FileNode, sent: ContentLedger | undefined) {
  const { size } = file.content
  const pieces = (): Piece[] => piecesOf(file.content, 0, Math.ceil(size / PIECE_BYTES))
  return { size, ...(sent?.remainder(file) ?? { pieces: pieces() }) }
}

export function captureDescriptors(open: Iterable<readonly [number, Descriptor]>): DescriptorState[] {
  return Array.from(open, ([fd, descriptor]) => {
    const { flags, rights, inheriting } = descriptor
    const fields = { fd, flags, rights, inheriting }
    if (descriptor.kind === 'file') {
      return { kind: 'file', ...fields, inode: descriptor.node.inode, position: descriptor.position }
    }
    if (descriptor.kind !== 'directory') return { kind: descriptor.kind, ...fields }
    const directory = { kind: 'directory', ...fields, inode: descriptor.node.inode } as const
    return descriptor.preopen === undefined ? directory : { ...directory, preopen: descriptor.preopen }
  })
}
