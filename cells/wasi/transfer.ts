// Scatter and gather: between the guest's vectors of buffers and files or streams. The hot path of every program
// that reads or writes, so it makes no object per call and no view for short pieces.

import type { OutputStream } from '../types.ts'
import { FdFlag, Size } from './abi.ts'
import type { Context } from './context.ts'
import type { FileDescriptor } from './descriptors.ts'
import { Errno } from './errno.ts'
import { StorageError } from './pieces.ts'

/** Buffers in one vector: IOV_MAX of Linux. */
export const MAX_IOVECS = 1024
/** Bytes of one transfer, so that they fit into their result: MAX_RW_COUNT of Linux. */
const MAX_TRANSFER = 0x7ffff000
/** Up to here the buffers of one write go to the host as one piece, bytes. */
const MAX_JOINED_BYTES = 65_536

/** Bytes moved, or an {@link Errno} as its negative. A bad buffer after good ones ends the transfer short. */
export type Transferred = number

const FAULT = -Errno.FAULT

/** What is read from: `Content`, or bytes. */
export interface Readable {
  readonly size: number
  /** Copies `[from, from + length)` to `into` at `at`. */
  read(from: number, into: Uint8Array, at: number, length: number): void
}

/** What a program is told of the error that its call met with: others than of storage are not for it. */
export function storageErrno(error: unknown): Errno {
  if (!(error instanceof StorageError)) throw error
  return error.full ? Errno.NOSPC : Errno.IO
}

/** Reads `content` from `position` on into the buffers at `vectors`. */
export function scatter(
  { memory }: Context,
  content: Readable,
  position: number,
  vectors: number,
  count: number,
): Transferred {
  let total = 0
  for (let i = 0; i < count; i++) {
    // Read and checked one by one: an earlier buffer may lie over this vector.
    const pointer = memory.u32(vectors + i * Size.IOVEC)
    const length = memory.u32(vectors + i * Size.IOVEC + 4)
    if (!memory.has(pointer, length)) return total > 0 ? total : FAULT
    const from = position + total
    const moved = Math.max(0, Math.min(length, content.size - from, MAX_TRANSFER - total))
    try {
      content.read(from, memory.bytes, pointer, moved)
    } catch (error) {
      // Room that is wanted for bytes that are brought back is no affair of who reads.
      if (!(error instanceof StorageError)) throw error
      return total > 0 ? total : -Errno.IO
    } finally {
      memory.onWrite?.(pointer, moved)
    }
    total += moved
    if (moved < length) break
  }
  return total
}

/** Writes the buffers at `vectors` to a file, at `position` or at its end. */
export function gatherToFile(
  { memory, tree, clock }: Context,
  descriptor: FileDescriptor,
  position: number,
  vectors: number,
  count: number,
): Transferred {
  const { node } = descriptor
  const start = (descriptor.flags & FdFlag.APPEND) !== 0 ? node.content.size : position
  const nowUs = clock.realtimeUs()
  let total = 0
  for (let i = 0; i < count; i++) {
    const pointer = memory.u32(vectors + i * Size.IOVEC)
    const length = memory.u32(vectors + i * Size.IOVEC + 4)
    if (!memory.has(pointer, length)) return total > 0 ? total : FAULT
    if (length === 0) continue
    const wanted = Math.min(length, MAX_TRANSFER - total)
    let moved: number
    try {
      moved = tree.write(node, start + total, memory.bytes, pointer, wanted, nowUs)
    } catch (error) {
      return total > 0 ? total : -storageErrno(error)
    }
    total += moved
    if (moved < length) return total > 0 ? total : -Errno.NOSPC
  }
  return total
}

/** Writes the buffers at `vectors` to an output of the cell. */
export function gatherToStream(
  { memory, output }: Context,
  stream: OutputStream,
  vectors: number,
  count: number,
): Transferred {
  let total = 0
  let pieces = 0
  for (let i = 0; i < count; i++) {
    const pointer = memory.u32(vectors + i * Size.IOVEC)
    const length = memory.u32(vectors + i * Size.IOVEC + 4)
    if (!memory.has(pointer, length)) return FAULT
    total = Math.min(MAX_TRANSFER, total + length)
    if (length > 0) pieces++
  }
  const joined = pieces > 1 && total <= MAX_JOINED_BYTES ? new Uint8Array(total) : undefined
  for (let i = 0, at = 0; at < total; i++) {
    const pointer = memory.u32(vectors + i * Size.IOVEC)
    const length = Math.min(total - at, memory.u32(vectors + i * Size.IOVEC + 4))
    if (length === 0) continue
    if (joined === undefined) output.write(stream, memory.bytes, pointer, length)
    else joined.set(memory.bytes.subarray(pointer, pointer + length), at)
    at += length
  }
  if (joined !== undefined) output.write(stream, joined, 0, total)
  return total
}
