// Runs a cell through a chain of host processes, a new one per hop, stopped where a seed says.
import { ProcessCellEngine } from '../../../cells/runtime/engine.ts'
import type { CellEngineInit, CellHandle, CellLimits, CellProgram } from '../../../cells/types.ts'
import { sha256Hex } from '../../../core/bytes.ts'
import { systemClock } from '../../../core/clock.ts'
import { seededRandom } from '../../../core/random.ts'
import { Recorder } from '../cells/support.ts'
import type { Outcome, Program } from '../wasi/programs.ts'

const LIMITS: CellLimits = {
  memoryBytes: 1 << 30,
  wallMs: 600_000,
  fuel: Number.MAX_SAFE_INTEGER,
  outputBytes: 8 << 20,
  diskBytes: 256 << 20,
}
/** A hop that is not reached in this time has failed. */
const HOP_TIMEOUT_MS = 120_000

export interface HopInit {
  /** Started engines that take turns, and stay. @default a new engine, with a new process, for every hop */
  readonly between?: readonly ProcessCellEngine[]
  /** Of the new engines. */
  readonly engineInit?: CellEngineInit
  /** Polls passed at which it is stopped, ascending. */
  readonly stops: readonly number[]
}

export interface Hopped {
  readonly outcome: Outcome
  /** The files that it made or changed. */
  readonly made: ReadonlyMap<string, Uint8Array>
  readonly hops: number
  /** Polls passed in all. */
  readonly polls: number
  /** Process ids of the hosts in the order in which they had it. */
  readonly hosts: readonly number[]
  readonly snapshotBytes: readonly number[]
}

/** `count` polls of a program that passes `polls`, ascending, others for each seed; none near the end, where one could be missed. */
export function seededStops(seed: number, polls: number, count: number): number[] {
  const random = seededRandom(seed)
  return Array.from({ length: count }, () => random.int(Math.ceil(polls * 0.8))).sort((a, b) => a - b)
}

/** Runs `program` to its end; at each of `stops` it goes on, from the bytes of its snapshot, in a new process. */
export async function runInHops(program: Program, init: HopInit): Promise<Hopped> {
  const { module, args, env = {}, files = [], stdin = new Uint8Array(0), nan = 'native' } = program
  const cell: CellProgram = { module, args, env, files, stdin, nan, limits: LIMITS }
  const recorder = new Recorder()
  const hosts: number[] = []
  const snapshotBytes: number[] = []
  let engine = await engineOf(0, init)
  try {
    let handle = await engine.launch('hops', 'owner', cell, recorder)
    hosts.push(...engine.hostPids())
    for (const stop of init.stops) {
      const snapshot = await stopped(handle, stop)
      if (snapshot === undefined) break
      snapshotBytes.push(snapshot.length)
      if (init.between === undefined) await engine.stop()
      else await handle.discard()
      engine = await engineOf(snapshotBytes.length, init)
      handle = await engine.resume('hops', 'owner', module, snapshot, LIMITS, recorder, { nan })
      hosts.push(...engine.hostPids())
    }
    const exit = await handle.ended
    if (exit.kind !== 'exited')
      throw new Error(`${args[0]} ${exit.kind} after ${snapshotBytes.length} hops: ${JSON.stringify(exit)}`)
    const made = new Map(exit.files.map(({ path, bytes }) => [path, bytes]))
    const tree = [...new Map(files.map(({ path, bytes }) => [path, bytes])), ...made]
    const hashes = Object.fromEntries(tree.map(([path, bytes]) => [path, sha256Hex(bytes)]))
    const { stdout, stderr } = recorder
    const outcome = { exitCode: exit.exitCode, stdout, stderr, files: hashes }
    return { outcome, made, hops: snapshotBytes.length, polls: exit.usage.fuel, hosts, snapshotBytes }
  } finally {
    if (init.between === undefined) await engine.stop()
  }
}

async function engineOf(hop: number, { between, engineInit = {} }: HopInit): Promise<ProcessCellEngine> {
  const engine = between?.[hop % between.length] ?? new ProcessCellEngine(engineInit)
  if (between === undefined) await engine.start()
  return engine
}

/** The snapshot of the program once it has passed `stop` polls; undefined when it ended before. */
async function stopped(handle: CellHandle, stop: number): Promise<Uint8Array | undefined> {
  const deadline = systemClock.mono() + HOP_TIMEOUT_MS
  let running = true
  void handle.ended.then(() => {
    running = false
  })
  while (running && (await handle.usage()).fuel < stop)
    if (systemClock.mono() > deadline) throw new Error(`it did not pass ${stop} polls in ${HOP_TIMEOUT_MS} ms`)
  try {
    return (await handle.suspend({})).bytes
  } catch (error) {
    // By its code alone: the engine may be that of another build.
    if ((error as { readonly code?: unknown }).code === 'CELL_ENDED') return undefined
    throw error
  }
}
