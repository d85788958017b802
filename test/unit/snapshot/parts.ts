// Parts of snapshots for tests: whole ones, and forged ones whose hashes are right.
import { MEMORY_PAGES, type StateHeader } from '../../../cells/snapshot/format.ts'
import { type PageRun, writePages } from '../../../cells/snapshot/pages.ts'
import { readParts, sealPart } from '../../../cells/snapshot/part.ts'
import { type Material, type SnapshotExpectation, SnapshotWriter } from '../../../cells/snapshot/snapshot.ts'
import { concat, sha256, sha256Hex } from '../../../core/bytes.ts'

export const moduleHash = sha256Hex(Uint8Array.of(1))
export const usage = { busyMs: 1.5, wallMs: 2.25, fuel: 3, stdoutBytes: 4, stderrBytes: 5 }

export const expected: SnapshotExpectation = {
  moduleHash,
  instrumenter: '1',
  layoutHash: 'layout',
  memories: 2,
  maxMemoryPages: 16,
  maxStateBytes: 1 << 20,
}

/** Three pages of a first memory: some noise, something compressible, nothing else. */
export function sampleMemory(): Uint8Array {
  const memory = new Uint8Array(3 * 65_536).fill(9, 100, 40_000)
  let noise = 1
  for (let i = 0; i < 8_192; i++) {
    noise = (noise * 48_271) % 2_147_483_647
    memory[98_304 + i] = noise
  }
  return memory
}

/** A page of a second one. */
export function secondMemory(): Uint8Array {
  return new Uint8Array(65_536).fill(5, 4_096, 4_200)
}

const run = (start: number, count: number, zero = false): PageRun => ({ start, count, zero })

/** What a live copy of two rounds and a stop is made of. */
export function sampleMaterials(memory = sampleMemory()): Material[] {
  const globals = Uint8Array.of(1, 2)
  const frames = Uint8Array.of(3)
  const wasi = Uint8Array.of(4, 5, 6)
  const last = writePages(memory, [run(24, 2)])
  const state = (pages: { runs: number; dataPages: number }): Omit<StateHeader, 'parts' | 'chain' | 'zstd'> => ({
    module: sha256(Uint8Array.of(1)),
    instrumenter: '1',
    layout: 'layout',
    memoryPages: [3, 1],
    globalsBytes: 2,
    framesBytes: 1,
    wasiBytes: 3,
    runs: pages.runs,
    dataPages: pages.dataPages,
    usage,
  })
  return [
    { kind: 'pages', ...writePages(memory, [run(0, 10), run(10, 2, true)]) },
    { kind: 'files', payload: Uint8Array.of(7, 8) },
    { kind: 'rehearsal', header: state({ runs: 0, dataPages: 0 }), payload: concat([globals, frames, wasi]) },
    { kind: 'pages', ...writePages(memory, [run(24, 1)]) },
    { kind: 'pages', ...writePages(secondMemory(), [run(MEMORY_PAGES + 1, 1)], MEMORY_PAGES) },
    { kind: 'state', header: state(last), payload: concat([globals, frames, wasi, last.payload]) },
  ]
}

export async function sampleParts(): Promise<Uint8Array[]> {
  const writer = new SnapshotWriter()
  return Promise.all(sampleMaterials().map((material) => writer.add(material)))
}

/** The part with another header or payload, and a hash that is right. */
export function forged(
  part: Uint8Array,
  change: (header: Record<string, unknown>) => void,
  payload?: Uint8Array,
): Uint8Array {
  const [read] = readParts(part)
  if (read === undefined) throw new Error('no part')
  const header = { ...read.header } as Record<string, unknown>
  change(header)
  return sealPart(read.kind, header as never, payload ?? read.payload).bytes
}
