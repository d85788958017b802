// The command line as people and scripts use it: pipes, Ctrl-C, JSON, exit codes, files in and out.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OP } from '../../cells/wasm/opcodes.ts'
import type { CellReply, ConfigReply, ModelReply, PeerRow, RttReply, StatusReply } from '../../node/control/api.ts'
import { cellAt, ended, running, samplePath, submit } from '../../testnet/processes/cells.ts'
import { ProcessMesh, type ProcessPeer } from '../../testnet/processes/mesh.ts'
import { until } from '../../testnet/processes/until.ts'
import { asm, i32, WasmBuilder } from '../support/wasm-builder.ts'
import { at, type CliResult, cli, expectWell, MAIN, meshOf, QUICK } from './fixture.ts'

const SLEEPER = samplePath('sleeper')

let mesh: ProcessMesh
let peers: ProcessPeer[]
let here: ProcessPeer
let folder: string

beforeAll(async () => {
  mesh = await ProcessMesh.create()
  folder = await mkdtemp(join(tmpdir(), 'cloudskin-files-'))
  peers = await meshOf(mesh, ['acer', 'betula'])
  here = peers[0] as ProcessPeer
})

afterAll(async () => {
  await mesh?.stop()
  await rm(folder, { recursive: true, force: true })
})

const lines = (text: string): unknown[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)

describe('a followed run', () => {
  it('names its peer, tells its story beside the output, and each thing once', async () => {
    const { code, stdout, stderr } = await cli(at(here, 'run', SLEEPER, '--', '3', '10'))
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'line 1\nline 2\nline 3\n' })
    const said = stderr.trim().split('\n')
    expect(said[0]).toContain(`peer acer (${here.peer}) in mesh`)
    expect(said.map((line) => line.split(':')[0]).slice(1)).toEqual([
      'accepted',
      'placed',
      'fetching',
      'running',
      'finished',
    ])
  })

  it('gives one JSON value per line with -o json', async () => {
    const { code, stdout, stderr } = await cli(at(here, 'run', SLEEPER, '-o', 'json', '--', '2', '10'))
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const events = lines(stdout) as { kind: string; cell?: CellReply }[]
    expect(events.at(-1)).toMatchObject({ kind: 'end', cell: { phase: 'finished', exitCode: 0 } })
    expect(events.filter(({ kind }) => kind === 'end')).toHaveLength(1)
  })

  it('ends with its reader, as any program in a pipe does, and the cell goes on', async () => {
    const said = await cli(at(here, 'run', SLEEPER, '--', '60', '20'), {
      onStdout: (text, child) => {
        if (text.includes('line 2')) child.closeStdout()
      },
    })
    expect(said.code).toBe(141)
    expect(said.stderr).not.toContain('Error')
    const { cells } = await here.client.call<{ cells: CellReply[] }>('/cells')
    expect(cells).toMatchObject([{ name: 'sleeper', phase: 'running' }])
    expect(await ended(here, cells[0]?.cell ?? '')).toMatchObject({ phase: 'finished' })
  })

  it('is left with Ctrl-C: the cell goes on, and the command says how to find it', async () => {
    const said = await cli(at(here, 'run', SLEEPER, '--', '500', '20'), {
      onStdout: (text, child) => {
        if (text.includes('line 3\n')) child.kill('SIGINT')
      },
    })
    expect(said).toMatchObject({ code: 130, signal: null })
    const [, cell = ''] = /cloudskin stop ([0-9a-f]+)/.exec(said.stderr) ?? []
    expect(await cellAt(here, cell)).toMatchObject({ phase: 'running' })
    const following = await cli(at(here, 'logs', '-f', cell), {
      onStdout: (text, child) => {
        if (text.includes('line 5\n')) child.kill('SIGINT')
      },
    })
    expect(following).toMatchObject({ code: 130, signal: null })
    expect(following.stdout).toMatch(/^line 1\nline 2\nline 3\n/)
    expect((await cli(at(here, 'stop', cell))).code).toBe(0)
  })

  it('is left with a Ctrl-C that comes more than once, as npm and the terminal both send it', async () => {
    const flood = ['run', samplePath('fault'), '--output-mb', '16', '--', 'flood'] as const
    const said = await cli(at(here, ...flood), { onStdout: (_, child) => child.kill('SIGINT') })
    expect(said).toMatchObject({ code: 130, signal: null, stderr: expect.stringContaining('the cell goes on') })
  })

  it('is told by logs -f to several who follow at once, the same to each', async () => {
    const { cell } = await submit(here, { module: SLEEPER, args: ['12', '40'], on: 'betula' })
    await running(here, cell)
    const all = await Promise.all([1, 2, 3].map(() => cli(at(here, 'logs', '-f', cell))))
    const expected = Array.from({ length: 12 }, (_, index) => `line ${index + 1}\n`).join('')
    for (const one of all) expect({ code: one.code, stdout: one.stdout }).toEqual({ code: 0, stdout: expected })
    expect((await cli(at(here, 'logs', cell))).stdout).toBe(expected)
  })
})

