// The errnos of the calls that take paths.
import { AT, also, BUFFER, type Cases, narrowed, OUT, ofPath, type Path, UNKNOWN } from './errno-fixture.ts'
import { type Guest, Open, ROOT } from './guest.ts'

const open: Path = (g, fd, path) => g.call('path_open', fd, 0, ...path, 0, 0n, 0n, 0, AT)
const openWith =
  (path: string, flags: number, { lookup = 0, rights = 0n, fdFlags = 0 } = {}) =>
  (g: Guest): number =>
    g.call('path_open', ROOT, lookup, ...g.text(path), flags, rights, 0n, fdFlags, AT)
const rename = (from: string, to: string) => (g: Guest) => g.rename(from, to)
const link =
  (from: string, to: string, lookup = 0) =>
  (g: Guest) => {
    return g.call('path_link', ROOT, lookup, ...g.text(from), ROOT, ...g.text(to, 6000))
  }

export const pathCases: Readonly<Record<string, Cases>> = {
  path_create_directory: also(
    ofPath((g, fd, path) => g.call('path_create_directory', fd, ...path)),
    {
      EXIST: ['f', 'd', 'd/', 'l', 'f/', '.', 'd/..'].map((path) => (g) => g.path('path_create_directory', path)),
    },
  ),
  path_filestat_get: also(
    ofPath((g, fd, path) => g.call('path_filestat_get', fd, 0, ...path, BUFFER)),
    {
      NOENT: [(g) => g.call('path_filestat_get', ROOT, 0, ...g.text('none'), BUFFER)],
      NOTDIR: [(g) => g.call('path_filestat_get', ROOT, 0, ...g.text('f/'), BUFFER)],
      LOOP: [(g) => g.call('path_filestat_get', ROOT, 1, ...g.text('loop'), BUFFER)],
      INVAL: [(g) => g.call('path_filestat_get', ROOT, 2, ...g.text('f'), BUFFER)],
      FAULT: [(g) => g.call('path_filestat_get', ROOT, 0, ...g.text('f'), OUT - 63)],
    },
  ),
  path_filestat_set_times: also(
    ofPath((g, fd, path) => g.call('path_filestat_set_times', fd, 0, ...path, 0n, 0n, 0)),
    {
      NOENT: [(g) => g.call('path_filestat_set_times', ROOT, 0, ...g.text('none'), 0n, 0n, 0)],
      INVAL: [
        (g) => g.call('path_filestat_set_times', ROOT, 0, ...g.text('f'), 0n, 0n, 3),
        (g) => g.call('path_filestat_set_times', ROOT, 2, ...g.text('f'), 0n, 0n, 0),
      ],
    },
  ),
  path_link: also(
    ofPath((g, fd, path) => g.call('path_link', fd, 0, ...path, ROOT, ...g.text('new', 6000))),
    ofPath((g, fd, path) => g.call('path_link', ROOT, 0, ...g.text('f', 6000), fd, ...path)),
    {
      NOENT: [link('none', 'new'), link('f', 'new/')],
      EXIST: [link('f', 'f'), link('f', 'l'), link('f', 'd'), link('f', '.')],
      PERM: [link('d', 'new')],
      LOOP: [link('loop', 'new', 1)],
      INVAL: [link('f', 'new', 2)],
      NOTDIR: [link('f/', 'new')],
    },
  ),
  path_open: also(ofPath(open), {
    NOENT: [openWith('none', 0), openWith('none', Open.DIRECTORY)],
    EXIST: [openWith('f', Open.CREAT | Open.EXCL), openWith('loop', Open.CREAT | Open.EXCL, { lookup: 1 })],
    NOTDIR: [openWith('f', Open.DIRECTORY), openWith('f/', 0), openWith('l', Open.DIRECTORY, { lookup: 1 })],
    ISDIR: [
      openWith('d', Open.CREAT),
      openWith('d', Open.TRUNC),
      openWith('d', 0, { rights: 64n }),
      openWith('d', Open.DIRECTORY, { rights: 66n }),
      openWith('new/', Open.CREAT),
    ],
    LOOP: [openWith('l', 0), openWith('ld', Open.DIRECTORY), openWith('loop', 0, { lookup: 1 })],
    INVAL: [
      openWith('f', UNKNOWN),
      openWith('f', 0, { fdFlags: 32 }),
      openWith('f', 0, { lookup: 2 }),
      openWith('new', Open.CREAT | Open.DIRECTORY),
    ],
    FAULT: [(g) => g.call('path_open', ROOT, 0, ...g.text('f'), 0, 0n, 0n, 0, OUT - 3)],
    NOTCAPABLE: [
      // More than the directory hands down; creating, truncating and syncing are rights of their own.
      (g) => g.call('path_open', narrowed(g, 0), 0, ...g.text('x'), 0, 64n, 0n, 0, AT),
      (g) => g.call('path_open', narrowed(g, 0), 0, ...g.text('x'), 0, 0n, 64n, 0, AT),
      (g) => g.call('path_open', ROOT, 0, ...g.text('f'), 0, 1n << 30n, 0n, 0, AT),
      (g) => g.call('path_open', narrowed(g, 10), 0, ...g.text('new'), Open.CREAT, 0n, 0n, 0, AT),
      (g) => g.call('path_open', narrowed(g, 19), 0, ...g.text('x'), Open.TRUNC, 0n, 0n, 0, AT),
      (g) => g.call('path_open', narrowed(g, 0), 0, ...g.text('x'), 0, 0n, 0n, 2, AT),
      (g) => g.call('path_open', narrowed(g, 0), 0, ...g.text('x'), 0, 0n, 0n, 16, AT),
      (g) => g.call('path_open', narrowed(g, 0), 0, ...g.text('x'), 0, 0n, 0n, 8, AT),
    ],
    MFILE: [
      (g) => {
        while (openWith('f', 0)(g) === 0);
        return openWith('f', 0)(g)
      },
    ],
  }),
  path_readlink: also(
    ofPath((g, fd, path) => g.call('path_readlink', fd, ...path, BUFFER, 9, AT)),
    {
      NOENT: [(g) => g.call('path_readlink', ROOT, ...g.text('none'), BUFFER, 9, AT)],
      INVAL: [
        (g) => g.call('path_readlink', ROOT, ...g.text('f'), BUFFER, 9, AT),
        (g) => g.call('path_readlink', ROOT, ...g.text('ld/'), BUFFER, 9, AT),
      ],
      FAULT: [
        (g) => g.call('path_readlink', ROOT, ...g.text('l'), OUT - 3, 9, AT),
        (g) => g.call('path_readlink', ROOT, ...g.text('l'), BUFFER, 9, OUT - 3),
      ],
    },
  ),
  path_remove_directory: also(
    ofPath((g, fd, path) => g.call('path_remove_directory', fd, ...path)),
    {
      NOENT: [(g) => g.path('path_remove_directory', 'none')],
      NOTDIR: ['f', 'f/', 'l', 'ld', 'ld/'].map((path) => (g) => g.path('path_remove_directory', path)),
      NOTEMPTY: [(g) => g.path('path_remove_directory', 'd')],
      BUSY: [(g) => g.path('path_remove_directory', '.'), (g) => g.path('path_remove_directory', '/')],
      INVAL: [(g) => g.path('path_remove_directory', 'empty/.')],
    },
  ),
  path_rename: also(
    ofPath((g, fd, path) => g.call('path_rename', fd, ...path, ROOT, ...g.text('new', 6000))),
    ofPath((g, fd, path) => g.call('path_rename', ROOT, ...g.text('f', 6000), fd, ...path)),
    {
      NOENT: [rename('none', 'new')],
      NOTDIR: [rename('f/', 'new'), rename('f', 'new/'), rename('d', 'f'), rename('ld/', 'new'), rename('d', 'l')],
      ISDIR: [rename('f', 'd'), rename('f', 'empty')],
      NOTEMPTY: [rename('empty', 'd')],
      INVAL: [rename('d', 'd/y')],
      BUSY: [rename('.', 'new'), rename('f', '.'), rename('d/.', 'new')],
    },
  ),
  path_symlink: also(
    ofPath((g, fd, path) => g.call('path_symlink', ...g.text('f', 6000), fd, ...path)),
    {
      NOENT: [(g) => g.symlink('f', 'new/'), (g) => g.symlink('', 'new')],
      EXIST: ['f', 'l', 'd', 'd/', 'f/', '.'].map((path) => (g) => g.symlink('f', path)),
      INVAL: [(g) => g.symlink('a\0b', 'new')],
      NAMETOOLONG: [(g) => g.call('path_symlink', 0, 4097, ROOT, ...g.text('new'))],
      FAULT: [(g) => g.call('path_symlink', OUT - 1, 2, ROOT, ...g.text('new'))],
      NOSPC: [(g) => g.symlink('t'.repeat(90), 'new')],
    },
  ),
  path_unlink_file: also(
    ofPath((g, fd, path) => g.call('path_unlink_file', fd, ...path)),
    {
      NOENT: [(g) => g.path('path_unlink_file', 'none')],
      NOTDIR: ['f/', 'l/', 'ld/'].map((path) => (g) => g.path('path_unlink_file', path)),
      ISDIR: ['d', 'd/', 'empty', '.'].map((path) => (g) => g.path('path_unlink_file', path)),
    },
  ),
}
