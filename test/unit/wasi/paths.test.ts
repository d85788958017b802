// Names: directories, renaming, links, listing, and that no path leads above its directory.
import { describe, expect, it } from 'vitest'
import { Errno } from '../../../cells/wasi/errno.ts'
import { utf8 } from '../../../core/bytes.ts'
import { Guest, Open, ROOT } from './guest.ts'

const files = [
  { path: '/jail/inner/secret', bytes: utf8('inside') },
  { path: '/outside', bytes: utf8('outside') },
]

describe('escapes', () => {
  it.each(['..', '../outside', 'inner/../../outside', '/outside', 'up', 'abs', 'inner/deep', 'self/../../outside'])(
    '%s does not leave the directory',
    (path) => {
      const guest = new Guest({ files })
      const jail = guest.open('jail', Open.DIRECTORY)
      expect(guest.symlink('../outside', 'jail/up')).toBe(0)
      expect(guest.symlink('/outside', 'jail/abs')).toBe(0)
      expect(guest.symlink('../../outside', 'jail/inner/deep')).toBe(0)
      expect(guest.symlink('.', 'jail/self')).toBe(0)
      expect(guest.open(path, 0, { fd: jail })).toBe(-Errno.NOTCAPABLE)
      expect(guest.open(path, Open.CREAT, { fd: jail })).toBe(-Errno.NOTCAPABLE)
    },
  )

  it('the same links work from the root', () => {
    const guest = new Guest({ files })
    guest.symlink('../outside', 'jail/up')
    guest.symlink('/outside', 'jail/abs')
    expect(guest.read(guest.open('jail/up'))).toBe('outside')
    expect(guest.read(guest.open('/jail/abs'))).toBe('outside')
    expect(guest.open('jail/abs', 0, { follow: 0 })).toBe(-Errno.LOOP)
    expect(guest.open('..', Open.DIRECTORY)).toBe(-Errno.NOTCAPABLE)
  })

  it('refuses endless links, long paths, and texts that are none', () => {
    const guest = new Guest()
    guest.symlink('b', 'a')
    guest.symlink('a', 'b')
    expect(guest.open('a')).toBe(-Errno.LOOP)
    expect(guest.open('x/'.repeat(2049))).toBe(-Errno.NAMETOOLONG)
    expect(guest.open('ü'.repeat(128), Open.CREAT)).toBe(-Errno.NAMETOOLONG)
    expect(guest.open('ü'.repeat(127), Open.CREAT)).toBe(4)
    expect(guest.open('a\0b')).toBe(-Errno.INVAL)
    expect(guest.open('')).toBe(-Errno.NOENT)
    new Uint8Array(guest.memory.buffer).set([0x66, 0xff], 1024)
    expect(guest.call('path_unlink_file', ROOT, 1024, 2)).toBe(Errno.ILSEQ)
  })
})