describe('a seed', () => {
  it('decides the random bytes of a program on any peer, and without one they are new', async () => {
    const b = new WasmBuilder()
    const random = b.import('random_get', [i32, i32], [i32])
    const write = b.import('fd_write', [i32, i32, i32, i32], [i32])
    const call = (index: number, ...args: number[]) => [...args.flatMap(asm.i32), ...asm.call(index), OP.drop]
    // Small letters only: what a program prints is text here.
    const letter = [
      ...asm.i32(64),
      ...asm.i32(64),
      0x28,
      2,
      0,
      ...asm.i32(0x0f0f0f0f),
      0x71,
      ...asm.i32(0x61616161),
      0x6a,
      0x36,
      2,
      0,
    ]
    b.func({ export: '_start', code: [...call(random, 64, 4), ...letter, ...call(write, 1, 0, 1, 8)] })
    const module = join(folder, 'random.wasm')
    await writeFile(module, b.data(0, [64, 0, 0, 0, 4, 0, 0, 0]).build())
    const run = async (...flags: string[]): Promise<string> => {
      const { code, stdout } = await cli(at(here, 'run', module, ...flags))
      expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^[a-p]{4}$/) })
      return stdout
    }
    const first = await run('--seed', 'one', '--on', 'acer')
    expect(await run('--seed', 'one', '--on', 'betula')).toBe(first)
    // Four letters are alike by chance once in 65,536 runs, three times over once in 10^14.
    const others = [await run('--seed', 'two'), await run(), await run()]
    expect(others.every((one) => one === first)).toBe(false)
    expect(new Set(others).size).toBeGreaterThan(1)
  })
})

