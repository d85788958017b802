// Numbers of the WASI preview1 binary interface: file types, flags, rights, record sizes.
// https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md

export const FileType = { UNKNOWN: 0, DIRECTORY: 3, REGULAR_FILE: 4, SYMBOLIC_LINK: 7 } as const

export const OpenFlag = { CREAT: 1, DIRECTORY: 2, EXCL: 4, TRUNC: 8 } as const
export const ALL_OPEN_FLAGS = 15

export const FdFlag = { APPEND: 1, DSYNC: 2, NONBLOCK: 4, RSYNC: 8, SYNC: 16 } as const
export const ALL_FD_FLAGS = 31

/** Of `lookupflags`. */
export const SYMLINK_FOLLOW = 1

export const TimeFlag = { ATIM: 1, ATIM_NOW: 2, MTIM: 4, MTIM_NOW: 8 } as const
export const ALL_TIME_FLAGS = 15

export const Whence = { SET: 0, CUR: 1, END: 2 } as const

/** Of `advice`: the highest defined value. */
export const MAX_ADVICE = 5

export const ClockId = { REALTIME: 0, MONOTONIC: 1, PROCESS_CPU: 2, THREAD_CPU: 3 } as const
export type ClockId = (typeof ClockId)[keyof typeof ClockId]

export const EventType = { CLOCK: 0, FD_READ: 1, FD_WRITE: 2 } as const

/** Of `eventrwflags`: the other end is closed, nothing more will come. */
export const READWRITE_HANGUP = 1

/** Of `subclockflags`: the time-out is a point in time, not a span. */
export const CLOCK_ABSTIME = 1

/** Rights fit in 30 bits, so they are numbers here although the interface has u64. */
export const Right = {
  FD_DATASYNC: 1 << 0,
  FD_READ: 1 << 1,
  FD_SEEK: 1 << 2,
  FD_FDSTAT_SET_FLAGS: 1 << 3,
  FD_SYNC: 1 << 4,
  FD_TELL: 1 << 5,
  FD_WRITE: 1 << 6,
  FD_ADVISE: 1 << 7,
  FD_ALLOCATE: 1 << 8,
  PATH_CREATE_DIRECTORY: 1 << 9,
  PATH_CREATE_FILE: 1 << 10,
  PATH_LINK_SOURCE: 1 << 11,
  PATH_LINK_TARGET: 1 << 12,
  PATH_OPEN: 1 << 13,
  FD_READDIR: 1 << 14,
  PATH_READLINK: 1 << 15,
  PATH_RENAME_SOURCE: 1 << 16,
  PATH_RENAME_TARGET: 1 << 17,
  PATH_FILESTAT_GET: 1 << 18,
  PATH_FILESTAT_SET_SIZE: 1 << 19,
  PATH_FILESTAT_SET_TIMES: 1 << 20,
  FD_FILESTAT_GET: 1 << 21,
  FD_FILESTAT_SET_SIZE: 1 << 22,
  FD_FILESTAT_SET_TIMES: 1 << 23,
  PATH_SYMLINK: 1 << 24,
  PATH_REMOVE_DIRECTORY: 1 << 25,
  PATH_UNLINK_FILE: 1 << 26,
  POLL_FD_READWRITE: 1 << 27,
  SOCK_SHUTDOWN: 1 << 28,
  SOCK_ACCEPT: 1 << 29,
} as const

export const ALL_RIGHTS = 2 ** 30 - 1
/** What a regular file can do: no paths, no listing. */
export const FILE_RIGHTS =
  Right.FD_DATASYNC |
  Right.FD_READ |
  Right.FD_SEEK |
  Right.FD_FDSTAT_SET_FLAGS |
  Right.FD_SYNC |
  Right.FD_TELL |
  Right.FD_WRITE |
  Right.FD_ADVISE |
  Right.FD_ALLOCATE |
  Right.FD_FILESTAT_GET |
  Right.FD_FILESTAT_SET_SIZE |
  Right.FD_FILESTAT_SET_TIMES |
  Right.POLL_FD_READWRITE
/** What a directory can do: no data, no position. */
export const DIRECTORY_RIGHTS =
  ALL_RIGHTS &
  ~(
    Right.SOCK_SHUTDOWN |
    Right.SOCK_ACCEPT |
    Right.FD_READ |
    Right.FD_SEEK |
    Right.FD_TELL |
    Right.FD_WRITE |
    Right.FD_ADVISE |
    Right.FD_ALLOCATE |
    Right.FD_FILESTAT_SET_SIZE |
    Right.FD_DATASYNC
  )
/** Streams lack SEEK and TELL, by which a C library tells that something may be a terminal: ours are pipes. */
export const STREAM_RIGHTS = Right.FD_FDSTAT_SET_FLAGS | Right.FD_FILESTAT_GET | Right.POLL_FD_READWRITE

/** Sizes of the records in guest memory, bytes. */
export const Size = { IOVEC: 8, PRESTAT: 8, FDSTAT: 24, DIRENT: 24, EVENT: 32, SUBSCRIPTION: 48, FILESTAT: 64 } as const
