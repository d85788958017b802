// Which pages of a linear memory have to be copied, and how to bring them back. Pure: memories and maps are byte arrays.
import { PAGE_BYTES, pagesBytes, RUN_BYTES, WASM_PAGE_BYTES } from './format.ts'
import { malformed } from './part.ts'

/**
 * The memory of a module straight after instantiation: zero but for `bytes` at `offset`. Both ends lie on multiples of
 * 64 KiB. Any host that instantiates the same module gets the same bytes, so a snapshot need not carry them.
 */
export interface Baseline {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** `count` pages from page `start` on: zeroed, or with bytes of their own. */
export interface PageRun {
  readonly start: number
  readonly count: number
  readonly zero: boolean
}

/** Index and data as a part carries them: `payload` is `pagesBytes` long. */
export interface PageSlice {
  readonly runs: number
  readonly dataPages: number
  readonly payload: Uint8Array<ArrayBuffer>
}

/** What a map of pages says of one. Zero: the copy has it as it is. */
export const PAGE = {
  /** Written to since it was copied. */
  written: 1,
  /** Never copied; when it is as the baseline has it, it need not be. */
  untouched: 2,
} as const

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

/** True when the `bytes` of memory from `at` on are as the baseline has them. Does not cross the baseline's ends. */
export function isAsBaseline(buffer: Buffer, baseline: Baseline, at: number, bytes: number): boolean {
  const from = at - baseline.offset
  if (from < 0 || from >= baseline.bytes.length) return isZero(buffer, at, bytes)
  return buffer.compare(baseline.bytes, from, from + bytes, at, at + bytes) === 0
}

/** True when all of a page is zero. */
export function isZeroPage(buffer: Buffer, page: number): boolean {
  return isZero(buffer, page * PAGE_BYTES, PAGE_BYTES)
}

/** Pages that travel with their bytes. */
export function dataPages(runs: readonly PageRun[]): number {
  return runs.reduce((sum, run) => sum + (run.zero ? 0 : run.count), 0)
}

/** The index of `runs`, then the data of their pages. */
export function writePages(memory: Uint8Array, runs: readonly PageRun[]): PageSlice {
  const counts = { runs: runs.length, dataPages: dataPages(runs) }
  const payload = new Uint8Array(pagesBytes(counts))
  const index = new DataView(payload.buffer)
  let at = runs.length * RUN_BYTES
  for (const [i, run] of runs.entries()) {
    index.setUint32(i * RUN_BYTES, run.start, true)
    index.setUint32(i * RUN_BYTES + 4, (run.count | (run.zero ? ZERO_BIT : 0)) >>> 0, true)
    if (run.zero) continue
    payload.set(memory.subarray(run.start * PAGE_BYTES, (run.start + run.count) * PAGE_BYTES), at)
    at += run.count * PAGE_BYTES
  }
  return { ...counts, payload }
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
      throw malformed('it has page runs that overlap or lie outside')
    }
    next = start + run.count
    runs.push(run)
  }
  if (dataPages(runs) !== dataPageCount) throw malformed('it has another number of pages than it says')
  return runs
}

/** Bytes of memory that `runs` reach to. */
export function reachOf(runs: readonly PageRun[]): number {
  const last = runs.at(-1)
  return last === undefined ? 0 : (last.start + last.count) * PAGE_BYTES
}

/** Puts the pages into a memory that is large enough. */
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

export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function isZero(buffer: Buffer, at: number, bytes: number): boolean {
  return buffer.compare(zeroes, 0, bytes, at, at + bytes) === 0
}