describe('files', () => {
  it('go in by --file and --stdin and come back by get, also to standard output', async () => {
    const text = 'to be or not to be\n'.repeat(50)
    const local = join(folder, 'text: with a colon.txt')
    await writeFile(local, text)
    const run = await cli(
      at(here, 'run', samplePath('wordcount'), '--on', 'betula', '--file', `${local}:/in/text`, '--', '/in/text', '2'),
    )
    expect(run.code).toBe(0)
    expect(run.stdout).toContain('be')
    const echo = join(folder, 'echo.wasm')
    await writeFile(echo, echoModule())
    const input = join(folder, 'input')
    await writeFile(input, 'from a file\n')
    expect((await cli(at(here, 'run', echo, '--stdin', input))).stdout).toBe('from a file\n')
    const piped = await cli(at(here, 'run', echo, '--stdin', '-'), { stdin: 'from a pipe\n' })
    expect(piped.stdout).toBe('from a pipe\n')
    const filled = await cli(
      at(here, 'run', samplePath('fault'), '-d', '--disk-mb', '1', '--out', '/out/x', '--', 'fill', '/out/x'),
    )
    const cell = filled.stdout.trim()
    const { files } = await ended(here, cell)
    expect(files.map(({ path }) => path)).toEqual(['/out/x'])
    const copy = join(folder, 'x')
    expect((await cli(at(here, 'get', cell, '/out/x', copy))).code).toBe(0)
    const bytes = await readFile(copy)
    expect(bytes.length).toBe(files[0]?.bytes)
    // compared as a truth value: a difference of a megabyte is no help to anybody
    expect((await cli(at(here, 'get', cell, '/out/x', '-'))).stdout === bytes.toString()).toBe(true)
  })

  it('that cannot be had or written say so', async () => {
    const { cell } = await submit(here, { module: samplePath('queens'), args: ['4'] })
    await ended(here, cell)
    const wanted = await cli(at(here, 'run', samplePath('queens'), '--out', '/out/none', '--', '4'))
    expect(wanted).toMatchObject({ code: 0, stderr: expect.stringContaining('the program left no /out/none\n') })
    expect((await cli(at(here, 'get', cell, '/none', '-', '-o', 'json'))).code).toBe(2)
    expect(await cli(at(here, 'get', cell, '/none'))).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('[CELL_FILE_UNKNOWN]'),
    })
    const filled = await cli(at(here, 'run', samplePath('fault'), '-d', '--disk-mb', '1', '--', 'fill', '/out/y'))
    await ended(here, filled.stdout.trim())
    expect(await cli(at(here, 'get', filled.stdout.trim(), '/out/y', '/dev/null/y'))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('[FILE_UNWRITABLE]'),
    })
  })
})

