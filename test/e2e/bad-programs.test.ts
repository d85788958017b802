// Programs that are no cells, and cells that misbehave: each has its code and exit code, and no peer minds.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OP } from '../../cells/wasm/opcodes.ts'
import type { CellReply } from '../../node/control/api.ts'
import { ended, running, samplePath, submit } from '../../testnet/processes/cells.ts'
import { ProcessMesh, type ProcessPeer } from '../../testnet/processes/mesh.ts'
import { asm, i32, VOID, WasmBuilder } from '../support/wasm-builder.ts'
import { at, cli, expectWell, meshOf } from './fixture.ts'

const FAULT = samplePath('fault')

let mesh: ProcessMesh
let peers: ProcessPeer[]
let here: ProcessPeer
let folder: string

beforeAll(async () => {
  mesh = await ProcessMesh.create()
  folder = await mkdtemp(join(tmpdir(), 'cloudskin-files-'))
  peers = await meshOf(mesh, ['ash', 'birch'])
  here = peers[0] as ProcessPeer
})

afterAll(async () => {
  await mesh?.stop()
  await rm(folder, { recursive: true, force: true })
})

/** A command whose `_start` is `code`. */
function command(code: readonly number[] = []): WasmBuilder {
  const builder = new WasmBuilder()
  builder.func({ code, export: '_start' })
  return builder
}

const LOOP = asm.loop(VOID, asm.br(0))

const REFUSED: [string, string, () => Uint8Array][] = [
  ['a text', 'CELL_NOT_WASM', () => Buffer.from('#!/bin/sh\necho hello\n')],
  ['an empty file', 'CELL_NOT_WASM', () => new Uint8Array()],
  ['a module that was cut', 'CELL_NOT_WASM', () => command(LOOP).build().subarray(0, -3)],
  ['a module with noise behind it', 'CELL_NOT_WASM', () => Buffer.concat([command().build(), Buffer.from('noise')])],
  [
    'an import that is not of WASI',
    'CELL_UNKNOWN_IMPORT',
    () => {
      const builder = new WasmBuilder()
      builder.import('alert', [i32], [], 'env')
      builder.func({ code: [], export: '_start' })
      return builder.build()
    },
  ],
  [
    'a function that WASI does not have',
    'CELL_UNKNOWN_IMPORT',
    () => {
      const builder = new WasmBuilder()
      builder.import('fd_teleport', [i32], [i32])
      builder.func({ code: [], export: '_start' })
      return builder.build()
    },
  ],
  ['a shared memory', 'CELL_THREADS_UNSUPPORTED', () => command().memory({ min: 1, max: 2, shared: true }).build()],
  [
    'an asyncify of its own',
    'CELL_ALREADY_ASYNCIFIED',
    () => {
      const builder = command()
      builder.func({ params: [i32], code: [], export: 'asyncify_start_unwind' })
      return builder.build()
    },
  ],
  [
    'a library without _start',
    'CELL_NOT_A_COMMAND',
    () => {
      const builder = new WasmBuilder()
      builder.func({ code: [], export: 'add' })
      return builder.build()
    },
  ],
]

describe('a module that is no cell', () => {
  it.each(REFUSED)('is refused before it is accepted: %s', async (name, code, build) => {
    const path = join(folder, `${name.replaceAll(' ', '-')}.wasm`)
    await writeFile(path, build())
    const { code: exit, stdout, stderr } = await cli(at(here, 'run', path))
    expect({ exit, stdout }).toEqual({ exit: 1, stdout: '' })
    expect(stderr).toContain(`[${code}]`)
    expect(stderr).not.toContain('accepted')
  })

  it('is not there, or is a folder, or asks for files that are not there', async () => {
    for (const args of [
      ['no/such/module.wasm'],
      [folder],
      [FAULT, '--file', `${folder}/nothing:/in/nothing`],
      [FAULT, '--stdin', `${folder}/nothing`],
    ]) {
      const { code, stderr } = await cli(at(here, 'run', ...args))
      expect(code).toBe(1)
      expect(stderr).toContain('[FILE_UNREADABLE]')
    }
  })

  it('leaves the peers well, with nothing accepted', async () => {
    expect((await here.client.call<{ cells: CellReply[] }>('/cells', { query: { all: '1' } })).cells).toEqual([])
    await expectWell(peers)
  })
})

