// The errnos of the calls that take descriptors.
import {
  AT,
  also,
  BARE_DIRECTORY,
  BARE_FILE,
  BUFFER,
  type Cases,
  DIRECTORY,
  FILE,
  far,
  OUT,
  one,
  TOO_FAR,
  UNOPEN,
} from './errno-fixture.ts'
import { type Guest, ROOT } from './guest.ts'

const transfer = (name: string, position: readonly bigint[]): Cases => ({
  BADF: [
    (g) => g.call(name, UNOPEN, ...one(g), ...position, AT),
    (g) => g.call(name, BARE_FILE, ...one(g), ...position, AT),
  ],
  ISDIR: [(g) => g.call(name, DIRECTORY, ...one(g), ...position, AT)],
  INVAL: [(g) => g.call(name, FILE, 512, 1025, ...position, AT)],
  FAULT: [
    (g) => g.call(name, FILE, ...far(g), ...position, AT),
    (g) => g.call(name, FILE, OUT - 4, 1, ...position, AT),
    (g) => g.call(name, FILE, ...one(g), ...position, OUT - 3),
  ],
})

const positioned = (name: string, right: bigint, stream: number): Cases => ({
  INVAL: [(g) => g.call(name, FILE, ...one(g), -1n, AT), (g) => g.call(name, FILE, ...one(g), TOO_FAR, AT)],
  SPIPE: [(g) => g.call(name, stream, ...one(g), 0n, AT)],
  NOTCAPABLE: [(g) => g.call(name, g.open('f', 0, { rights: right, inheriting: 0n }), ...one(g), 0n, AT)],
})

function beyondTheDisk(guest: Guest): number {
  guest.seek(FILE, 200n, 0)
  return FILE
}

