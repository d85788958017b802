// The standard input of a cell: bytes that have come, some of them read, and whether more may come. A program that
// reads before they come waits, and can be moved while it waits.
import { concat } from '../../core/bytes.ts'
import { FdFlag, Size } from './abi.ts'
import type { Context } from './context.ts'
import type { StreamDescriptor } from './descriptors.ts'
import { Errno } from './errno.ts'
import { scatter } from './transfer.ts'
import { BLOCK_AGAIN, MAX_WAIT_MS } from './types.ts'

const NOTHING = new Uint8Array(0)

export class Stdin {
  /** None is empty. */
  readonly #chunks: Uint8Array[] = []
  /** In the first chunk. */
  #position = 0
  #unread = 0
  #read: number
  #closed = false

  /** @param read bytes read before: before the last move */
  constructor(read: number) {
    this.#read = read
  }

  /** Bytes read since the first start. */
  get bytesRead(): number {
    return this.#read
  }

  /** Bytes that have come and were not read. */
  get unread(): number {
    return this.#unread
  }

  get closed(): boolean {
    return this.#closed
  }

  /** `bytes` are kept, not copied. What comes after the end is dropped. */
  append(bytes: Uint8Array): void {
    if (this.#closed || bytes.length === 0) return
    this.#chunks.push(bytes)
    this.#unread += bytes.length
  }

  /** Says that no more will come. */
  close(): void {
    this.#closed = true
  }

  /** Some of the unread bytes, not copied; empty when there are none. */
  peek(): Uint8Array {
    return this.#chunks[0]?.subarray(this.#position) ?? NOTHING
  }

  /** Takes `count` of the bytes that {@link peek} shows. */
  take(count: number): void {
    this.#position += count
    this.#unread -= count
    this.#read += count
    if (this.#position < (this.#chunks[0]?.length ?? 0)) return
    this.#chunks.shift()
    this.#position = 0
  }

  /** All unread bytes, in one piece. */
  rest(): Uint8Array {
    const [, ...more] = this.#chunks
    return more.length === 0 ? this.peek() : concat([this.peek(), ...more])
  }
}

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
  const moved = scatter(context, bytes, bytes.length, 0, vectors, count)
  if (moved < 0) return -moved as Errno
  stdin.take(moved)
  memory.setU32(result, moved)
  return Errno.SUCCESS
}

function wantsBytes({ memory }: Context, vectors: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (memory.u32(vectors + i * Size.IOVEC + 4) > 0) return true
  return false
}
