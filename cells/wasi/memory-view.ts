// The guest's memory as the calls see it: bounds are asked for before anything happens, so that a bad pointer is
// EFAULT and never an exception. Views are made once per growth of the memory, not per call.
import { Errno } from './errno.ts'

/** Longest path of one call, bytes: Linux' PATH_MAX. */
const MAX_PATH_BYTES = 4096
/** Up to here a loop beats making a view for `set`, bytes. */
const SHORT_COPY = 32
const TWO_32 = 4294967296

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** An i64 argument; a non-bigint (a mistyped import) counts as 0. */
export function big(value: unknown): bigint {
  return typeof value === 'bigint' ? value : 0n
}

/** Unsigned value of an i64 argument, rounded to a double; a non-bigint (a mistyped import) counts as 0. */
export function u64(value: unknown): number {
  return typeof value === 'bigint' ? Number(BigInt.asUintN(64, value)) : 0
}

/** Signed value of an i64 argument, rounded to a double. */
export function i64(value: unknown): number {
  return typeof value === 'bigint' ? Number(BigInt.asIntN(64, value)) : 0
}

export class MemoryView {
  /** Called after every write, with where it was: for whoever keeps track of changed pages. */
  onWrite: ((pointer: number, length: number) => void) | undefined
  #memory: WebAssembly.Memory | undefined
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0)
  #view: DataView<ArrayBuffer> = new DataView(new ArrayBuffer(0))

  bind(memory: WebAssembly.Memory): void {
    this.#memory = memory
    this.#refresh()
  }

  /** The whole memory, for reading. Not to be kept beyond the call. */
  get bytes(): Uint8Array<ArrayBuffer> {
    // A memory that grew has detached its old buffer, and a view of that is empty: cheaper than asking for the buffer.
    if (this.#bytes.length === 0) this.#refresh()
    return this.#bytes
  }

  get #data(): DataView<ArrayBuffer> {
    if (this.#bytes.length === 0) this.#refresh()
    return this.#view
  }

  #refresh(): void {
    if (this.#memory === undefined) return
    this.#bytes = new Uint8Array(this.#memory.buffer)
    this.#view = new DataView(this.#memory.buffer)
  }

  /** Whether `length` bytes from `pointer` are in memory. Both are unsigned already (`>>> 0`). */
  has(pointer: number, length: number): boolean {
    return pointer + length <= this.bytes.length
  }

  u8(pointer: number): number {
    return this.#data.getUint8(pointer)
  }

  u16(pointer: number): number {
    return this.#data.getUint16(pointer, true)
  }

  u32(pointer: number): number {
    return this.#data.getUint32(pointer, true)
  }

  /** Rounded to a double. */
  u64(pointer: number): number {
    return this.u32(pointer) + this.u32(pointer + 4) * TWO_32
  }

  setU8(pointer: number, value: number): void {
    this.#data.setUint8(pointer, value)
    this.onWrite?.(pointer, 1)
  }

  setU16(pointer: number, value: number): void {
    this.#data.setUint16(pointer, value, true)
    this.onWrite?.(pointer, 2)
  }

  setU32(pointer: number, value: number): void {
    this.#data.setUint32(pointer, value, true)
    this.onWrite?.(pointer, 4)
  }

  /** `value` is a safe integer, not negative. */
  setU64(pointer: number, value: number): void {
    this.setU32(pointer, value % TWO_32)
    this.setU32(pointer + 4, Math.floor(value / TWO_32))
  }

  setBigU64(pointer: number, value: bigint): void {
    this.#data.setBigUint64(pointer, value, true)
    this.onWrite?.(pointer, 8)
  }

  /** Microseconds as u64 nanoseconds: exact although the product passes 2^53, and without a bigint. */
  setNanoseconds(pointer: number, us: number): void {
    const low = (us % TWO_32) * 1000
    this.setU32(pointer, low % TWO_32)
    this.setU32(pointer + 4, Math.floor(us / TWO_32) * 1000 + Math.floor(low / TWO_32))
  }

  fill(pointer: number, length: number): void {
    this.bytes.fill(0, pointer, pointer + length)
    this.onWrite?.(pointer, length)
  }

  /** Writes `source[from, from + length)`, which must be in bounds on both sides. */
  put(pointer: number, source: Uint8Array, from = 0, length = source.length - from): void {
    const { bytes } = this
    if (length <= SHORT_COPY) for (let i = 0; i < length; i++) bytes[pointer + i] = source[from + i] ?? 0
    else if (length === source.length) bytes.set(source, pointer)
    else bytes.set(source.subarray(from, from + length), pointer)
    this.onWrite?.(pointer, length)
  }

  /** A path or link target of the guest, or what is wrong with it. */
  path(pointer: number, length: number): string | Errno {
    if (length > MAX_PATH_BYTES) return Errno.NAMETOOLONG
    if (!this.has(pointer, length)) return Errno.FAULT
    if (length === 0) return Errno.NOENT
    try {
      const path = decoder.decode(this.bytes.subarray(pointer, pointer + length))
      return path.includes('\0') ? Errno.INVAL : path
    } catch {
      return Errno.ILSEQ
    }
  }
}
