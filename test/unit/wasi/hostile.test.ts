// A hostile program: whatever it passes, a call answers with an errno, throws nothing of the host's, and takes little.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Errno } from '../../../cells/wasi/errno.ts'
import { ExitStatus, LimitExceeded } from '../../../cells/wasi/index.ts'
import { directoryNode } from '../../../cells/wasi/nodes.ts'
import { Tree } from '../../../cells/wasi/tree.ts'
import { Guest, Open } from './guest.ts'

/** The calls of preview1 with their parameters: i32 or i64. */
const SIGNATURES: Readonly<Record<string, string>> = {
  args_get: 'ii',
  args_sizes_get: 'ii',
  environ_get: 'ii',
  environ_sizes_get: 'ii',
  clock_res_get: 'ii',
  clock_time_get: 'iIi',
  fd_advise: 'iIIi',
  fd_allocate: 'iII',
  fd_close: 'i',
  fd_datasync: 'i',
  fd_fdstat_get: 'ii',
  fd_fdstat_set_flags: 'ii',
  fd_fdstat_set_rights: 'iII',
  fd_filestat_get: 'ii',
  fd_filestat_set_size: 'iI',
  fd_filestat_set_times: 'iIIi',
  fd_pread: 'iiiIi',
  fd_prestat_get: 'ii',
  fd_prestat_dir_name: 'iii',
  fd_pwrite: 'iiiIi',
  fd_read: 'iiii',
  fd_readdir: 'iiiIi',
  fd_renumber: 'ii',
  fd_seek: 'iIii',
  fd_sync: 'i',
  fd_tell: 'ii',
  fd_write: 'iiii',
  path_create_directory: 'iii',
  path_filestat_get: 'iiiii',
  path_filestat_set_times: 'iiiiIIi',
  path_link: 'iiiiiii',
  path_open: 'iiiiiIIii',
  path_readlink: 'iiiiii',
  path_remove_directory: 'iii',
  path_rename: 'iiiiii',
  path_symlink: 'iiiii',
  path_unlink_file: 'iii',
  poll_oneoff: 'iiii',
  proc_exit: 'i',
  proc_raise: 'i',
  random_get: 'ii',
  sched_yield: '',
  sock_accept: 'iii',
  sock_recv: 'iiiiii',
  sock_send: 'iiiii',
  sock_shutdown: 'ii',
}

const MEMORY = 131_072
const i32 = fc.oneof(
  fc.nat(8),
  fc.nat(MEMORY + 64),
  fc.constantFrom(MEMORY - 4, MEMORY - 8, MEMORY, -1, -8, 2 ** 31 - 1, -(2 ** 31)),
)
const i64 = fc.oneof(fc.bigInt({ min: 0n, max: 64n }), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))

const step = fc.constantFrom(...Object.entries(SIGNATURES)).chain(([name, signature]) =>
  fc.record({
    name: fc.constant(name),
    args: fc.tuple(...Array.from(signature, (kind): fc.Arbitrary<number | bigint> => (kind === 'i' ? i32 : i64))),
  }),
)

function prepared(): Guest {
  const guest = new Guest({ stdin: 'input', wait: () => true })
  guest.open('a', Open.CREAT)
  guest.path('path_create_directory', 'b')
  // Small numbers everywhere: so that much of memory makes plausible vectors, paths and subscriptions.
  const memory = new Uint8Array(guest.memory.buffer)
  for (let at = 0; at < memory.length; at++) memory[at] = at % 5 === 0 ? 97 + (at % 3) : at % 7 === 0 ? 47 : 0
  return guest
}

