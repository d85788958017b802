// Files from outside into the tree and back: inputs at start, results at the end.
import { CodedError } from '../../core/errors.ts'
import type { Content } from './content.ts'
import type { WasiErrorCode } from './errors.ts'
import type { DirectoryNode } from './nodes.ts'
import { resolve } from './resolve.ts'
import { MAX_NAME_BYTES, type Tree } from './tree.ts'

/** A file that the program has left. */
export interface ChangedFile {
  readonly path: string
  /** As it is until the program goes on. */
  readonly content: Content
}

/** Puts a file into the tree, with the directories above it; a later file replaces an earlier one. */
export function addInput(tree: Tree, path: string, content: Content, nowUs: number): void {
  const names = path.split('/').slice(1)
  const last = names.pop()
  if (!path.startsWith('/') || last === undefined || ![...names, last].every(isPlainName)) {
    throw refusal(path, 'it is not an absolute path of plain names')
  }
  let directory = tree.root
  for (const name of names) directory = makeDirectory(tree, directory, name, path, nowUs)
  const old = directory.entries.get(last)?.node
  if (old?.kind === 'directory') throw refusal(path, 'a directory stands there')
  tree.unlink(directory, last, nowUs)
  const made = tree.createFile(directory, last, nowUs, content, path)
  if (typeof made === 'number') throw refusal(path, 'it is too long, or there are too many files')
}

/** The directory `name` in `parent`, made when there is none. */
export function makeDirectory(
  tree: Tree,
  parent: DirectoryNode,
  name: string,
  path: string,
  nowUs: number,
): DirectoryNode {
  const node = parent.entries.get(name)?.node
  if (node?.kind === 'directory') return node
  const made = node === undefined ? tree.createDirectory(parent, name, nowUs) : undefined
  if (typeof made === 'object') return made
  throw refusal(path, node === undefined ? 'it is too long, or there are too many directories' : `${name} is a file`)
}

/** The file at the absolute `path`, through links; undefined when there is none. */
export function contentAt(tree: Tree, path: string): Content | undefined {
  const target = resolve(tree.root, tree.root, path, 'follow')
  return typeof target === 'object' && target.node?.kind === 'file' ? target.node.content : undefined
}

/** The files that are not, at their place, an untouched input; in path order. */
export function changedFilesOf(tree: Tree): ChangedFile[] {
  const changed: ChangedFile[] = []
  const visit = (directory: DirectoryNode, prefix: string): void => {
    for (const [name, { node }] of directory.entries) {
      const path = `${prefix}/${name}`
      if (node.kind === 'directory') visit(node, path)
      else if (node.kind === 'file' && node.input !== path) changed.push({ path, content: node.content })
    }
  }
  visit(tree.root, '')
  return changed.sort((a, b) => (a.path < b.path ? -1 : 1))
}

function isPlainName(name: string): boolean {
  return (
    name !== '' && name !== '.' && name !== '..' && !name.includes('\0') && Buffer.byteLength(name) <= MAX_NAME_BYTES
  )
}

function refusal(path: string, why: string): CodedError<WasiErrorCode> {
  return new CodedError('CELL_FILE_PATH_INVALID', `cannot place the input file ${path}: ${why}; give it another path`, {
    facts: { path },
  })
}
