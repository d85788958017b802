// Which pages of linear memories have to be copied, and how to bring them back. Pure: memories and maps are byte arrays.
import { MEMORY_PAGES, PAGE_BYTES, pagesBytes, RUN_BYTES, WASM_PAGE_BYTES } from './format.ts'
import { malformed } from './part.ts'

/**
 * The memory of a module straight after instantiation: zero but for `bytes` at `offset`. Both ends lie on multiples of
 * 64 KiB. Any host that instantiates the same module gets the same bytes, so a snapshot need not carry them.
 */
export interface Baseline {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** `count` pages from page `start` on, within one memory: zeroed, or with bytes of their own. */
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

/** The index of `runs`, then the data of their pages. The pages of `memory` begin at number `base`. */
export function writePages(memory: Uint8Array, runs: readonly PageRun[], base = 0): PageSlice {
  const counts = { runs: runs.length, dataPages: dataPages(runs) }
  const payload = new Uint8Array(pagesBytes(counts))
  const index = new DataView(payload.buffer)
  let at = runs.length * RUN_BYTES
  for (const [i, run] of runs.entries()) {
    index.setUint32(i * RUN_BYTES, run.start, true)
    index.setUint32(i * RUN_BYTES + 4, (run.count | (run.zero ? ZERO_BIT : 0)) >>> 0, true)
    if (run.zero) continue
    const from = run.start - base
    payload.set(memory.subarray(from * PAGE_BYTES, (from + run.count) * PAGE_BYTES), at)
    at += run.count * PAGE_BYTES
  }
  return { ...counts, payload }
}

/** Slices of ascending memories as one. */
export function joinPages(slices: readonly PageSlice[]): PageSlice {
  const [first, ...more] = slices
  if (first !== undefined && more.length === 0) return first
  const counts = {
    runs: slices.reduce((sum, { runs }) => sum + runs, 0),
    dataPages: slices.reduce((sum, slice) => sum + slice.dataPages, 0),
  }
  const payload = new Uint8Array(pagesBytes(counts))
  let [index, data] = [0, counts.runs * RUN_BYTES]
  for (const slice of slices) {
    const indexBytes = slice.runs * RUN_BYTES
    payload.set(slice.payload.subarray(0, indexBytes), index)
    payload.set(slice.payload.subarray(indexBytes), data)
    index += indexBytes
    data += slice.payload.length - indexBytes
  }
  return { ...counts, payload }
}

/**
 * Reads an index of `count` runs; throws `SNAPSHOT_MALFORMED` unless they ascend, each within one of the memories, which
 * have `memoryPages` of 64 KiB.
 */
export function readRuns(
  index: Uint8Array,
  count: number,
  dataPageCount: number,
  memoryPages: readonly number[],
): PageRun[] {
  const view = new DataView(index.buffer, index.byteOffset, index.byteLength)
  const runs: PageRun[] = []
  let next = 0
  for (let i = 0; i < count; i++) {
    const start = view.getUint32(i * RUN_BYTES, true)
    const word = view.getUint32(i * RUN_BYTES + 4, true)
    const run = { start, count: (word & ~ZERO_BIT) >>> 0, zero: (word & ZERO_BIT) !== 0 }
    const end = (start % MEMORY_PAGES) + run.count
    const pages = memoryPages[memoryOf(run)] ?? 0
    if (run.count === 0 || start < next || end * PAGE_BYTES > pages * WASM_PAGE_BYTES) {
      throw malformed('it has page runs that overlap or lie outside')
    }
    next = start + run.count
    runs.push(run)
  }
  if (dataPages(runs) !== dataPageCount) throw malformed('it has another number of pages than it says')
  return runs
}

/** Bytes of each of `memories` memories that `runs` reach to. */
export function reachOf(runs: readonly PageRun[], memories: number): number[] {
  const reach = Array.from({ length: memories }, () => 0)
  for (const run of runs) reach[memoryOf(run)] = ((run.start % MEMORY_PAGES) + run.count) * PAGE_BYTES
  return reach
}

/** Puts the pages into memories that are large enough. */
export function applyPages(memories: readonly Uint8Array[], runs: readonly PageRun[], data: Uint8Array): void {
  let at = 0
  for (const run of runs) {
    const memory = memories[memoryOf(run)]
    const from = (run.start % MEMORY_PAGES) * PAGE_BYTES
    const bytes = run.count * PAGE_BYTES
    if (run.zero) memory?.fill(0, from, from + bytes)
    else {
      memory?.set(data.subarray(at, at + bytes), from)
      at += bytes
    }
  }
}

function memoryOf({ start }: PageRun): number {
  return Math.floor(start / MEMORY_PAGES)
}

export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function isZero(buffer: Buffer, at: number, bytes: number): boolean {
  return buffer.compare(zeroes, 0, bytes, at, at + bytes) === 0
}
