// A walk over a memory that takes what its map of pages says, a slice at a time, while the program may go on in between.
// The map is the whole truth: a page that it says nothing of is in the copy as it is in memory. Pure.
import { PAGE_BYTES } from './format.ts'
import {
  type Baseline,
  bufferOf,
  isAsBaseline,
  isZeroPage,
  PAGE,
  type PageRun,
  type PageSlice,
  writePages,
} from './pages.ts'

/** Pages that one word of the map tells of. */
const WORD_PAGES = 8
const WORD_BYTES = WORD_PAGES * PAGE_BYTES
/** Comparing pages costs less than copying them. */
const COMPARED_PER_COPIED = 4

export class PageSweep {
  readonly #baseline: Baseline
  readonly #map: Uint8Array
  readonly #base: number
  /** The same map, read eight pages at a time: a double is zero when its bytes are. */
  readonly #words: Float64Array
  #at = 0

  /**
   * @param map a byte per page of 4 KiB, at a multiple of 8 of its buffer and a multiple of 8 long; see `PAGE`
   * @param base the number of the memory's first page
   */
  constructor(map: Uint8Array, baseline: Baseline, base = 0) {
    this.#map = map
    this.#base = base
    this.#words = new Float64Array(map.buffer, map.byteOffset, map.length / WORD_PAGES)
    this.#baseline = baseline
  }

  /** Everything is to be copied that is not as the baseline has it. */
  markAll(memoryBytes: number): void {
    this.#map.fill(PAGE.untouched, 0, memoryBytes / PAGE_BYTES)
  }

  /** The next slice begins at the start of memory. */
  rewind(): void {
    this.#at = 0
  }

  /**
   * Takes the next marked pages, about `maxPages` of them, and clears their marks. Undefined at the end of memory, when
   * nothing more was marked. `memory` is that of now: it may have grown.
   */
  next(memory: Uint8Array, maxPages: number): PageSlice | undefined {
    const buffer = bufferOf(memory)
    const pages = memory.length / PAGE_BYTES
    const runs: { start: number; count: number; zero: boolean }[] = []
    let left = maxPages * COMPARED_PER_COPIED
    while (this.#at < pages && left > 0) {
      if (this.#words[this.#at / WORD_PAGES] !== 0) left -= this.#takeWord(buffer, runs)
      this.#at += WORD_PAGES
    }
    if (runs.length > 0) return writePages(memory, runs, this.#base)
    return this.#at < pages ? { runs: 0, dataPages: 0, payload: new Uint8Array(0) } : undefined
  }

  /** Bytes that are marked now. */
  markedBytes(memoryBytes: number): number {
    let pages = 0
    for (let at = 0; at < memoryBytes / PAGE_BYTES; at += WORD_PAGES) {
      if (this.#words[at / WORD_PAGES] === 0) continue
      for (let page = at; page < at + WORD_PAGES; page++) if (this.#map[page] !== 0) pages++
    }
    return pages * PAGE_BYTES
  }

  /** The eight pages at `#at`; answers what that cost. */
  #takeWord(buffer: Buffer, runs: { start: number; count: number; zero: boolean }[]): number {
    const map = this.#map
    const from = this.#at
    let untouched = 0
    for (let page = from; page < from + WORD_PAGES; page++) if (map[page] === PAGE.untouched) untouched++
    if (untouched === WORD_PAGES && isAsBaseline(buffer, this.#baseline, from * PAGE_BYTES, WORD_BYTES)) {
      map.fill(0, from, from + WORD_PAGES)
      return WORD_PAGES
    }
    let cost = 0
    for (let page = from; page < from + WORD_PAGES; page++) {
      const mark = map[page]
      if (mark === 0) continue
      map[page] = 0
      cost++
      if (mark === PAGE.untouched && isAsBaseline(buffer, this.#baseline, page * PAGE_BYTES, PAGE_BYTES)) continue
      const zero = isZeroPage(buffer, page)
      if (!zero) cost += COMPARED_PER_COPIED - 1
      add(runs, this.#base + page, zero)
    }
    return cost
  }
}

function add(runs: (PageRun & { count: number })[], page: number, zero: boolean): void {
  const last = runs.at(-1)
  if (last !== undefined && last.zero === zero && last.start + last.count === page) last.count += 1
  else runs.push({ start: page, count: 1, zero })
}
