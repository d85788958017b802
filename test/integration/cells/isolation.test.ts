// What the process that runs foreign code may touch: the flags and the environment it is really started with.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { hostFlags } from '../../../cells/runtime/permissions.ts'
import { program, Recorder, sampleModule, startedEngine } from './support.ts'

/** Runs `code` under the flags of a host process; answers what it prints. */
function underFlags(code: string): string {
  const args = [...hostFlags(64), '--input-type=module', '-e', code]
  return execFileSync(process.execPath, args, { env: {}, encoding: 'utf8' }).trim()
}

const attempt = (what: string): string =>
  underFlags(`try { ${what}; console.log('done') } catch (e) { console.log(e.code) }`)
const repository = fileURLToPath(new URL('../../..', import.meta.url))

describe('a host process', () => {
  it('reads its own code, nothing else, and writes nothing', () => {
    const fs = `const fs = process.getBuiltinModule('node:fs')`
    expect(attempt(`${fs}; fs.readFileSync('${repository}cells/errors.ts')`)).toBe('done')
    expect(attempt(`${fs}; fs.readFileSync('/etc/passwd')`)).toBe('ERR_ACCESS_DENIED')
    expect(attempt(`${fs}; fs.readFileSync('${repository}README.md')`)).toBe('ERR_ACCESS_DENIED')
    expect(attempt(`${fs}; fs.writeFileSync('${repository}cells/x', '')`)).toBe('ERR_ACCESS_DENIED')
    expect(attempt(`process.getBuiltinModule('node:child_process').execFileSync('/bin/true')`)).toBe(
      'ERR_ACCESS_DENIED',
    )
  })

  it.skipIf(!existsSync('/proc/self/environ'))('has no environment of the peer and its memory capped', async () => {
    const engine = await startedEngine({ hostHeapMb: 96 })
    const cell = await engine.launch('s', 'owner', program(sampleModule('fault'), ['fault', 'spin']), new Recorder())
    const [pid] = engine.hostPids()
    const names = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean)
    expect(names.map((entry) => entry.split('=')[0]).filter((name) => !name?.startsWith('NODE_CHANNEL_'))).toEqual([])
    const flags = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    expect(flags).toEqual(expect.arrayContaining(['--permission', '--max-old-space-size=96']))
    await cell.kill()
  })
})
