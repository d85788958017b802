// The one folder where everything of a peer is kept: keys and blobs as files, records in `level`, one lock.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Level } from 'level'
import { CodedError, messageOf } from '../core/errors.ts'
import type { RecordStore } from './cells/types.ts'
import type { NodeErrorCode as HomeErrorCode } from './errors.ts'

/** A Unix socket's path fits in 108 bytes on Linux, in 104 on macOS (sockaddr_un). */
const MAX_SOCKET_PATH = 100

/** Where the control socket of a home is: in it, or, where that path is too long, in a private folder below the temporary one. */
export function socketPathOf(home: string): string {
  const inside = join(home, 'control.sock')
  if (Buffer.byteLength(inside) <= MAX_SOCKET_PATH) return inside
  const name = createHash('sha256').update(home).digest('hex').slice(0, 16)
  return join(tmpdir(), `cloudskin-${process.getuid?.() ?? 0}`, `${name}.sock`)
}

export class Home {
  readonly path: string
  readonly socketPath: string
  readonly #level: Level<string, Uint8Array>
  #locked = false

  private constructor(path: string) {
    this.path = path
    this.socketPath = socketPathOf(path)
    this.#level = new Level(join(path, 'records'), { valueEncoding: 'view', createIfMissing: true })
  }

  /** Makes the folder if need be, takes its lock, and opens the records. Rejects with `HOME_*`. */
  static async open(path: string): Promise<Home> {
    try {
      await mkdir(path, { recursive: true, mode: 0o700 })
      await mkdir(join(socketPathOf(path), '..'), { recursive: true, mode: 0o700 })
      const home = new Home(path)
      await home.#lock()
      try {
        await home.#level.open()
      } catch (error) {
        await home.#unlock()
        throw error
      }
      return home
    } catch (error) {
      throw homeError(path, error)
    }
  }

  /** Records of one kind; every write is synced before it resolves. */
  records(kind: string): RecordStore {
    const level = this.#level.sublevel<string, Uint8Array>(kind, { valueEncoding: 'view' })
    const guard = async <T>(work: Promise<T>): Promise<T> => {
      try {
        return await work
      } catch (error) {
        throw homeError(this.path, error)
      }
    }
    const batch = (
      operation: { type: 'put'; key: string; value: Uint8Array } | { type: 'del'; key: string },
    ): Promise<void> => guard(this.#level.batch([{ ...operation, sublevel: level }], { sync: true }))
    return {
      put: (key, value) => batch({ type: 'put', key, value }),
      remove: (key) => batch({ type: 'del', key }),
      get: (key) => guard(level.get(key)),
      list: () => guard(level.iterator().all()),
    }
  }

  async close(): Promise<void> {
    await this.#level.close()
    await this.#unlock()
  }

  /** A lock file with the pid and the start time of its holder: one that died, however, holds nothing. */
  async #lock(): Promise<void> {
    const file = join(this.path, 'lock')
    const mine = `${process.pid} ${startTimeOf(process.pid) ?? ''}`
    for (let tries = 0; ; tries++) {
      try {
        await writeFile(file, mine, { flag: 'wx', mode: 0o600 })
        this.#locked = true
        return
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      const [pid = '', startTime = ''] = (await readFile(file, 'utf8')).split(' ')
      if (tries > 2 || (pid !== '' && startTimeOf(Number(pid)) === startTime)) {
        throw new CodedError<HomeErrorCode>(
          'HOME_LOCKED',
          `a peer runs on ${this.path} already (pid ${pid}); use another --home, or "cloudskin down" first`,
          { facts: { home: this.path, pid: Number(pid) } },
        )
      }
      await rm(file, { force: true })
    }
  }

  async #unlock(): Promise<void> {
    if (this.#locked) await rm(join(this.path, 'lock'), { force: true })
    this.#locked = false
  }
}

/** When a process started, in the kernel's own units (proc(5), field 22); undefined when there is none. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
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

function homeError(path: string, error: unknown): unknown {
  if (error instanceof CodedError) return error
  const text = `${messageOf(error)} ${error instanceof Error && error.cause !== undefined ? messageOf(error.cause) : ''}`
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
