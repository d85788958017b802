// Paths to nodes: from one directory downwards, through symbolic links, and never above that directory.
import { Errno } from './errno.ts'
import type { DirectoryNode, Node } from './nodes.ts'
import { MAX_NAME_BYTES } from './tree.ts'

/** Links followed in one resolution: MAXSYMLINKS of Linux. */
const MAX_LINKS = 40

/** Where a path leads. */
export interface Target {
  /** The directory of the last name; undefined when the path ends in `.`, `..` or the base itself. */
  readonly parent: DirectoryNode | undefined
  readonly name: string
  /** What stands there; undefined when only the last name is missing. */
  readonly node: Node | undefined
  /** The path ended in a slash. */
  readonly directoryWanted: boolean
}

/**
 * What a link at the end of a path is: `follow`ed; the `link` itself, unless a slash follows; or, where a `name` is made
 * or taken away, that name and whatever stands there, a slash behind it or not.
 */
export type Ending = 'follow' | 'link' | 'name'

/**
 * Resolves `path` below `base`. Absolute paths and link targets need `base` to be the root: elsewhere they, and every
 * `..` above the base, are NOTCAPABLE.
 */
export function resolve(root: DirectoryNode, base: DirectoryNode, path: string, ending: Ending): Target | Errno {
  if (path.startsWith('/') && base !== root) return Errno.NOTCAPABLE
  const pending = namesOf(path)
  let directoryWanted = path.endsWith('/')
  let current = base
  let links = 0
  for (;;) {
    const name = pending.pop()
    if (name === undefined) return { parent: undefined, name: '.', node: current, directoryWanted }
    if (name === '.') continue
    if (name === '..') {
      if (current === base || current.parent === undefined) return Errno.NOTCAPABLE
      current = current.parent
      continue
    }
    const last = pending.length === 0
    const node = current.entries.get(name)?.node
    if (node === undefined) {
      if (isTooLong(name)) return Errno.NAMETOOLONG
      return last ? { parent: current, name, node, directoryWanted } : Errno.NOENT
    }
    if (node.kind === 'link' && (!last || ending === 'follow' || (ending === 'link' && directoryWanted))) {
      if (++links > MAX_LINKS) return Errno.LOOP
      if (node.target.startsWith('/')) {
        if (base !== root) return Errno.NOTCAPABLE
        current = root
      }
      pending.push(...namesOf(node.target))
      if (last && node.target.endsWith('/')) directoryWanted = true
    } else if (last) {
      if (directoryWanted && node.kind !== 'directory' && ending !== 'name') return Errno.NOTDIR
      return { parent: current, name, node, directoryWanted }
    } else if (node.kind === 'directory') current = node
    else return Errno.NOTDIR
  }
}

/** The names in `path`, the last one first. */
function namesOf(path: string): string[] {
  const names = path.split('/')
  return names.includes('') ? names.filter((name) => name !== '').reverse() : names.reverse()
}

/** Three bytes of UTF-8 at most come from one UTF-16 unit. */
function isTooLong(name: string): boolean {
  return name.length * 3 > MAX_NAME_BYTES && Buffer.byteLength(name) > MAX_NAME_BYTES
}