describe('every verb', () => {
  it('has help with an example, a JSON form, and codes for what is wrong', async () => {
    const overview = await cli(['help'])
    expect(overview.code).toBe(0)
    const verbs = [...overview.stdout.matchAll(/^ {2}([a-z]+) {2,}/gm)].map(([, verb = '']) => verb)
    expect(verbs.length).toBeGreaterThan(14)
    for (const help of await Promise.all(verbs.map((verb) => cli([verb, '--help'])))) {
      expect(help.code).toBe(0)
      expect(help.stdout).toMatch(/example:\n {2}.*cloudskin/)
    }
  })

  it('fails with 2 for a wrong command line', async () => {
    const wrong = [
      ['dance'],
      ['help', 'dance'],
      ['run'],
      ['ps', 'extra'],
      ['ps', '--colour'],
      ['ps', '-o', 'xml'],
      ['up', '--slots', 'many'],
      ['up', '--preset', 'moon'],
      ['invite', 'burn', '--home', here.home],
      ['invite', 'create', '--ttl-m', 'soon', '--home', here.home],
      ['invite', 'create', '--uses', '5000', '--home', here.home],
      ['invite', 'create', '--role', 'root', '--home', here.home],
      ['invite', 'list', 'extra', '--home', here.home],
      ['run', SLEEPER, '--fuel', '-1', '--home', here.home],
      ['run', SLEEPER, '--file', 'nowhere', '--home', here.home],
      ['run', SLEEPER, '--engine', 'wasix', '--seed', 'x', '--home', here.home],
      ['logs', '../status', '--home', here.home],
      ['logs', '', '--home', here.home],
    ]
    const codes = await Promise.all(wrong.map(async (args) => [args, (await cli(args)).code]))
    expect(codes).toEqual(wrong.map((args) => [args, 2]))
  })

  it('fails with 3 where no peer runs, with 4 for what is not there, with 5 where nobody takes the cell', async () => {
    expect(await cli(['ps', '--home', folder])).toMatchObject({ code: 3, stdout: '' })
    const verbs = ['logs', 'why', 'stop', 'rerun', 'rm', 'migrate']
    const codes = await Promise.all(verbs.map(async (verb) => (await cli(at(here, verb, 'ffffffffffff'))).code))
    expect(codes).toEqual(verbs.map(() => 4))
    expect((await cli(at(here, 'run', SLEEPER, '--on', 'nobody'))).code).toBe(4)
    expect((await cli(at(here, 'run', SLEEPER, '--label', 'moon=full'))).code).toBe(5)
  })

  it('says in JSON what it says in words', async () => {
    const json = async <T>(...args: [string, ...string[]]): Promise<T> => {
      const { code, stdout, stderr } = await cli(at(here, ...args, '-o', 'json'))
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      return JSON.parse(stdout) as T
    }
    expect(await json<StatusReply>('status')).toMatchObject({
      peer: here.peer,
      name: 'acer',
      socket: here.status.socket,
    })
    const { peers: rows } = await json<{ peers: PeerRow[] }>('peers')
    expect(rows.map(({ name, status }) => [name, status]).sort()).toEqual([
      ['acer', 'alive'],
      ['betula', 'alive'],
    ])
    expect(await json<RttReply>('rtt', 'betula')).toMatchObject({ from: here.peer, rttMs: expect.any(Number) })
    expect((await cli(at(here, 'rtt', 'acer', 'betula'))).stdout).toMatch(/^\d+\.\d ms, measured/)
    expect((await cli(at(here, 'rtt', 'nobody'))).code).toBe(4)
    expect(await json<ModelReply>('model')).toMatchObject({ decides: 'heuristic', history: [] })
    const { cells } = await json<{ cells: CellReply[] }>('ps', '-a')
    expect(cells.length).toBeGreaterThan(0)
    const [cell] = cells
    expect(await json<{ lines: string[] }>('why', cell?.cell ?? '')).toMatchObject({ cell: cell?.cell })
    expect(JSON.parse((await cli(['dance', '-o', 'json'])).stdout)).toMatchObject({ error: { code: 'USAGE' } })
    const failure = await cli(at(here, 'logs', 'ffffffffffff', '-o', 'json'))
    expect(JSON.parse(failure.stdout)).toMatchObject({ error: { code: 'CELL_UNKNOWN' } })
  })

  it('takes its options from flags before environment before file, and config show says which', async () => {
    const file = join(folder, 'config.toml')
    await writeFile(file, 'slots = 3\nzone = "attic"\nname = "from-file"\n')
    const shown = await cli(['config', 'show', '--config', file, '--name', 'from-flag', '-o', 'json'], {
      env: { CLOUDSKIN_ZONE: 'cellar' },
    })
    const { options } = JSON.parse(shown.stdout) as ConfigReply
    const origin = Object.fromEntries(options.map((option) => [option.name, [option.value, option.origin]]))
    expect(origin.slots).toEqual([3, `file ${file}`])
    expect(origin.zone).toEqual(['cellar', 'environment CLOUDSKIN_ZONE'])
    expect(origin.name).toEqual(['from-flag', 'flag'])
    expect(origin.open).toEqual([false, 'default'])
    const running = JSON.parse((await cli(at(here, 'config', 'show', '-o', 'json'))).stdout) as ConfigReply
    expect(running.options).toContainEqual(expect.objectContaining({ name: 'name', value: 'acer', origin: 'flag' }))
    await writeFile(file, 'colour = "red"\n')
    expect(await cli(['up', '--config', file])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('[CONFIG_UNKNOWN_OPTION]'),
    })
  })

  it('completes in the shells that are known', async () => {
    const script = join(folder, 'completion.bash')
    await writeFile(script, (await cli(['completion', 'bash'])).stdout)
    const ask = `source ${script}; COMP_WORDS=(cloudskin mi); COMP_CWORD=1; _cloudskin; echo "\${COMPREPLY[@]}"`
    expect((await promisify(execFile)('bash', ['-c', ask])).stdout).toBe('migrate\n')
    for (const shell of ['zsh', 'fish']) expect((await cli(['completion', shell])).stdout).toContain('cloudskin')
    expect((await cli(['completion', 'tcsh'])).code).toBe(2)
  })
})

