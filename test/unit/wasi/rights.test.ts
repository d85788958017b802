// Rights and flags of descriptors: handed down by directories, given up, never regained.
import { describe, expect, it } from 'vitest'
import { ALL_RIGHTS, DIRECTORY_RIGHTS, FILE_RIGHTS, Right } from '../../../cells/wasi/abi.ts'
import { Errno } from '../../../cells/wasi/errno.ts'
import { utf8 } from '../../../core/bytes.ts'
import { Guest, Open, ROOT } from './guest.ts'

const files = [{ path: '/d/f', bytes: utf8('hello') }]

/** Type, flags, rights, inheriting. */
function fdstat(guest: Guest, fd: number): [number, number, number, number] {
  expect(guest.call('fd_fdstat_get', fd, 4096)).toBe(0)
  const { view } = guest
  return [view.getUint8(4096), view.getUint16(4098, true), guest.u64(4104), guest.u64(4112)]
}

describe('rights', () => {
  it('say what kind of descriptor it is', () => {
    const guest = new Guest({ files })
    const stream = Right.FD_FDSTAT_SET_FLAGS | Right.FD_FILESTAT_GET | Right.POLL_FD_READWRITE
    expect(fdstat(guest, 0)).toEqual([0, 0, stream | Right.FD_READ, 0])
    expect(fdstat(guest, 1)).toEqual([0, 0, stream | Right.FD_WRITE, 0])
    expect(fdstat(guest, ROOT)).toEqual([3, 0, DIRECTORY_RIGHTS, ALL_RIGHTS])
    expect(fdstat(guest, guest.open('d/f', 0, { fdFlags: 1 }))).toEqual([4, 1, FILE_RIGHTS, 0])
    expect(fdstat(guest, guest.open('d', Open.DIRECTORY))).toEqual([3, 0, DIRECTORY_RIGHTS, ALL_RIGHTS])
  })

  it('of a directory can be asked for again, also without any', () => {
    const guest = new Guest({ files })
    const [, , base, inheriting] = fdstat(guest, ROOT)
    const again = guest.open('.', 0, { rights: BigInt(base), inheriting: BigInt(inheriting) })
    expect(fdstat(guest, again)).toEqual(fdstat(guest, ROOT))
    const bare = guest.open('.', Open.DIRECTORY, { rights: 0n, inheriting: 0n })
    expect(fdstat(guest, bare)).toEqual([3, 0, 0, 0])
    expect(fdstat(guest, guest.open('.', Open.DIRECTORY, { rights: 2n }))[2]).toBe(0)
  })

  it('that a directory does not hand down are not to be had below it', () => {
    const guest = new Guest({ files })
    const reading = BigInt(Right.FD_READ | Right.FD_SEEK | Right.FD_FILESTAT_GET)
    const fd = guest.open('d', Open.DIRECTORY, { inheriting: reading })
    expect(guest.open('f', 0, { fd })).toBe(-Errno.NOTCAPABLE)
    const file = guest.open('f', 0, { fd, rights: reading, inheriting: 0n })
    expect(guest.read(file)).toBe('hello')
    expect(guest.write(file, 'x')).toBe(-Errno.BADF)
    expect(fdstat(guest, file)[2]).toBe(Number(reading))
  })

  it.each([
    ['path_create_directory', Right.PATH_CREATE_DIRECTORY],
    ['path_unlink_file', Right.PATH_UNLINK_FILE],
    ['path_remove_directory', Right.PATH_REMOVE_DIRECTORY],
  ])('%s needs its right', (call, right) => {
    const guest = new Guest({ files })
    const fd = guest.open('d', Open.DIRECTORY)
    expect(guest.call('fd_fdstat_set_rights', fd, BigInt(DIRECTORY_RIGHTS & ~right), BigInt(ALL_RIGHTS))).toBe(0)
    expect(guest.path(call, 'x', fd)).toBe(Errno.NOTCAPABLE)
    expect(guest.path(call, 'x', ROOT)).not.toBe(Errno.NOTCAPABLE)
  })

  it('truncating through a path and through a descriptor are two', () => {
    const guest = new Guest({ files })
    const fd = guest.open('d', Open.DIRECTORY)
    const inheriting = BigInt(ALL_RIGHTS & ~Right.FD_FILESTAT_SET_SIZE)
    expect(guest.call('fd_fdstat_set_rights', fd, BigInt(DIRECTORY_RIGHTS), inheriting)).toBe(0)
    expect(guest.open('f', Open.TRUNC, { fd, rights: 0n, inheriting: 0n })).toBeGreaterThan(fd)
    const base = BigInt(DIRECTORY_RIGHTS & ~Right.PATH_FILESTAT_SET_SIZE)
    expect(guest.call('fd_fdstat_set_rights', fd, base, inheriting)).toBe(0)
    expect(guest.open('f', Open.TRUNC, { fd, rights: 0n, inheriting: 0n })).toBe(-Errno.NOTCAPABLE)
  })

  it('to tell is enough to ask for the position', () => {
    const guest = new Guest({ files })
    const fd = guest.open('d/f', 0, { rights: BigInt(Right.FD_TELL | Right.FD_READ) })
    guest.read(fd, 3)
    expect(guest.seek(fd, 0n, 1)).toBe(3)
    expect(guest.call('fd_tell', fd, 16)).toBe(0)
    expect(guest.seek(fd, 1n, 1)).toBe(-Errno.NOTCAPABLE)
    const seeking = guest.open('d/f', 0, { rights: BigInt(Right.FD_SEEK) })
    expect(guest.call('fd_tell', seeking, 16)).toBe(0)
  })

  it('are kept by a move and by renumbering', () => {
    const guest = new Guest({ files })
    const fd = guest.open('d/f', 0, { rights: 6n, fdFlags: 1 })
    const before = fdstat(guest, fd)
    guest.restore(guest.wasi.state())
    expect(fdstat(guest, fd)).toEqual(before)
    expect(guest.call('fd_renumber', fd, 1)).toBe(0)
    expect(fdstat(guest, 1)).toEqual(before)
  })
})

describe('flags', () => {
  it('switch appending on and off', () => {
    const guest = new Guest({ files })
    const fd = guest.open('d/f', 0, { fdFlags: 1 })
    guest.write(fd, '!')
    expect(guest.call('fd_fdstat_set_flags', fd, 0)).toBe(0)
    guest.seek(fd, 0n, 0)
    guest.write(fd, 'J')
    expect(guest.call('fd_fdstat_set_flags', fd, 1 | 16)).toBe(0)
    guest.write(fd, '?')
    expect(guest.file('/d/f')).toBe('Jello!?')
    expect(fdstat(guest, fd)[1]).toBe(17)
  })

  it('an appending descriptor appends with pwrite too, and keeps its position', () => {
    const guest = new Guest({ files })
    const fd = guest.open('d/f', 0, { fdFlags: 1 })
    guest.text('##', 4096)
    expect(guest.call('fd_pwrite', fd, ...guest.vector(4096, 2), 0n, 8)).toBe(0)
    expect(guest.file('/d/f')).toBe('hello##')
    expect(guest.seek(fd, 0n, 1)).toBe(0)
  })
})