describe('hostile calls', () => {
  it('there are all calls of preview1 and no others', () => {
    expect(Object.keys(new Guest().wasi.imports()).sort()).toEqual(Object.keys(SIGNATURES).sort())
  })

  it('any arguments in any order give an errno or end the program', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
        const guest = prepared()
        for (const { name, args } of steps) {
          try {
            const errno = guest.call(name, ...args)
            expect(Number.isInteger(errno) && errno >= -1 && errno <= 76).toBe(true)
          } catch (error) {
            if (!(error instanceof ExitStatus) && !(error instanceof LimitExceeded)) throw error
          }
        }
        expect(guest.wasi.diskBytes()).toBeLessThanOrEqual(65_536)
        expect(guest.wasi.diskBytes()).toBeGreaterThanOrEqual(0)
        guest.restore(guest.wasi.state())
      }),
      { numRuns: 400 },
    )
  })

  it('pointers outside memory are FAULT', () => {
    const guest = new Guest({ args: ['x'], env: { A: 'b' } })
    const fd = guest.open('a', Open.CREAT)
    const end = MEMORY - 3
    expect(guest.call('args_get', end, 0)).toBe(Errno.FAULT)
    expect(guest.call('environ_get', 0, -1)).toBe(Errno.FAULT)
    expect(guest.call('clock_time_get', 1, 0n, MEMORY - 7)).toBe(Errno.FAULT)
    expect(guest.call('random_get', 1, MEMORY)).toBe(Errno.FAULT)
    expect(guest.call('fd_write', fd, end, 1, 8)).toBe(Errno.FAULT)
    expect(guest.call('fd_write', 1, ...guest.vector(MEMORY, 1), 8)).toBe(Errno.FAULT)
    expect(guest.call('fd_write', fd, ...guest.vector(-1, 1), 8)).toBe(Errno.FAULT)
    expect(guest.call('fd_read', 0, ...guest.vector(MEMORY, 1), 8)).toBe(Errno.FAULT)
    expect(guest.call('fd_write', fd, 512, 1025, 8)).toBe(Errno.INVAL)
    expect(guest.call('path_open', 3, 0, ...guest.text('new'), Open.CREAT, 0n, 0n, 0, end)).toBe(Errno.FAULT)
    expect(guest.file('/new')).toBeUndefined()
    expect(guest.call('fd_readdir', 3, 0, -1, 0n, 8)).toBe(Errno.FAULT)
    expect(guest.file('/a')).toBe('')
  })

  it('a vector that a read overwrites is looked at again before it is used', () => {
    const guest = new Guest({ stdin: '\xff'.repeat(40) })
    guest.view.setUint32(512, 520, true)
    guest.view.setUint32(516, 8, true)
    guest.view.setUint32(520, 4096, true)
    guest.view.setUint32(524, 4, true)
    expect(guest.call('fd_read', 0, 512, 2, 8)).toBe(0)
    expect(guest.u32(8)).toBe(8)
  })

  it('a thousand copies of one long buffer end at the limit, in bounded pieces', () => {
    const guest = new Guest({ outputBytes: 3_000_000 })
    for (let i = 0; i < 1024; i++) {
      guest.view.setUint32(16_384 + i * 8, 0, true)
      guest.view.setUint32(16_388 + i * 8, MEMORY, true)
    }
    expect(() => guest.call('fd_write', 1, 16_384, 1024, 8)).toThrow(LimitExceeded)
    expect(guest.wasi.outputBytes()).toBe(3_000_000)
  })

  it('names are limited where bytes are not', () => {
    const tree = new Tree({ diskBytes: 0, root: directoryNode(1, 0), nextInode: 2 })
    let made = 0
    while (typeof tree.createFile(tree.root, `l${made}`, 0) === 'object') made++
    expect(made).toBe(65_536)
    expect(tree.createDirectory(tree.root, 'd', 0)).toBe(Errno.NOSPC)
    tree.unlink(tree.root, 'l0', 0)
    expect(tree.createFile(tree.root, 'f', 0)).toMatchObject({ kind: 'file' })
  })

  it('memory that grows between two calls is seen', () => {
    const guest = new Guest()
    const fd = guest.open('a', Open.CREAT)
    expect(guest.write(fd, 'before')).toBe(6)
    guest.memory.grow(1)
    expect(guest.call('fd_write', fd, ...guest.vector(...guest.text(' after', MEMORY + 8)), 8)).toBe(0)
    expect(guest.file('/a')).toBe('before after')
  })

  it('exit codes are unsigned', () => {
    const guest = new Guest()
    expect(() => guest.call('proc_exit', -1)).toThrow(expect.objectContaining({ exitCode: 4_294_967_295 }))
  })
})
