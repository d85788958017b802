// Timestamps: exact to the nanosecond, set as the flags say, changed by what changes files and names.
import { describe, expect, it } from 'vitest'
import { utf8 } from '../../../core/bytes.ts'
import { Guest, Open, ROOT } from './guest.ts'

const files = [{ path: '/d/f', bytes: utf8('hello') }]
const START = 1_700_000_000_000_000_000n
const MS = 1_000_000n

/** Access, modification, change. */
function times(guest: Guest, path: string, follow = 0): [bigint, bigint, bigint] {
  expect(guest.call('path_filestat_get', ROOT, follow, ...guest.text(path), 4096)).toBe(0)
  const { view } = guest
  return [view.getBigUint64(4136, true), view.getBigUint64(4144, true), view.getBigUint64(4152, true)]
}

const [ATIM, ATIM_NOW, MTIM, MTIM_NOW] = [1, 2, 4, 8]

describe('setting times', () => {
  it.each([
    [0, 0n, 0n],
    [ATIM, 11n, 0n],
    [MTIM, 0n, 22n],
    [ATIM | MTIM, 11n, 22n],
    [ATIM_NOW, 5n * MS, 0n],
    [MTIM_NOW, 0n, 5n * MS],
    [ATIM_NOW | MTIM_NOW, 5n * MS, 5n * MS],
    [ATIM | MTIM_NOW, 11n, 5n * MS],
  ])('with flags %d', (flags, atime, mtime) => {
    const absolute = (value: bigint): bigint => (value === 11n || value === 22n ? value : START + value)
    for (const [index, call] of ['path_filestat_set_times', 'fd_filestat_set_times'].entries()) {
      const guest = new Guest({ files })
      const fd = guest.open('d/f')
      guest.clock.advance(5)
      const where = index === 0 ? [ROOT, 0, ...guest.text('d/f')] : [fd]
      expect(guest.call(call, ...where, 11n, 22n, flags)).toBe(0)
      expect(times(guest, 'd/f')).toEqual([absolute(atime), absolute(mtime), flags === 0 ? START : START + 5n * MS])
    }
  })

  it.each([0n, 1n, 999n, START - 100n, 2n ** 63n, 2n ** 64n - 1n])('keeps %d ns exactly, over a move too', (ns) => {
    const guest = new Guest({ files })
    const path = guest.text('d/f')
    expect(guest.call('path_filestat_set_times', ROOT, 0, ...path, ns, ns, ATIM | MTIM)).toBe(0)
    guest.restore(guest.wasi.state())
    expect(times(guest, 'd/f').slice(0, 2)).toEqual([ns, ns])
  })

  it('of a link or of what it leads to, as the lookup flags say', () => {
    const guest = new Guest({ files })
    guest.symlink('d/f', 'l')
    const set = (lookup: number, ns: bigint): number =>
      guest.call('path_filestat_set_times', ROOT, lookup, ...guest.text('l'), 0n, ns, MTIM)
    expect(set(0, 1n)).toBe(0)
    expect([times(guest, 'l')[1], times(guest, 'd/f')[1]]).toEqual([1n, START])
    expect(set(1, 2n)).toBe(0)
    expect([times(guest, 'l')[1], times(guest, 'd/f')[1], times(guest, 'l', 1)[1]]).toEqual([1n, 2n, 2n])
  })
})

describe('times are changed', () => {
  const changed = (act: (guest: Guest) => void): Record<string, string> => {
    const guest = new Guest({ files })
    const fd = guest.open('d/f')
    expect(fd).toBe(4)
    guest.clock.advance(1)
    act(guest)
    const of = (path: string): string =>
      times(guest, path)
        .map((time, index) => (time === START ? '' : ('amc'[index] ?? '')))
        .join('')
    return { d: of('d'), f: guest.file('/d/f') === undefined ? 'gone' : of('d/f') }
  }

  it.each<[string, (guest: Guest) => void, Record<string, string>]>([
    ['not by reading', (guest) => guest.read(4), { d: '', f: '' }],
    ['by writing', (guest) => guest.write(4, 'x'), { d: '', f: 'mc' }],
    ['by resizing', (guest) => guest.call('fd_filestat_set_size', 4, 9n), { d: '', f: 'mc' }],
    ['by truncating', (guest) => guest.open('d/f', Open.TRUNC), { d: '', f: 'mc' }],
    ['by a new name', (guest) => guest.open('d/new', Open.CREAT), { d: 'mc', f: '' }],
    ['by renaming', (guest) => guest.rename('d/f', 'g'), { d: 'mc', f: 'gone' }],
    ['by renaming here', (guest) => [guest.rename('d/f', 'd/g'), guest.rename('d/g', 'd/f')], { d: 'mc', f: 'c' }],
    [
      'by linking',
      (guest) => guest.call('path_link', ROOT, 0, ...guest.text('d/f'), ROOT, ...guest.text('h', 6000)),
      { d: '', f: 'c' },
    ],
    ['by unlinking', (guest) => guest.path('path_unlink_file', 'd/f'), { d: 'mc', f: 'gone' }],
  ])('%s', (_, act, expected) => {
    expect(changed(act)).toEqual(expected)
  })
})
