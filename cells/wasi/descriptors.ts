// The open descriptors of a cell: plain data, by number. What they refer to is retained in the tree.
import type { OutputStream } from '../types.ts'
import type { DirectoryNode, FileNode } from './nodes.ts'
import type { Tree } from './tree.ts'

/** Open descriptors of one cell: the usual soft limit of Linux. */
export const MAX_DESCRIPTORS = 1024

interface DescriptorFields {
  /** `fdflags`. */
  flags: number
  /** `rights`, base and inheriting. */
  rights: number
  inheriting: number
}

export interface StreamDescriptor extends DescriptorFields {
  readonly kind: 'stdin' | OutputStream
}

export interface FileDescriptor extends DescriptorFields {
  readonly kind: 'file'
  readonly node: FileNode
  position: number
}

export interface DirectoryDescriptor extends DescriptorFields {
  readonly kind: 'directory'
  readonly node: DirectoryNode
  /** The name under which the program finds it at start. */
  readonly preopen: string | undefined
}

export type Descriptor = StreamDescriptor | FileDescriptor | DirectoryDescriptor

export class Descriptors {
  readonly #open: (Descriptor | undefined)[] = []
  readonly #tree: Tree

  constructor(tree: Tree) {
    this.#tree = tree
  }

  get(fd: number): Descriptor | undefined {
    return this.#open[fd]
  }

  isFull(): boolean {
    return this.#lowestFree() >= MAX_DESCRIPTORS
  }

  /** Opens at the lowest free number; undefined when all are taken. */
  add(descriptor: Descriptor): number | undefined {
    const fd = this.#lowestFree()
    if (fd >= MAX_DESCRIPTORS) return undefined
    this.put(fd, descriptor)
    return fd
  }

  #lowestFree(): number {
    let fd = 0
    while (this.#open[fd] !== undefined) fd++
    return fd
  }

  /** Opens at a number that is free. */
  put(fd: number, descriptor: Descriptor): void {
    this.#open[fd] = descriptor
    if ('node' in descriptor) this.#tree.retain(descriptor.node)
  }

  /** False when there is none. */
  close(fd: number): boolean {
    const descriptor = this.#open[fd]
    if (descriptor === undefined) return false
    this.#open[fd] = undefined
    if ('node' in descriptor) this.#tree.release(descriptor.node)
    return true
  }

  /** `from` becomes `to`, what was open there is closed. False unless both are open. */
  renumber(from: number, to: number): boolean {
    const descriptor = this.#open[from]
    if (descriptor === undefined || this.#open[to] === undefined) return false
    if (from === to) return true
    this.close(to)
    this.#open[to] = descriptor
    this.#open[from] = undefined
    return true
  }

  *entries(): Generator<[number, Descriptor]> {
    for (const [fd, descriptor] of this.#open.entries()) if (descriptor !== undefined) yield [fd, descriptor]
  }
}
