// Cells whose files are larger than the memory that they may take: an external sort, left alone and moved while it runs.
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import type { ProcessCellEngine } from '../../../cells/runtime/engine.ts'
import type { CellExit, CellHandle, CellProgram, LargeFile } from '../../../cells/types.ts'
import { STOP_RULE } from '../../../protocols/migration/protocol.ts'
import { isTimeToStop, type Round } from '../../../protocols/migration/stop-rule.ts'
import { eventually } from '../../support/eventually.ts'
import { program, Recorder, sampleModule, startedEngine } from './support.ts'

const TIMEOUT_MS = 120_000
const MIB = 1 << 20
const DATA_BYTES = 160 * MIB
/** With as much again in runs, and as much again in the result. */
const DISK = 4 * DATA_BYTES
const MODULE = sampleModule('extsort')

async function engineIn(): Promise<{ engine: ProcessCellEngine; folder: string }> {
  const parent = mkdtempSync(join(tmpdir(), 'cloudskin-'))
  onTestFinished(() => rmSync(parent, { recursive: true, force: true }))
  const folder = join(parent, 'engine')
  return { engine: await startedEngine({ folder }), folder }
}

function sorting(args: readonly string[], largeFiles?: readonly LargeFile[]): CellProgram {
  return { ...program(MODULE, ['extsort', ...args], { limits: { diskBytes: DISK } }), largeFiles }
}

async function finished(ended: Promise<CellExit>): Promise<readonly LargeFile[]> {
  const exit = await ended
  if (exit.kind !== 'exited' || exit.exitCode !== 0) throw new Error(`it did not succeed: ${JSON.stringify(exit)}`)
  expect(exit.files).toEqual([])
  return exit.largeFiles ?? []
}

/** A file of records in no order, and what the program said of it. */
async function made(engine: ProcessCellEngine): Promise<{ data: LargeFile; checksum: string | undefined }> {
  const recorder = new Recorder()
  const cell = await engine.launch('make', 'owner', sorting(['make', String(DATA_BYTES / MIB), '/out/data']), recorder)
  const [data] = await finished(cell.ended)
  if (data === undefined) throw new Error('it left nothing')
  expect(data).toMatchObject({ path: '/out/data', bytes: DATA_BYTES })
  return { data: { ...data, path: '/data' }, checksum: checksumOf(recorder) }
}

function checksumOf(recorder: Recorder): string | undefined {
  return /checksum (\w+)/.exec(recorder.stdout)?.[1]
}

/** How the records of `file` are in order, as a hash: the same for every right answer. */
function sortedHash({ file, bytes }: LargeFile): string {
  const all = readFileSync(file)
  expect(all.length).toBe(bytes)
  for (let at = 16; at < all.length; at += 16)
    if (all.compare(all, at, at + 16, at - 16, at) > 0) throw new Error(`the record at ${at} is out of order`)
  return createHash('sha256').update(all).digest('hex')
}

/** The most that a process has had in memory, bytes. */
function peakOf(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}

/** About 300 MiB, and 400 in a move, however large the files are; with all of them in memory it would be 650. */
function expectBoundedMemory(engine: ProcessCellEngine): void {
  for (const pid of engine.hostPids()) expect(peakOf(pid)).toBeLessThan(470 * MIB)
}

it('sorts in memory that holds a part of the files, and gives all of the disk back', {
  timeout: TIMEOUT_MS,
}, async () => {
  const { engine, folder } = await engineIn()
  const { data, checksum } = await made(engine)
  const recorder = new Recorder()
  const cell = await engine.launch('sort', 'owner', sorting(['/data', '/out/sorted', '2'], [data]), recorder)
  const [sorted, ...more] = await finished(cell.ended)
  expect(more).toEqual([])
  expect(checksumOf(recorder)).toBe(checksum)
  if (sorted === undefined) throw new Error('it left nothing')
  sortedHash(sorted)
  expectBoundedMemory(engine)
  // The input is the caller's.
  expect(existsSync(data.file)).toBe(true)
  const hosts = readdirSync(folder).filter((name) => name !== 'results')
  for (const host of hosts)
    for (const inner of ['inputs', 'spill']) expect(readdirSync(join(folder, host, inner))).toEqual([])
  await engine.stop()
  expect(readdirSync(folder)).toEqual(['results'])
})

/** A live copy of `from` into a new cell of `engine`. */
async function movedTo(engine: ProcessCellEngine, from: CellHandle, cell: CellProgram, recorder: Recorder) {
  const copy = await from.copy({})
  const arriving = await engine.receive('sort', 'owner', cell.module, cell.limits, recorder)
  let largest = 0
  // As a move does: rounds, until little is left for the stop.
  const rounds: Round[] = []
  while (!isTimeToStop(rounds, 0, { ...STOP_RULE, maxBytes: Number.POSITIVE_INFINITY })) {
    let bytes = 0
    for await (const part of copy.round()) {
      bytes += part.length
      largest = Math.max(largest, part.length)
      await arriving.add(part)
    }
    rounds.push({ bytes, dirtyBytes: await copy.dirtyBytes() })
  }
  const { parts } = await copy.stop()
  for (const part of parts) await arriving.add(part)
  const arrived = await arriving.finish()
  await from.discard()
  await arrived.resumeHere()
  return { arrived, largest }
}

it('moves while it runs, and goes on with the same files', { timeout: TIMEOUT_MS }, async () => {
  const [one, two] = [await engineIn(), await engineIn()]
  const { data, checksum } = await made(one.engine)
  const cell = sorting(['/data', '/out/sorted', '2'], [data])
  const recorder = new Recorder()
  let at = await one.engine.launch('sort', 'owner', cell, recorder)
  for (const { engine } of [two, one]) {
    await eventually(async () => (await at.usage()).diskBytes > DATA_BYTES * 1.2, TIMEOUT_MS)
    const { arrived, largest } = await movedTo(engine, at, cell, recorder)
    expect(largest).toBeLessThan(16 * MIB)
    expectBoundedMemory(one.engine)
    expectBoundedMemory(two.engine)
    at = arrived
  }
  const run = await at.readFile('/data')
  if (run === undefined || !('file' in run)) throw new Error('it is not a file of its own')
  expect(readFileSync(run.file).equals(readFileSync(data.file))).toBe(true)
  const [sorted] = await finished(at.ended)
  expect(checksumOf(recorder)).toBe(checksum)
  if (sorted === undefined) throw new Error('it left nothing')
  sortedHash(sorted)
})

it('is refused large inputs where there is no folder, or on wasix', async () => {
  const without = await startedEngine()
  const large = sorting(['/data', '/out'], [{ path: '/data', file: '/none', bytes: 1 }])
  const refused = { code: 'CELL_OPTION_UNSUPPORTED' }
  await expect(without.launch('a', 'owner', large, new Recorder())).rejects.toMatchObject(refused)
  const { engine } = await engineIn()
  const wasix: CellProgram = { ...large, engine: 'wasix', migratable: false }
  await expect(engine.launch('b', 'owner', wasix, new Recorder())).rejects.toMatchObject(refused)
  await expect(engine.launch('c', 'owner', large, new Recorder())).rejects.toThrow('ENOENT')
})
