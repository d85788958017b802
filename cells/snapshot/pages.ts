// Which pages of a linear memory differ from those of a freshly instantiated module, and how to bring them back.
// Pure: memories are byte arrays here.
import { CodedError } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import { PAGE_BYTES, RUN_BYTES, WASM_PAGE_BYTES } from './format.ts'

/**
 * The memory of a module straight after instantiation: zero but for `bytes` at `offset`. Both ends lie on multiples of
 * 64 KiB. Any host that instantiates the same module gets the same bytes, so a snapshot need not carry them.
 */
export interface Baseline {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** `count` pages from page `start` on: zeroed where the baseline was not zero, or with bytes of their own. */
export interface PageRun {
  readonly start: number
  readonly count: number
  readonly zero: boolean
}

const ZERO_BIT = 0x8000_0000
const zeroes = Buffer.alloc(WASM_PAGE_BYTES)

/** Copies out of `memory` what is not zero, rounded to 64 KiB at both ends. */
export function takeBaseline(memory: Uint8Array): Baseline {
  const buffer = bufferOf(memory)
  let first = 0
  while (first < buffer.length && isZero(buffer, first, WASM_PAGE_BYTES)) first += WASM_PAGE_BYTES
  let end = buffer.length
  while (end > first && isZero(buffer, end - WASM_PAGE_BYTES, WASM_PAGE_BYTES)) end -= WASM_PAGE_BYTES
  return { offset: first, bytes: memory.slice(first, end) }
}

/** The runs of pages that `memory` needs on top of `baseline`; ascending, none adjacent of the same kind. */
export function diffPages(memory: Uint8Array, baseline: Baseline): PageRun[] {
  const buffer = bufferOf(memory)
  const base = bufferOf(baseline.bytes)
  const runs: { start: number; count: number; zero: boolean }[] = []
  const add = (page: number, zero: boolean): void => {
    const last = runs.at(-1)
    if (last !== undefined && last.zero === zero && last.start + last.count === page) last.count += 1
    else runs.push({ start: page, count: 1, zero })
  }
  const same = (at: number, bytes: number): boolean => {
    const from = at - baseline.offset
    if (from < 0 || from >= base.length) return isZero(buffer, at, bytes)
    return buffer.compare(base, from, from + bytes, at, at + bytes) === 0
  }
  for (let block = 0; block < buffer.length; block += WASM_PAGE_BYTES) {
    if (same(block, WASM_PAGE_BYTES)) continue
    for (let at = block; at < block + WASM_PAGE_BYTES; at += PAGE_BYTES) {
      if (!same(at, PAGE_BYTES)) add(at / PAGE_BYTES, isZero(buffer, at, PAGE_BYTES))
    }
  }
  return runs
}

/** Pages that travel with their bytes. */
export function dataPages(runs: readonly PageRun[]): number {
  return runs.reduce((sum, run) => sum + (run.zero ? 0 : run.count), 0)
}

/** Writes the index, then the data, of `runs` at `offset` of `target`. */
export function writePages(target: Uint8Array, offset: number, memory: Uint8Array, runs: readonly PageRun[]): void {
  const index = new DataView(target.buffer, target.byteOffset + offset, runs.length * RUN_BYTES)
  let at = offset + runs.length * RUN_BYTES
  for (const [i, run] of runs.entries()) {
    index.setUint32(i * RUN_BYTES, run.start, true)
    index.setUint32(i * RUN_BYTES + 4, (run.count | (run.zero ? ZERO_BIT : 0)) >>> 0, true)
    if (run.zero) continue
    target.set(memory.subarray(run.start * PAGE_BYTES, (run.start + run.count) * PAGE_BYTES), at)
    at += run.count * PAGE_BYTES
  }
}

/** Reads an index of `count` runs; throws `SNAPSHOT_MALFORMED` unless they ascend within `memoryBytes`. */
export function readRuns(index: Uint8Array, count: number, dataPageCount: number, memoryBytes: number): PageRun[] {
  const view = new DataView(index.buffer, index.byteOffset, index.byteLength)
  const runs: PageRun[] = []
  let next = 0
  for (let i = 0; i < count; i++) {
    const start = view.getUint32(i * RUN_BYTES, true)
    const word = view.getUint32(i * RUN_BYTES + 4, true)
    const run = { start, count: (word & ~ZERO_BIT) >>> 0, zero: (word & ZERO_BIT) !== 0 }
    if (run.count === 0 || start < next || (start + run.count) * PAGE_BYTES > memoryBytes) {
      throw new CodedError<CellErrorCode>(
        'SNAPSHOT_MALFORMED',
        'the snapshot has page runs that overlap or lie outside',
        {
          facts: { run: i, start, count: run.count },
        },
      )
    }
    next = start + run.count
    runs.push(run)
  }
  if (dataPages(runs) !== dataPageCount) {
    throw new CodedError<CellErrorCode>('SNAPSHOT_MALFORMED', 'the snapshot has another number of pages than it says', {
      facts: { pages: dataPages(runs), said: dataPageCount },
    })
  }
  return runs
}

/** Brings a freshly instantiated memory, already grown, to the snapshot's state. */
export function applyPages(memory: Uint8Array, runs: readonly PageRun[], data: Uint8Array): void {
  let at = 0
  for (const run of runs) {
    const from = run.start * PAGE_BYTES
    const bytes = run.count * PAGE_BYTES
    if (run.zero) memory.fill(0, from, from + bytes)
    else {
      memory.set(data.subarray(at, at + bytes), from)
      at += bytes
    }
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function isZero(buffer: Buffer, at: number, bytes: number): boolean {
  return buffer.compare(zeroes, 0, bytes, at, at + bytes) === 0
}