describe('directories', () => {
  it('nest no deeper than a walk may recurse, also by renaming', () => {
    const guest = new Guest()
    const make = (first: string): number => {
      let depth = 0
      for (let path = first; guest.path('path_create_directory', path) === 0; path += '/d') depth++
      return depth
    }
    expect(make('x')).toBe(128)
    expect(guest.path('path_create_directory', 'y')).toBe(0)
    expect(guest.rename('x', 'y/x')).toBe(Errno.NAMETOOLONG)
    expect(guest.rename('x', 'z')).toBe(0)
  })

  it('have paths no longer than can be told, also through descriptors, links and renaming', () => {
    const guest = new Guest()
    const name = 'n'.repeat(200)
    let fd = ROOT
    for (let depth = 0; depth < 5; depth++) {
      expect(guest.path('path_create_directory', name, fd)).toBe(0)
      fd = guest.open(name, Open.DIRECTORY, { fd })
    }
    const [fits, long] = ['f'.repeat(18), 'f'.repeat(19)]
    expect(guest.open(long, Open.CREAT, { fd })).toBe(-Errno.NAMETOOLONG)
    expect(guest.open(fits, Open.CREAT, { fd })).toBeGreaterThan(fd)
    expect(guest.path('path_create_directory', long, fd)).toBe(Errno.NAMETOOLONG)
    expect(guest.symlink('x', long, fd)).toBe(Errno.NAMETOOLONG)
    expect(guest.rename(name, `${name}n`)).toBe(Errno.NAMETOOLONG)
    expect(guest.rename(name, 'short')).toBe(0)
    expect(guest.rename('short', 'longer')).toBe(0)
    expect(guest.open(long, Open.CREAT, { fd })).toBeGreaterThan(fd)
    guest.restore(guest.wasi.state())
    const [file] = guest.wasi.changedFiles().map(({ path }) => path.length)
    expect(file).toBe(830)
  })

  it('cannot be moved into themselves, also through a descriptor below', () => {
    const guest = new Guest()
    guest.path('path_create_directory', 'a')
    guest.path('path_create_directory', 'a/b')
    const below = guest.open('a/b', Open.DIRECTORY)
    expect(guest.rename('a', 'a/b/c')).toBe(Errno.INVAL)
    expect(guest.call('path_rename', ROOT, ...guest.text('a'), below, ...guest.text('c', 6000))).toBe(Errno.INVAL)
    expect(guest.path('path_remove_directory', 'a')).toBe(Errno.NOTEMPTY)
    expect(guest.path('path_remove_directory', 'a/b')).toBe(0)
    expect(guest.open('new', Open.CREAT, { fd: below })).toBe(-Errno.NOENT)
    expect(guest.list(below).map(([name]) => name)).toEqual(['.', '..'])
  })

  it('cookies stay valid while entries go and come', () => {
    const guest = new Guest()
    const names = Array.from({ length: 50 }, (_, i) => `file-${i}`)
    guest.path('path_create_directory', 'd')
    for (const name of names) guest.call('fd_close', guest.open(`d/${name}`, Open.CREAT))
    const fd = guest.open('d', Open.DIRECTORY)
    const seen: string[] = []
    let cookie = 0n
    for (let turn = 0; ; turn++) {
      const page = guest.list(fd, cookie, 200)
      if (page.length === 0) break
      for (const [name, next] of page) {
        cookie = next
        if (!name.startsWith('file-')) continue
        seen.push(name)
        guest.path('path_unlink_file', `d/${name}`)
      }
      if (turn === 3) guest.open('d/late', Open.CREAT)
      if (page.some(([name]) => name === 'late')) expect(cookie).toBe(53n)
    }
    expect(seen).toEqual(names)
    expect(guest.list(fd).map(([name]) => name)).toEqual(['.', '..', 'late'])
  })

  it('cuts the last entry off when the buffer ends', () => {
    const guest = new Guest()
    guest.open('a-rather-long-name', Open.CREAT)
    expect(guest.call('fd_readdir', ROOT, 8192, 30, 2n, 8)).toBe(0)
    expect(guest.u32(8)).toBe(30)
    expect(guest.u32(8192 + 16)).toBe(3)
    expect(guest.textAt(8192 + 24, 3)).toBe('tmp')
  })
})

describe('links', () => {
  it('a second name is the same file, and the first may go', () => {
    const guest = new Guest({ files })
    expect(guest.call('path_link', ROOT, 0, ...guest.text('outside'), ROOT, ...guest.text('again', 6000))).toBe(0)
    guest.write(guest.open('again'), 'OUT')
    expect(guest.file('/outside')).toBe('OUTside')
    expect(guest.wasi.diskBytes()).toBe(13)
    expect(guest.path('path_unlink_file', 'outside')).toBe(0)
    expect(guest.file('/again')).toBe('OUTside')
    expect(guest.wasi.diskBytes()).toBe(13)
    expect(guest.call('path_link', ROOT, 0, ...guest.text('jail'), ROOT, ...guest.text('j', 6000))).toBe(Errno.PERM)
  })

  it('readlink gives as much as fits', () => {
    const guest = new Guest()
    guest.symlink('target', 'link')
    expect(guest.call('path_readlink', ROOT, ...guest.text('link'), 4096, 3, 8)).toBe(0)
    expect(guest.textAt(4096, guest.u32(8))).toBe('tar')
    expect(guest.call('path_readlink', ROOT, ...guest.text('tmp'), 4096, 3, 8)).toBe(Errno.INVAL)
  })
})

describe('stat', () => {
  it('tells kind, size, names and times, and sets times', () => {
    const guest = new Guest({ files })
    expect(guest.call('path_filestat_get', ROOT, 1, ...guest.text('outside'), 4096)).toBe(0)
    expect([guest.view.getUint8(4112), guest.u64(4120), guest.u64(4128)]).toEqual([4, 1, 7])
    expect(guest.view.getBigUint64(4144, true)).toBe(1_700_000_000_000_000_000n)
    const fd = guest.open('outside')
    expect(guest.call('fd_filestat_set_times', fd, 0n, 123_456_789_000n, 4)).toBe(0)
    expect(guest.call('fd_filestat_get', fd, 4096)).toBe(0)
    expect(guest.view.getBigUint64(4144, true)).toBe(123_456_789_000n)
    expect(guest.call('fd_filestat_set_times', fd, 0n, 0n, 12)).toBe(Errno.INVAL)
    guest.clock.advance(5)
    guest.write(fd, 'x')
    guest.call('fd_filestat_get', fd, 4096)
    expect(guest.view.getBigUint64(4144, true)).toBe(1_700_000_000_005_000_000n)
  })
})