// flags, arguments, code, exit code
const MISBEHAVES: [string, string[], string, number][] = [
  ['trap', [], 'CELL_TRAPPED', 6],
  ['divide', [], 'CELL_TRAPPED', 6],
  ['pointer', [], 'CELL_TRAPPED', 6],
  ['abort', [], 'CELL_TRAPPED', 6],
  ['recurse', [], 'CELL_STACK_TOO_DEEP', 6],
  ['spin', ['--time-s', '1'], 'CELL_TIME_LIMIT', 6],
  ['spin', ['--fuel', '50000'], 'CELL_FUEL_LIMIT', 6],
  ['flood', ['--output-mb', '1', '--wait'], 'CELL_OUTPUT_LIMIT', 6],
]

describe('a cell that misbehaves', () => {
  it.each(MISBEHAVES)('fails with its code: %s %j', async (mode, flags, code, exit) => {
    const said = await cli(at(here, 'run', FAULT, ...flags, '--on', 'birch', '--', mode))
    expect(said.stderr).toContain(`[${code}]`)
    expect(said.code).toBe(exit)
  })

  it('gets no more memory or disk than it may, learns so, and ends by itself', async () => {
    const memory = await cli(at(here, 'run', FAULT, '--memory-mb', '16', '--', 'oom'))
    expect(memory.code).toBe(3)
    const kib = Number(/out of memory after (\d+) KiB/.exec(memory.stdout)?.[1])
    expect(kib).toBeGreaterThan(1024)
    expect(kib).toBeLessThan(16 * 1024)
    const disk = await cli(at(here, 'run', FAULT, '--disk-mb', '1', '--', 'fill'))
    expect(disk.code).toBe(4)
    const bytes = Number(/(\d+) bytes written/.exec(disk.stdout)?.[1])
    expect(bytes).toBeGreaterThan(512 * 1024)
    expect(bytes).toBeLessThanOrEqual(1024 * 1024)
  })

  it('is refused when it starts with more memory than it may have', async () => {
    const path = join(folder, 'wants-32-mib.wasm')
    await writeFile(path, command().memory({ min: 512 }).build())
    const { code, stderr } = await cli(at(here, 'run', path, '--memory-mb', '16'))
    expect(stderr).toContain('[CELL_MEMORY_LIMIT]')
    expect(code).toBe(6)
  })

  it('passes its own exit code through, and no code of ours', async () => {
    for (const code of [0, 1, 5, 125]) {
      expect((await cli(at(here, 'run', FAULT, '--', 'exit', String(code)))).code).toBe(code)
    }
    expect((await cli(at(here, 'run', FAULT, '--', 'nonsense'))).code).toBe(2)
  })

  it('can be stopped while it loops for ever, and a loop that passes no poll too', async () => {
    const path = join(folder, 'tight.wasm')
    await writeFile(path, command([...LOOP, OP.unreachable]).build())
    for (const [module, args] of [
      [FAULT, ['spin']],
      [path, []],
    ] as const) {
      const { cell } = await submit(here, { module, args, on: 'birch' })
      await running(here, cell)
      const stopped = await cli(at(here, 'stop', cell.slice(0, 10)))
      expect(stopped).toMatchObject({ code: 0, stdout: `stopped: ${cell.slice(0, 12)}\n` })
      expect(await ended(here, cell)).toMatchObject({ phase: 'stopped' })
      expect((await cli(at(here, 'logs', '-f', cell))).code).toBe(7)
    }
  })

  it('leaves the peers well, and they run the next cell', async () => {
    await expectWell(peers)
    for (const peer of peers) {
      const said = await cli(at(here, 'run', samplePath('queens'), '--on', peer.name, '--', '8'))
      expect(said).toMatchObject({ code: 0, stdout: '8 queens: 92 ways\n' })
    }
  })
})
