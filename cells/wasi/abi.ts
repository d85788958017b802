// Numbers of the WASI preview1 binary interface: file types, flags, rights, record sizes.
// https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md

export const FileType = { UNKNOWN: 0, DIRECTORY: 3, REGULAR_FILE: 4, SYMBOLIC_LINK: 7 } as const

export const OpenFlag = { CREAT: 1, DIRECTORY: 2, EXCL: 4, TRUNC: 8 } as const

export const FdFlag = { APPEND: 1, DSYNC: 2, NONBLOCK: 4, RSYNC: 8, SYNC: 16 } as const
export const ALL_FD_FLAGS = 31

/** Of `lookupflags`. */
export const SYMLINK_FOLLOW = 1

export const TimeFlag = { ATIM: 1, ATIM_NOW: 2, MTIM: 4, MTIM_NOW: 8 } as const

export const Whence = { SET: 0, CUR: 1, END: 2 } as const

/** Of `advice`: the highest defined value. */
export const MAX_ADVICE = 5

export const ClockId = { REALTIME: 0, MONOTONIC: 1, PROCESS_CPU: 2, THREAD_CPU: 3 } as const

export const EventType = { CLOCK: 0, FD_READ: 1, FD_WRITE: 2 } as const

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
  FD_READDIR: 1 << 14,
  FD_FILESTAT_GET: 1 << 21,
  FD_FILESTAT_SET_SIZE: 1 << 22,
  FD_FILESTAT_SET_TIMES: 1 << 23,
  POLL_FD_READWRITE: 1 << 27,
} as const

export const ALL_RIGHTS = 2 ** 30 - 1
/** Sockets: the bits 28 and 29. */
const SOCKET_RIGHTS = 2 ** 28 + 2 ** 29
/** What a regular file can do: bits 9-13, 15-20 and 24-26 are those of paths. */
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
    SOCKET_RIGHTS |
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