describe('names', () => {
  const open = (guest: Guest, path: string): boolean => guest.open(path, 0, { rights: 0n, inheriting: 0n }) >= 0

  it('of directories may end in slashes', () => {
    const guest = new Guest()
    expect(guest.path('path_create_directory', 'source//')).toBe(0)
    expect(guest.rename('source/', 'target')).toBe(0)
    expect(guest.rename('target', 'source/')).toBe(0)
    expect(guest.rename('source/', 'target///')).toBe(0)
    expect(open(guest, 'target/./')).toBe(true)
    expect(guest.path('path_remove_directory', 'target/')).toBe(0)
  })

  it('a link is made, renamed and removed itself, and never what it leads to', () => {
    const guest = new Guest({ files })
    guest.symlink('jail', 'link')
    expect(guest.rename('link', 'moved')).toBe(0)
    expect(guest.call('path_link', ROOT, 0, ...guest.text('moved'), ROOT, ...guest.text('twice', 6000))).toBe(0)
    expect(guest.path('path_unlink_file', 'moved')).toBe(0)
    expect(guest.file('/twice/inner/secret')).toBe('inside')
    expect(guest.call('path_link', ROOT, 1, ...guest.text('twice'), ROOT, ...guest.text('d', 6000))).toBe(Errno.PERM)
    expect(guest.rename('outside', 'twice')).toBe(0)
    expect(guest.file('/twice')).toBe('outside')
    expect(guest.file('/jail/inner/secret')).toBe('inside')
  })

  it('an existing file or empty directory is replaced, and lives on for who has it open', () => {
    const guest = new Guest({ files })
    guest.write(guest.open('old', Open.CREAT), 'old')
    const fd = guest.open('old')
    expect(guest.rename('outside', 'old')).toBe(0)
    expect(guest.file('/old')).toBe('outside')
    expect(guest.read(fd)).toBe('old')
    guest.path('path_create_directory', 'empty')
    const directory = guest.open('empty', Open.DIRECTORY)
    expect(guest.rename('jail', 'empty')).toBe(0)
    expect(guest.file('/empty/inner/secret')).toBe('inside')
    expect(guest.list(directory).map(([name]) => name)).toEqual(['.', '..'])
    expect(guest.open('new', Open.CREAT, { fd: directory })).toBe(-Errno.NOENT)
  })

  it('two names of one file stay two when one is renamed to the other', () => {
    const guest = new Guest({ files })
    guest.call('path_link', ROOT, 0, ...guest.text('outside'), ROOT, ...guest.text('again', 6000))
    expect(guest.rename('outside', 'again')).toBe(0)
    expect([guest.file('/outside'), guest.file('/again')]).toEqual(['outside', 'outside'])
  })

  it('go through dots and links, as far as they stay inside', () => {
    const guest = new Guest({ files })
    const jail = guest.open('jail', Open.DIRECTORY)
    expect(guest.read(guest.open('inner/.//../inner/../inner///./secret', 0, { fd: jail }))).toBe('inside')
    guest.symlink('inner/../inner', 'jail/through')
    expect(guest.read(guest.open('through/secret', 0, { fd: jail }))).toBe('inside')
    expect(guest.read(guest.open('through/../inner/secret', 0, { fd: jail }))).toBe('inside')
  })
})

describe('descriptors', () => {
  it('the preopened directory may be closed and replaced', () => {
    const guest = new Guest({ files })
    const jail = guest.open('jail', Open.DIRECTORY)
    expect(guest.call('fd_prestat_get', ROOT, 8)).toBe(0)
    expect([guest.u32(8), guest.u32(12)]).toEqual([0, 1])
    expect(guest.call('fd_prestat_dir_name', ROOT, 4096, 10)).toBe(0)
    expect(guest.textAt(4096, 2)).toBe('/\0')
    expect(guest.call('fd_renumber', jail, ROOT)).toBe(0)
    expect(guest.call('fd_prestat_get', ROOT, 8)).toBe(Errno.BADF)
    expect(guest.read(guest.open('inner/secret'))).toBe('inside')
    expect(guest.call('fd_close', ROOT)).toBe(0)
    expect(guest.open('inner/secret')).toBe(-Errno.BADF)
  })

  it('streams go to other numbers', () => {
    const guest = new Guest({ files, stdin: 'input' })
    const fd = guest.open('outside')
    expect(guest.call('fd_renumber', 0, fd)).toBe(0)
    expect(guest.read(fd)).toBe('input')
    expect(guest.call('fd_renumber', 1, fd)).toBe(0)
    expect(guest.write(fd, 'out')).toBe(3)
    expect(guest.output).toEqual([{ stream: 'stdout', offset: 0, text: 'out' }])
  })
})
