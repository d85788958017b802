// What the calls of a program into its WASI cost, against the WASI of Node, which has the disk behind it: the program
// `calls` on both in turn in one process, on the CPU time of its thread.
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WASI } from 'node:wasi'
import { Wasi } from '../../cells/wasi/index.ts'
import { systemClock } from '../../core/clock.ts'
import { systemRandom } from '../../core/random.ts'
import { median } from './statistics.ts'
import type { Figures } from './types.ts'

const CALLS = new URL('../../cells/samples/wasm/calls.wasm', import.meta.url)
const ROUNDS = 15

/** `wasi.vsNodeWasi`: the ratio of the medians of both. */
export function wasiFigures(): Figures {
  const module = new WebAssembly.Module(readFileSync(CALLS))
  const folder = mkdtempSync(join(tmpdir(), 'wasi-'))
  const stdout = openSync('/dev/null', 'w')
  try {
    mkdirSync(join(folder, 'tmp'))
    const [ours, node]: [number[], number[]] = [[], []]
    for (let round = 0; round < ROUNDS; round++) {
      ours.push(onOurs(module))
      node.push(onNode(module, folder, stdout))
    }
    const all = ours.map((ms, round) => `${ms.toFixed(0)}/${node[round]?.toFixed(0)}`).join(' ')
    process.stdout.write(`  WASI calls on ours / on Node's, CPU ms, from the first on: ${all}\n`)
    return { 'wasi.vsNodeWasi': median(ours) / median(node) }
  } finally {
    closeSync(stdout)
    rmSync(folder, { recursive: true })
  }
}

function onOurs(module: WebAssembly.Module): number {
  let said = ''
  const wasi = new Wasi({
    args: ['calls'],
    env: {},
    files: [],
    stdin: new Uint8Array(0),
    limits: { outputBytes: 1000, diskBytes: 2 ** 28 },
    clock: systemClock,
    random: systemRandom,
    host: { output: (_stream, _offset, bytes) => (said += bytes.length), wait: () => false },
  })
  const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi.imports() })
  const { memory, _start: start } = instance.exports
  if (!(memory instanceof WebAssembly.Memory) || typeof start !== 'function') throw new Error('not a command')
  wasi.bind(memory)
  const ms = cpuMs(() => start())
  if (said === '') throw new Error('the program said nothing')
  return ms
}

function onNode(module: WebAssembly.Module, folder: string, stdout: number): number {
  const wasi = new WASI({ version: 'preview1', args: ['calls'], preopens: { '/': folder }, stdout, returnOnExit: true })
  const imports = { wasi_snapshot_preview1: wasi.wasiImport } as WebAssembly.Imports
  const instance = new WebAssembly.Instance(module, imports)
  return cpuMs(() => {
    if (wasi.start(instance) !== 0) throw new Error('the program failed')
  })
}

function cpuMs(work: () => void): number {
  const before = process.threadCpuUsage()
  work()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1000
}
