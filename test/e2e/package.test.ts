// The published package: packed, installed for everybody into a prefix of its own, and used.
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { samplePath } from '../../testnet/processes/cells.ts'
import { LONG } from './fixture.ts'

const call = promisify(execFile)
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const INSTALL_TIMEOUT_MS = 600_000

// Packing builds `dist` anew and installing takes minutes: only in the long form.
describe.runIf(LONG)('the package', () => {
  let folder: string
  /** The node that runs this test comes first, as it would for a user of that node. */
  const env = { ...process.env, PATH: [dirname(process.execPath), process.env.PATH].join(delimiter) }
  const cloudskin = (...args: readonly string[]): Promise<{ stdout: string; stderr: string }> =>
    call(join(folder, 'prefix', 'bin', 'cloudskin'), [...args], { env, cwd: folder })

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cloudskin-package-'))
    await call('npm', ['pack', '--pack-destination', folder], { cwd: ROOT, env, maxBuffer: 16 * 1024 * 1024 })
    const [tarball = ''] = (await readdir(folder)).filter((name) => name.endsWith('.tgz'))
    const install = ['install', '-g', '--prefix', join(folder, 'prefix'), '--no-fund', '--no-audit']
    await call('npm', [...install, join(folder, tarball)], { cwd: folder, env, maxBuffer: 16 * 1024 * 1024 })
  }, INSTALL_TIMEOUT_MS)

  afterAll(() => rm(folder, { recursive: true, force: true }))

  it('has a binary that runs a peer and a cell', async () => {
    expect((await cloudskin('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect((await cloudskin('help')).stdout).toContain('usage: cloudskin')
    const home = ['--home', join(folder, 'home')]
    const up = ['up', '-d', ...home, '--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--name', 'packed']
    expect((await cloudskin(...up)).stdout).toContain('cloudskin up --join cst1')
    try {
      expect((await cloudskin('run', ...home, samplePath('queens'), '--', '8')).stdout).toBe('8 queens: 92 ways\n')
      expect((await cloudskin('peers', ...home)).stdout).toContain('packed')
      expect((await cloudskin('model', ...home)).stdout).toContain('decides now')
    } finally {
      expect((await cloudskin('down', ...home)).stdout).toContain('stopped')
    }
  })
})
