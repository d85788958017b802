// Folders of a test, gone after it; and small file systems that fill up.
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export class Folders {
  readonly #root = mkdtempSync(join(tmpdir(), 'cloudskin-test-'))
  readonly #mounts: string[] = []

  path(name: string): string {
    return join(this.#root, name)
  }

  /** Mounts a tmpfs of `size` (as mount(8) takes it); undefined where this user may not. */
  small(name: string, size: string): string | undefined {
    const path = this.path(name)
    mkdirSync(path)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path], { stdio: 'pipe' })
    } catch {
      return undefined
    }
    this.#mounts.push(path)
    chmodSync(path, 0o700)
    return path
  }

  close(): void {
    for (const path of this.#mounts.splice(0)) execFileSync('umount', ['-l', path])
    rmSync(this.#root, { recursive: true, force: true })
  }
}