describe('a peer in the background', () => {
  it('is up when the command returns, and gone when down returns', async () => {
    const home = join(mesh.folder, 'background')
    const base = ['--home', home, '--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', ...QUICK]
    const up = await cli(['up', '-d', ...base, '--name', 'dusk'])
    expect(up.code).toBe(0)
    expect(up.stdout).toMatch(/cloudskin up --join cst1\S+/)
    expect((await cli(['up', '-d', ...base])).stderr).toContain('[HOME_LOCKED]')
    const status = JSON.parse((await cli(['status', '--home', home, '-o', 'json'])).stdout) as StatusReply
    expect((await cli(['down', '--home', home])).stdout).toContain(`stopped (pid ${status.pid})`)
    // what is said to have stopped has let go of its home, and whoever followed a cell of it is told where to find it
    expect((await cli(['up', '-d', ...base])).code).toBe(0)
    let down: Promise<CliResult> | undefined
    const followed = await cli(['run', '--home', home, SLEEPER, '--', '500', '20'], {
      onStdout: () => {
        down ??= cli(['down', '--home', home])
      },
    })
    expect(followed).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/logs -f [0-9a-f]{12}" .*\n.*\[STOPPED\]/),
    })
    expect((await down)?.code).toBe(0)
    expect((await cli(['down', '--home', home])).code).toBe(3)
    await until('the processes have ended', async () => !isThere(status.pid))
  })

  it('ends at SIGTERM as at down, and says how it could not start', async () => {
    const bad = await cli(['up', '-d', '--home', join(mesh.folder, 'bad'), ...QUICK, '--join', 'rubbish'])
    expect(bad).toMatchObject({ code: 1, stderr: expect.stringContaining('[ADDRESS_BAD]') })
    const taken = here.status.addresses[0]?.replace(/\/p2p\/.*$/, '') ?? ''
    const listening = await cli(['up', '-d', '--home', join(mesh.folder, 'bad'), ...QUICK, '--listen', taken])
    expect(listening).toMatchObject({ code: 1, stderr: expect.stringContaining('[LISTEN_FAILED]') })
    const ended = await cli(
      ['up', '--home', join(mesh.folder, 'term'), '--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', ...QUICK],
      { onStdout: (_, child) => child.kill('SIGTERM') },
    )
    expect(ended).toMatchObject({ code: 0, signal: null })
  })

  it('is given up with Ctrl-C while it still waits for an answer', async () => {
    const silent = await mesh.start({ name: 'silent', flags: [...QUICK] })
    const ticket = await mesh.ticket(silent, 1)
    silent.process.kill('SIGSTOP')
    const home = join(mesh.folder, 'impatient')
    const flags = ['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', ...QUICK, '--join', ticket]
    const up = spawn(process.execPath, [MAIN, 'up', '--home', home, ...flags], { stdio: 'ignore' })
    await until('it has begun', async () => existsSync(join(home, 'lock')))
    up.kill('SIGINT')
    expect(await once(up, 'exit')).toEqual([130, null])
    silent.process.kill('SIGCONT')
  })

  it('leaves the others well', () => expectWell(peers))
})

/** A program that says what it reads first. */
function echoModule(): Uint8Array {
  const builder = new WasmBuilder().memory({ min: 1 })
  const read = builder.import('fd_read', [i32, i32, i32, i32], [i32])
  const write = builder.import('fd_write', [i32, i32, i32, i32], [i32])
  const vector = (call: number, descriptor: number): number[] =>
    [descriptor, 0, 1, 4].flatMap((value) => [...asm.i32(value)]).concat(asm.call(call), OP.drop)
  // One vector, at 0, of 100 bytes at 16; how many came goes to 4, which is its length when it is written.
  builder.data(0, [16, 0, 0, 0, 100, 0, 0, 0])
  builder.func({ code: [...vector(read, 0), ...vector(write, 1)], export: '_start' })
  return builder.build()
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
