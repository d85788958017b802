// The committed modules are what their sources say: rebuilt with the same toolchain they are equal, byte for byte.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const samples = fileURLToPath(new URL('../../../cells/samples/', import.meta.url))
const others = { probe: './probe/', mixed: '../arm64/mixed/' }
const questions = fileURLToPath(new URL('./questions/', import.meta.url))

it('samples, probe, mixed and questions rebuild to the committed bytes', ({ skip }) => {
  const folder = mkdtempSync(join(tmpdir(), 'samples-'))
  try {
    const version = spawnSync('clang', ['--version'], { encoding: 'utf8' })
    const wanted = readFileSync(join(samples, 'wasm/toolchain.txt'), 'utf8')
    if (version.stdout?.split('\n')[0] !== wanted.split('\n')[0]) skip(`needs ${wanted.split('\n')[0]}`)
    const build = spawnSync('sh', [join(samples, 'build.sh'), folder], { encoding: 'utf8' })
    if (/unable to find library|file not found|cannot open/.test(build.stderr)) skip('needs wasi-libc and lld')
    expect(build.stderr).toBe('')
    if (readFileSync(join(folder, 'toolchain.txt'), 'utf8') !== wanted) skip('another wasi-libc')
    const names = readdirSync(folder).sort()
    expect(names).toEqual(readdirSync(join(samples, 'wasm')).sort())
    expect(names.length).toBeGreaterThan(9)
    const isSame = (name: string, committed: string): void => {
      const same = readFileSync(join(folder, name)).equals(readFileSync(committed))
      expect(same, `${name} differs from its source`).toBe(true)
    }
    for (const [name, at] of Object.entries(others)) {
      const source = fileURLToPath(new URL(at, import.meta.url))
      expect(spawnSync('sh', [join(source, 'build.sh'), folder], { encoding: 'utf8' }).stderr).toBe('')
      isSame(`${name}.wasm`, join(source, `${name}.wasm`))
    }
    const built = spawnSync('sh', [join(questions, 'build.sh'), join(folder, 'questions')], { encoding: 'utf8' })
    expect(built.stderr).toBe('')
    const asked = readdirSync(join(folder, 'questions')).sort()
    expect(asked).toEqual(readdirSync(join(questions, 'wasm')).sort())
    for (const name of names) isSame(name, join(samples, 'wasm', name))
    for (const name of asked) isSame(join('questions', name), join(questions, 'wasm', name))
  } finally {
    rmSync(folder, { recursive: true })
  }
}, 60_000)
