// A program's side of the WASI without a program: memory to put things into, and the calls to make.

import type { CellFile, OutputStream } from '../../../cells/types.ts'
import { type PiecePool, type ReceivedContents, Wasi, type WasiSurroundings } from '../../../cells/wasi/index.ts'
import { fromUtf8, utf8 } from '../../../core/bytes.ts'
import type { Clock } from '../../../core/clock.ts'
import { seededRandom } from '../../../core/random.ts'

export const ALL = 2n ** 30n - 1n
const FD_WRITE = 64n
export const ROOT = 3

export const Open = { CREAT: 1, DIRECTORY: 2, EXCL: 4, TRUNC: 8 } as const

/** Time that moves only when a test or a waiting call moves it. */
export class ManualClock implements Clock {
  ms = 1_700_000_000_000
  monoMs = 5000.25

  now(): number {
    return this.ms
  }

  mono(): number {
    return this.monoMs
  }

  after(): never {
    throw new Error('nothing here waits on timers')
  }

  advance(ms: number): void {
    this.ms += ms
    this.monoMs += ms
  }
}

/** How a wait ends: `ms` later, with or without a stop request. */
export function passing(clock: ManualClock, ms: number, stop: boolean): boolean {
  clock.advance(ms)
  return stop
}

export interface GuestInit {
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly files?: readonly CellFile[]
  readonly stdin?: string
  readonly stdinOpen?: boolean
  readonly randomSeed?: Uint8Array
  readonly cpuMs?: () => number
  readonly outputBytes?: number
  readonly diskBytes?: number
  readonly pool?: PiecePool
  /** Decides how a wait of `ms` ends; by default time just passes. */
  readonly wait?: (ms: number, clock: ManualClock) => boolean
}

export class Guest {
  readonly clock = new ManualClock()
  readonly output: { stream: OutputStream; offset: number; text: string }[] = []
  readonly waits: number[] = []
  readonly memory = new WebAssembly.Memory({ initial: 2 })
  readonly surroundings: WasiSurroundings
  wasi: Wasi

  constructor(init: GuestInit = {}) {
    const wait = init.wait ?? ((ms, clock) => passing(clock, ms, false))
    this.surroundings = {
      limits: { outputBytes: init.outputBytes ?? 65_536, diskBytes: init.diskBytes ?? 65_536 },
      clock: this.clock,
      pool: init.pool,
      cpuMs: init.cpuMs,
      random: seededRandom(1),
      host: {
        output: (stream, offset, bytes) => this.output.push({ stream, offset, text: fromUtf8(bytes) }),
        wait: (ms) => {
          this.waits.push(ms)
          return wait(ms, this.clock)
        },
      },
    }
    this.wasi = new Wasi({
      ...this.surroundings,
      args: init.args ?? ['guest'],
      env: init.env ?? {},
      files: init.files ?? [],
      stdin: utf8(init.stdin ?? ''),
      stdinOpen: init.stdinOpen,
      randomSeed: init.randomSeed,
    })
    this.wasi.bind(this.memory)
  }

  /** As after a move: another WASI from the state, on the same memory. */
  restore(state: unknown, contents?: ReceivedContents): void {
    this.wasi = Wasi.restore(state, this.surroundings, contents)
    this.wasi.bind(this.memory)
  }

  call(name: string, ...args: (number | bigint)[]): number {
    const call = this.wasi.imports()[name] as ((...args: (number | bigint)[]) => number) | undefined
    if (call === undefined) throw new Error(`there is no ${name}`)
    const expected = new Uint8Array(this.memory.buffer.slice(0))
    this.wasi.onWrite((pointer, length) => {
      expected.set(new Uint8Array(this.memory.buffer, pointer, length), pointer)
    })
    const result = call(...args)
    // Whoever copies the memory while the program runs learns of writes in no other way.
    if (Buffer.compare(expected, new Uint8Array(this.memory.buffer)) !== 0) throw new Error(`${name} wrote unreported`)
    return result
  }

  get view(): DataView {
    return new DataView(this.memory.buffer)
  }

  u32(at: number): number {
    return this.view.getUint32(at, true)
  }

  u64(at: number): number {
    return Number(this.view.getBigUint64(at, true))
  }

  /** Puts `text` at `at`; the two arguments by which calls take it. */
  text(text: string, at = 1024): [pointer: number, length: number] {
    const bytes = utf8(text)
    new Uint8Array(this.memory.buffer).set(bytes, at)
    return [at, bytes.length]
  }

  textAt(pointer: number, length: number): string {
    return fromUtf8(new Uint8Array(this.memory.buffer, pointer, length))
  }

  /** A vector with one buffer; the two arguments by which calls take it. */
  vector(pointer: number, length: number): [vectors: number, count: number] {
    this.view.setUint32(512, pointer, true)
    this.view.setUint32(516, length, true)
    return [512, 1]
  }

  /** The descriptor, or the errno as its negative. */
  open(
    path: string,
    flags = 0,
    init: { fd?: number; rights?: bigint; inheriting?: bigint; fdFlags?: number; follow?: number } = {},
  ): number {
    const { fd = ROOT, fdFlags = 0, follow = 1, inheriting = ALL } = init
    const rights = init.rights ?? ((flags & Open.DIRECTORY) === 0 ? ALL : ALL & ~FD_WRITE)
    const errno = this.call('path_open', fd, follow, ...this.text(path), flags, rights, inheriting, fdFlags, 8)
    return errno === 0 ? this.u32(8) : -errno
  }

  write(fd: number, text: string): number {
    const errno = this.call('fd_write', fd, ...this.vector(...this.text(text, 4096)), 8)
    return errno === 0 ? this.u32(8) : -errno
  }

  read(fd: number, length = 1000): string | number {
    const errno = this.call('fd_read', fd, ...this.vector(4096, length), 8)
    return errno === 0 ? this.textAt(4096, this.u32(8)) : -errno
  }

  seek(fd: number, offset: bigint, whence: number): number {
    const errno = this.call('fd_seek', fd, offset, whence, 16)
    return errno === 0 ? this.u64(16) : -errno
  }

  path(name: string, path: string, fd = ROOT): number {
    return this.call(name, fd, ...this.text(path))
  }

  rename(from: string, to: string): number {
    return this.call('path_rename', ROOT, ...this.text(from), ROOT, ...this.text(to, 6000))
  }

  symlink(target: string, path: string, fd = ROOT): number {
    return this.call('path_symlink', ...this.text(target, 6000), fd, ...this.text(path))
  }

  file(path: string): string | undefined {
    const bytes = this.wasi.contentOf(path)?.bytes()
    return bytes === undefined ? undefined : fromUtf8(bytes)
  }

  /** Names from `cookie` on, with the cookie after each. */
  list(fd: number, cookie = 0n, room = 4096): [name: string, cookie: bigint][] {
    const errno = this.call('fd_readdir', fd, 8192, room, cookie, 8)
    if (errno !== 0) throw new Error(`errno ${errno}`)
    const out: [string, bigint][] = []
    const end = 8192 + this.u32(8)
    for (let at = 8192; at + 24 <= end; ) {
      const length = this.u32(at + 16)
      if (at + 24 + length > end) break
      out.push([this.textAt(at + 24, length), this.view.getBigUint64(at, true)])
      at += 24 + length
    }
    return out
  }
}
