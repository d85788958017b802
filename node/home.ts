// The one folder where everything of a peer is kept: keys and blobs as files, records in `level`, one lock.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { lstat, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { CodedError, messageOf } from '../core/errors.ts'
import type { RecordStore } from './cells/types.ts'
import type { NodeErrorCode as HomeErrorCode } from './errors.ts'
import { RecordDatabase } from './record-database.ts'

/** A Unix socket's path fits in 108 bytes on Linux, in 104 on macOS (sockaddr_un). */
const MAX_SOCKET_PATH = 100

/** Where the control socket of a home is: in it, or, where that path is too long, in a private folder below the temporary one. */
export function socketPathOf(home: string): string {
  const path = resolve(home)
  const inside = join(path, 'control.sock')
  if (Buffer.byteLength(inside) <= MAX_SOCKET_PATH) return inside
  const name = createHash('sha256').update(path).digest('hex').slice(0, 16)
  const outside = (folder: string): string => join(folder, `cloudskin-${process.getuid?.() ?? 0}`, `${name}.sock`)
  const usual = outside(tmpdir())
  return Buffer.byteLength(usual) <= MAX_SOCKET_PATH ? usual : outside('/tmp')
}

export class Home {
  readonly path: string
  readonly socketPath: string
  readonly #database: RecordDatabase

  private constructor(path: string, database: RecordDatabase) {
    this.path = path
    this.socketPath = socketPathOf(path)
    this.#database = database
  }

  /** Makes the folder if need be, takes its lock, and opens the records. Rejects with `HOME_*`. */
  static async open(folder: string): Promise<Home> {
    const path = resolve(folder)
    try {
      await mkdir(path, { recursive: true, mode: 0o700 })
      await socketFolder(path)
      await lock(path)
      try {
        const records = join(path, 'records')
        // Of its own mode: the home may be a folder that somebody made before, open to all.
        await mkdir(records, { recursive: true, mode: 0o700 })
        return new Home(path, await RecordDatabase.open(records))
      } catch (error) {
        await unlock(path)
        throw error
      }
    } catch (error) {
      throw homeError(path, error)
    }
  }

  /** Records of one kind; every write is synced before it resolves. Rejects with `HOME_FULL` and `HOME_UNREADABLE`. */
  records(kind: string): RecordStore {
    const records = this.#database.records(kind)
    const guard = async <T>(work: Promise<T>): Promise<T> => {
      try {
        return await work
      } catch (error) {
        throw homeError(this.path, error)
      }
    }
    return {
      put: (key, value) => guard(records.put(key, value)),
      remove: (key) => guard(records.remove(key)),
      get: (key) => guard(records.get(key)),
      list: () => guard(records.list()),
    }
  }

  /** Idempotent. */
  async close(): Promise<void> {
    try {
      await this.#database.close()
    } finally {
      await unlock(this.path)
    }
  }
}

/**
 * A lock file with the pid and the start time of its holder: one that died, however, holds nothing. Two peers that find the same
 * dead lock may both take it over; then LevelDB's own lock, which the kernel keeps, lets one of them in.
 */
async function lock(home: string): Promise<void> {
  const file = join(home, 'lock')
  for (let tries = 0; ; tries++) {
    try {
      return await writeFile(file, ownMark(), { flag: 'wx', mode: 0o600 })
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // Made, and not filled: it must not stay.
      if (code === 'ENOSPC') await rm(file, { force: true })
      if (code !== 'EEXIST') throw error
    }
    const { pid, alive } = await holderOf(home)
    if (tries > 2 || alive) throw lockedError(home, pid)
    await rm(file, { force: true })
  }
}

/** Who holds the home's lock, and whether they live; the pid is empty where nobody does. */
export async function holderOf(home: string): Promise<{ readonly pid: string; readonly alive: boolean }> {
  const [pid = '', startTime = ''] = (await readMaybe(join(home, 'lock'))).split(' ')
  return { pid, alive: pid !== '' && startTimeOf(Number(pid)) === startTime }
}

/** Leaves a lock that somebody else has taken over. */
async function unlock(home: string): Promise<void> {
  const file = join(home, 'lock')
  if ((await readMaybe(file)) === ownMark()) await rm(file, { force: true })
}

function ownMark(): string {
  return `${process.pid} ${startTimeOf(process.pid) ?? ''}`
}

/** Empty when there is no such file: it went between two looks. */
async function readMaybe(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

/** The folder of a socket that does not fit in the home: nobody else may be able to put something in its place. */
async function socketFolder(home: string): Promise<void> {
  const folder = dirname(socketPathOf(home))
  if (folder === home) return
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const { mode, uid } = await lstat(folder)
  const mine = (mode & 0o170_077) === 0o040_000 && uid === (process.getuid?.() ?? uid)
  if (mine) return
  throw new CodedError<HomeErrorCode>(
    'HOME_UNREADABLE',
    `${folder}, where the control socket goes, is not a folder of this user alone; remove it, or use a --home with a shorter path`,
    { facts: { home } },
  )
}

/** When a process started, in the kernel's own units (proc(5), field 22); undefined when there is none, or a dead one not yet buried. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' || state === 'X' ? undefined : fields[18]
  } catch {
    return aliveWithoutProc(pid) ? '' : undefined
  }
}

/** Where there is no /proc, only that some process has the pid. */
function aliveWithoutProc(pid: number): boolean {
  if (process.platform === 'linux') return false
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

function lockedError(home: string, pid: string): CodedError<HomeErrorCode> {
  const who = pid === '' ? '' : ` (pid ${pid})`
  return new CodedError(
    'HOME_LOCKED',
    `a peer runs on ${home} already${who}; use another --home, or "cloudskin down" first`,
    { facts: { home, ...(pid === '' ? {} : { pid: Number(pid) }) } },
  )
}

function homeError(path: string, error: unknown): unknown {
  if (error instanceof CodedError) return error
  const cause = error instanceof Error ? error.cause : undefined
  if (cause instanceof Error && 'code' in cause && cause.code === 'LEVEL_LOCKED') return lockedError(path, '')
  const text = `${messageOf(error)} ${cause === undefined ? '' : messageOf(cause)}`
  // LevelDB has no code for a full disk, only the system's words.
  const full = /ENOSPC|No space left/.test(text)
  const code: HomeErrorCode = full ? 'HOME_FULL' : 'HOME_UNREADABLE'
  const advice = full
    ? 'free some space, or move the home to a larger disk'
    : 'check that it is a folder that this user may write'
  return new CodedError(code, `the home ${path} cannot be used: ${text.trim()}; ${advice}`, {
    facts: { home: path },
    cause: error,
  })
}
