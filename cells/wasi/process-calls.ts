// Arguments, environment, exit, signals, randomness, and what needs no state at all.
import type { Context } from './context.ts'
import { Errno } from './errno.ts'
import { ExitStatus } from './errors.ts'

/** Random bytes asked for at once: bounds the copy, whatever length the guest names. */
const RANDOM_CHUNK_BYTES = 65_536

/** The highest `signal`. */
const MAX_SIGNAL = 30
/** A shell says of a program that a signal ended: 128 and the signal. */
const EXIT_BY_SIGNAL = 128
/** Those that do nothing by default: none, CHLD, CONT, URG, WINCH. */
const IGNORED_SIGNALS: readonly number[] = [0, 16, 17, 22, 27]
/** Those that stop a process until another one lets it go on: STOP, TSTP, TTIN, TTOU. */
const STOPPING_SIGNALS: readonly number[] = [18, 19, 20, 21]

export function processCalls(context: Context) {
  const { memory, random } = context
  const sizes = (texts: readonly Uint8Array[], count: number, bytes: number): Errno => {
    if (!memory.has(count, 4) || !memory.has(bytes, 4)) return Errno.FAULT
    memory.setU32(count, texts.length)
    memory.setU32(bytes, sizeOf(texts))
    return Errno.SUCCESS
  }
  const copy = (texts: readonly Uint8Array[], pointers: number, buffer: number): Errno => {
    if (!memory.has(pointers, texts.length * 4) || !memory.has(buffer, sizeOf(texts))) return Errno.FAULT
    let at = buffer
    for (const [index, text] of texts.entries()) {
      memory.setU32(pointers + index * 4, at)
      memory.put(at, text)
      at += text.length
    }
    return Errno.SUCCESS
  }
  return {
    args_sizes_get: (count: number, bytes: number): Errno => sizes(context.args, count >>> 0, bytes >>> 0),
    args_get: (pointers: number, buffer: number): Errno => copy(context.args, pointers >>> 0, buffer >>> 0),
    environ_sizes_get: (count: number, bytes: number): Errno => sizes(context.env, count >>> 0, bytes >>> 0),
    environ_get: (pointers: number, buffer: number): Errno => copy(context.env, pointers >>> 0, buffer >>> 0),

    random_get(pointer: number, length: number): Errno {
      const start = pointer >>> 0
      const end = start + (length >>> 0)
      if (!memory.has(start, length >>> 0)) return Errno.FAULT
      for (let at = start; at < end; at += RANDOM_CHUNK_BYTES) {
        memory.put(at, random.bytes(Math.min(RANDOM_CHUNK_BYTES, end - at)))
      }
      context.host.moved?.(end - start)
      return Errno.SUCCESS
    },

    proc_exit(code: number): number {
      throw new ExitStatus(code >>> 0)
    },

    /** WASI knows no handlers, so a signal does what it does by default: most end the program. */
    proc_raise(signal: number): Errno {
      if (signal < 0 || signal > MAX_SIGNAL) return Errno.INVAL
      if (IGNORED_SIGNALS.includes(signal)) return Errno.SUCCESS
      if (STOPPING_SIGNALS.includes(signal)) return Errno.NOTSUP
      throw new ExitStatus(EXIT_BY_SIGNAL + signal)
    },

    sched_yield: (): Errno => Errno.SUCCESS,
  }
}

function sizeOf(texts: readonly Uint8Array[]): number {
  return texts.reduce((sum, text) => sum + text.length, 0)
}
