// Cells that somebody types to while they run and move: what is typed is read once and in order, wherever the cell is by then.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { OP } from '../../cells/wasm/opcodes.ts'
import type { CellReply } from '../../node/control/api.ts'
import { cellAt, ended, migrate } from '../../testnet/processes/cells.ts'
import { ProcessMesh, type ProcessPeer } from '../../testnet/processes/mesh.ts'
import { until } from '../../testnet/processes/until.ts'
import { asm, i32, VOID, WasmBuilder } from '../support/wasm-builder.ts'
import { at, cli, expectWell, MAIN, meshOf } from './fixture.ts'

let mesh: ProcessMesh
/** `fir` submits and runs nothing; the others host. */
let fir: ProcessPeer
let larch: ProcessPeer
let yew: ProcessPeer
let folder: string
let echo: string

/** Writes what it reads, 256 bytes at a time, until its input ends. */
function echoModule(): Uint8Array {
  const four = [i32, i32, i32, i32]
  const b = new WasmBuilder()
  const [read, write] = [b.import('fd_read', four, [i32]), b.import('fd_write', four, [i32])]
  const call = (index: number, ...args: number[]) => [...args.flatMap(asm.i32), ...asm.call(index), OP.drop]
  const got = [...asm.i32(8), 0x28, 2, 0]
  const body = [
    call(read, 0, 0, 1, 8),
    [...asm.i32(20), ...got, 0x36, 2, 0],
    [...got, OP.i32Eqz],
    asm.brIf(1),
    call(write, 1, 16, 1, 12),
    asm.br(0),
  ]
  b.func({ export: '_start', code: asm.block(VOID, asm.loop(VOID, ...body)) })
  return b.data(0, [64, 0, 0, 0, 0, 1, 0, 0]).data(16, [64, 0, 0, 0]).build()
}

beforeAll(async () => {
  mesh = await ProcessMesh.create()
  folder = await mkdtemp(join(tmpdir(), 'cloudskin-files-'))
  echo = join(folder, 'echo.wasm')
  await writeFile(echo, echoModule())
  const none = ['--slots', '0']
  const peers = await meshOf(mesh, ['fir', 'larch', 'yew'], (name) => (name === 'fir' ? none : []))
  ;[fir, larch, yew] = peers as [ProcessPeer, ProcessPeer, ProcessPeer]
}, 120_000)

afterAll(async () => {
  await mesh?.stop()
  await rm(folder, { recursive: true, force: true })
})

/** A command somebody types to. */
class Terminal {
  readonly child: ChildProcess
  stdout = ''
  stderr = ''

  constructor(...args: readonly string[]) {
    this.child = spawn(process.execPath, [MAIN, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
    this.child.stdout?.on('data', (data: Buffer) => (this.stdout += data.toString()))
    this.child.stderr?.on('data', (data: Buffer) => (this.stderr += data.toString()))
    this.child.stdin?.on('error', () => undefined)
    terminals.push(this)
  }

  type(text: string): void {
    this.child.stdin?.write(text)
  }

  /** Resolves once it has shown `text` at the end. */
  shows(text: string): Promise<unknown> {
    return until(`it shows ${text.trim()}`, async () => this.stdout.endsWith(text) || undefined)
  }

  says(text: string): Promise<unknown> {
    return until(`it says ${text}`, async () => this.stderr.includes(text) || undefined)
  }

  async code(): Promise<number | null> {
    if (this.child.exitCode === null) await once(this.child, 'close')
    return this.child.exitCode
  }
}

const terminals: Terminal[] = []
afterEach(() => {
  for (const { child } of terminals.splice(0)) if (child.exitCode === null) child.kill('SIGKILL')
})

async function newestCell(): Promise<string> {
  return until('the cell is there', async () => {
    const { cells } = await fir.client.call<{ cells: CellReply[] }>('/cells')
    return cells.find(({ phase }) => phase === 'running')?.cell
  })
}

describe('run --interactive', () => {
  it('passes on what is typed, also between moves, and its end', async () => {
    const terminal = new Terminal(...at(fir, 'run', echo, '-i', '--on', 'larch'))
    terminal.type('typed before it runs\n')
    await terminal.shows('typed before it runs\n')
    const cell = await newestCell()
    expect(await migrate(fir, cell, yew)).toMatchObject({ outcome: 'moved' })
    terminal.type('there\n')
    await terminal.shows('there\n')
    // Typed while it moves.
    const move = migrate(fir, cell, larch)
    for (let n = 1; n <= 20; n++) terminal.type(`meanwhile ${n}\n`)
    expect(await move).toMatchObject({ outcome: 'moved' })
    await terminal.shows('meanwhile 20\n')
    terminal.child.stdin?.end('and back\n')
    expect(await terminal.code()).toBe(0)
    const meanwhile = Array.from({ length: 20 }, (_, n) => `meanwhile ${n + 1}\n`).join('')
    expect(terminal.stdout).toBe(`typed before it runs\nthere\n${meanwhile}and back\n`)
    expect(await ended(fir, cell)).toMatchObject({ phase: 'finished', exitCode: 0, hostName: 'larch' })
  })

  it('passes on a whole pipe, after the file of --stdin', async () => {
    const file = join(folder, 'first.txt')
    await writeFile(file, 'first\n')
    const piped = Array.from({ length: 60_000 }, (_, n) => `line ${n}\n`).join('')
    const flags = ['run', echo, '-i', '--stdin', file] as const
    const { code, stdout } = await cli(at(fir, ...flags), { stdin: piped })
    expect(code).toBe(0)
    expect(stdout === `first\n${piped}`).toBe(true)
  })

  it('ends with the cell, whoever types', async () => {
    const terminal = new Terminal(...at(fir, 'run', echo, '-i'))
    terminal.type('x\n')
    await terminal.shows('x\n')
    const cell = await newestCell()
    expect((await cli(at(fir, 'stop', cell))).code).toBe(0)
    expect(await terminal.code()).toBe(7)
  })
})

describe('attach', () => {
  it('takes up where a terminal was closed, and takes over from one that is not', async () => {
    const first = new Terminal(...at(fir, 'run', echo, '-i'))
    first.type('one\n')
    await first.shows('one\n')
    const cell = await newestCell()
    first.child.kill('SIGINT')
    expect(await first.code()).toBe(130)
    expect(await cellAt(fir, cell)).toMatchObject({ phase: 'running' })
    const second = new Terminal(...at(fir, 'attach', cell))
    second.type('two\n')
    await second.shows('one\ntwo\n')
    const third = new Terminal(...at(fir, 'attach', cell))
    third.type('three\n')
    await third.shows('two\nthree\n')
    second.type('too late\n')
    await second.says('[CELL_STDIN_ELSEWHERE]')
    third.child.stdin?.end()
    expect([await second.code(), await third.code()]).toEqual([0, 0])
    for (const { stdout } of [second, third]) expect(stdout).toBe('one\ntwo\nthree\n')
  })

  it('leaves the peers well', () => expectWell([fir, larch, yew]))
})