export const fileCases: Readonly<Record<string, Cases>> = {
  fd_advise: {
    BADF: [(g) => g.call('fd_advise', UNOPEN, 0n, 0n, 0), (g) => g.call('fd_advise', DIRECTORY, 0n, 0n, 0)],
    SPIPE: [(g) => g.call('fd_advise', 1, 0n, 0n, 0)],
    INVAL: [(g) => g.call('fd_advise', FILE, 0n, 0n, 6), (g) => g.call('fd_advise', FILE, 0n, 0n, -1)],
    NOTCAPABLE: [(g) => g.call('fd_advise', BARE_FILE, 0n, 0n, 0)],
  },
  fd_allocate: {
    BADF: [(g) => g.call('fd_allocate', UNOPEN, 0n, 1n), (g) => g.call('fd_allocate', DIRECTORY, 0n, 1n)],
    SPIPE: [(g) => g.call('fd_allocate', 1, 0n, 1n)],
    INVAL: [(g) => g.call('fd_allocate', FILE, 0n, 0n)],
    FBIG: [(g) => g.call('fd_allocate', FILE, 1n, TOO_FAR)],
    NOSPC: [(g) => g.call('fd_allocate', FILE, 90n, 90n)],
    NOTCAPABLE: [(g) => g.call('fd_allocate', BARE_FILE, 0n, 1n)],
  },
  fd_close: { BADF: [(g) => g.call('fd_close', UNOPEN), (g) => g.call('fd_close', -1)] },
  fd_datasync: {
    BADF: [(g) => g.call('fd_datasync', UNOPEN)],
    INVAL: [(g) => g.call('fd_datasync', 1)],
    NOTCAPABLE: [(g) => g.call('fd_datasync', BARE_FILE)],
  },
  fd_fdstat_get: {
    BADF: [(g) => g.call('fd_fdstat_get', UNOPEN, AT)],
    FAULT: [(g) => g.call('fd_fdstat_get', 1, OUT - 23)],
  },
  fd_fdstat_set_flags: {
    BADF: [(g) => g.call('fd_fdstat_set_flags', UNOPEN, 0)],
    INVAL: [(g) => g.call('fd_fdstat_set_flags', FILE, 32)],
    NOTCAPABLE: [(g) => g.call('fd_fdstat_set_flags', BARE_FILE, 0)],
  },
  fd_fdstat_set_rights: {
    BADF: [(g) => g.call('fd_fdstat_set_rights', UNOPEN, 0n, 0n)],
    NOTCAPABLE: [
      (g) => g.call('fd_fdstat_set_rights', BARE_FILE, 2n, 0n),
      (g) => g.call('fd_fdstat_set_rights', FILE, 0n, 2n),
      (g) => g.call('fd_fdstat_set_rights', DIRECTORY, 1n << 40n, 0n),
    ],
  },
  fd_filestat_get: {
    BADF: [(g) => g.call('fd_filestat_get', UNOPEN, AT)],
    FAULT: [(g) => g.call('fd_filestat_get', FILE, OUT - 63)],
    NOTCAPABLE: [(g) => g.call('fd_filestat_get', BARE_FILE, AT)],
  },
  fd_filestat_set_size: {
    BADF: [(g) => g.call('fd_filestat_set_size', UNOPEN, 0n)],
    INVAL: [(g) => g.call('fd_filestat_set_size', DIRECTORY, 0n), (g) => g.call('fd_filestat_set_size', 1, 0n)],
    FBIG: [(g) => g.call('fd_filestat_set_size', FILE, -1n)],
    NOSPC: [(g) => g.call('fd_filestat_set_size', FILE, 101n)],
    NOTCAPABLE: [(g) => g.call('fd_filestat_set_size', BARE_FILE, 0n)],
  },
  fd_filestat_set_times: {
    BADF: [(g) => g.call('fd_filestat_set_times', UNOPEN, 0n, 0n, 0)],
    INVAL: [
      (g) => g.call('fd_filestat_set_times', FILE, 0n, 0n, 3),
      (g) => g.call('fd_filestat_set_times', FILE, 0n, 0n, 12),
      (g) => g.call('fd_filestat_set_times', FILE, 0n, 0n, 16),
    ],
    NOTCAPABLE: [
      (g) => g.call('fd_filestat_set_times', BARE_FILE, 0n, 0n, 1),
      (g) => g.call('fd_filestat_set_times', 1, 0n, 0n, 1),
    ],
  },
  fd_pread: also(transfer('fd_pread', [0n]), positioned('fd_pread', 2n, 0)),
  fd_prestat_get: {
    BADF: [(g) => g.call('fd_prestat_get', UNOPEN, AT), (g) => g.call('fd_prestat_get', DIRECTORY, AT)],
    FAULT: [(g) => g.call('fd_prestat_get', ROOT, OUT - 7)],
  },
  fd_prestat_dir_name: {
    BADF: [(g) => g.call('fd_prestat_dir_name', UNOPEN, AT, 1), (g) => g.call('fd_prestat_dir_name', FILE, AT, 1)],
    NAMETOOLONG: [(g) => g.call('fd_prestat_dir_name', ROOT, AT, 0)],
    FAULT: [(g) => g.call('fd_prestat_dir_name', ROOT, OUT, 1)],
  },
  fd_pwrite: also(transfer('fd_pwrite', [0n]), positioned('fd_pwrite', 64n, 1), {
    NOSPC: [(g) => g.call('fd_pwrite', FILE, ...one(g), 1000n, AT)],
  }),
  fd_read: also(transfer('fd_read', []), { BADF: [(g) => g.call('fd_read', 1, ...one(g), AT)] }),
  fd_readdir: {
    BADF: [(g) => g.call('fd_readdir', UNOPEN, BUFFER, 9, 0n, AT)],
    NOTDIR: [(g) => g.call('fd_readdir', FILE, BUFFER, 9, 0n, AT)],
    FAULT: [
      (g) => g.call('fd_readdir', DIRECTORY, OUT - 3, 9, 0n, AT),
      (g) => g.call('fd_readdir', DIRECTORY, BUFFER, 9, 0n, OUT - 3),
    ],
    NOTCAPABLE: [(g) => g.call('fd_readdir', BARE_DIRECTORY, BUFFER, 9, 0n, AT)],
  },
  fd_renumber: { BADF: [(g) => g.call('fd_renumber', FILE, UNOPEN), (g) => g.call('fd_renumber', UNOPEN, FILE)] },
  fd_seek: {
    BADF: [(g) => g.call('fd_seek', UNOPEN, 0n, 0, AT), (g) => g.call('fd_seek', DIRECTORY, 0n, 0, AT)],
    SPIPE: [(g) => g.call('fd_seek', 0, 0n, 0, AT)],
    INVAL: [(g) => g.call('fd_seek', FILE, 0n, 3, AT), (g) => g.call('fd_seek', FILE, -1n, 0, AT)],
    OVERFLOW: [(g) => g.call('fd_seek', FILE, TOO_FAR, 1, AT)],
    FAULT: [(g) => g.call('fd_seek', FILE, 0n, 0, OUT - 7)],
    NOTCAPABLE: [
      (g) => g.call('fd_seek', BARE_FILE, 0n, 1, AT),
      // Who may tell may not seek.
      (g) => g.call('fd_seek', g.open('f', 0, { rights: 32n, inheriting: 0n }), 1n, 1, AT),
    ],
  },
  fd_sync: {
    BADF: [(g) => g.call('fd_sync', UNOPEN)],
    INVAL: [(g) => g.call('fd_sync', 1)],
    NOTCAPABLE: [(g) => g.call('fd_sync', BARE_FILE)],
  },
  fd_tell: {
    BADF: [(g) => g.call('fd_tell', UNOPEN, AT), (g) => g.call('fd_tell', DIRECTORY, AT)],
    SPIPE: [(g) => g.call('fd_tell', 0, AT)],
    FAULT: [(g) => g.call('fd_tell', FILE, OUT - 7)],
    NOTCAPABLE: [(g) => g.call('fd_tell', BARE_FILE, AT)],
  },
  fd_write: also(transfer('fd_write', []), {
    BADF: [(g) => g.call('fd_write', 0, ...one(g), AT)],
    FAULT: [(g) => g.call('fd_write', 1, ...far(g), AT)],
    NOSPC: [(g) => g.call('fd_write', beyondTheDisk(g), ...one(g), AT)],
  }),
}
