// Reading standard input: a program that reads before it comes waits, and can be moved while it waits.
import { FdFlag, Size } from './abi.ts'
import type { Context } from './context.ts'
import type { StreamDescriptor } from './descriptors.ts'
import { Errno } from './errno.ts'
import { type Readable, scatter } from './transfer.ts'
import { BLOCK_AGAIN, MAX_WAIT_MS } from './types.ts'

/** `fd_read` of standard input. The vectors and `result` are in bounds. */
export function readStdin(
  context: Context,
  descriptor: StreamDescriptor,
  vectors: number,
  count: number,
  result: number,
): Errno | typeof BLOCK_AGAIN {
  const { stdin, host, memory } = context
  while (stdin.unread === 0 && !stdin.closed && wantsBytes(context, vectors, count)) {
    if ((descriptor.flags & FdFlag.NONBLOCK) !== 0) return Errno.AGAIN
    if (host.wait(MAX_WAIT_MS)) return BLOCK_AGAIN
  }
  const bytes = stdin.peek()
  const moved = scatter(context, readable(bytes), 0, vectors, count)
  if (moved < 0) return -moved as Errno
  stdin.take(moved)
  memory.setU32(result, moved)
  return Errno.SUCCESS
}

function readable(bytes: Uint8Array): Readable {
  return {
    size: bytes.length,
    read: (from, into, at, length) => into.set(bytes.subarray(from, from + length), at),
  }
}

function wantsBytes({ memory }: Context, vectors: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (memory.u32(vectors + i * Size.IOVEC + 4) > 0) return true
  return false
}
