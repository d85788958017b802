// Pages: whatever a program did to its memory, and when, the slices bring a freshly instantiated one to the same bytes.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MAX_WASM_PAGES, MEMORY_PAGES, PAGE_BYTES, RUN_BYTES, WASM_PAGE_BYTES } from '../../../cells/snapshot/format.ts'
import { PageSweep } from '../../../cells/snapshot/page-sweep.ts'
import { applyPages, PAGE, type PageSlice, reachOf, readRuns, takeBaseline } from '../../../cells/snapshot/pages.ts'

const PAGES = 6

interface Write {
  readonly at: number
  readonly value: number
  readonly length: number
}

const writes = fc.array(
  fc.record({ at: fc.nat(PAGES * WASM_PAGE_BYTES - 1), value: fc.constantFrom(0, 0, 1, 255), length: fc.nat(40_000) }),
  { maxLength: 6 },
)

function memory(pages: number, edits: readonly Write[]): Uint8Array {
  const bytes = new Uint8Array(pages * WASM_PAGE_BYTES)
  for (const { at, value, length } of edits) bytes.fill(value, at, at + length)
  return bytes
}

/** As the tracking build does it. */
function write(target: Uint8Array, map: Uint8Array, { at, value, length }: Write): void {
  const end = Math.min(at + length, target.length)
  if (end <= at) return
  target.fill(value, at, end)
  map.fill(PAGE.written, Math.floor(at / PAGE_BYTES), Math.floor((end - 1) / PAGE_BYTES) + 1)
}

function apply(target: Uint8Array, { runs, dataPages, payload }: PageSlice): void {
  const index = payload.subarray(0, runs * RUN_BYTES)
  const pages = [target.length / WASM_PAGE_BYTES]
  applyPages([target], readRuns(index, runs, dataPages, pages), payload.subarray(index.length))
}

describe('a sweep', () => {
  it('restores every memory from the fresh one and the slices, whatever is written between them', () => {
    const step = fc.oneof(
      fc.record({ write: writes }),
      fc.record({ slice: fc.constantFrom(1, 3, 16, Number.POSITIVE_INFINITY) }),
      fc.record({ grow: fc.nat(1) }),
      fc.constant({ again: true }),
    )
    fc.assert(
      fc.property(writes, writes, fc.array(step, { maxLength: 25 }), (initial, before, steps) => {
        const fresh = memory(PAGES, initial)
        let source = memory(PAGES, initial)
        const map = new Uint8Array(32 * 16)
        for (const edit of before) write(source, map, edit)
        const sweep = new PageSweep(map, takeBaseline(fresh))
        sweep.markAll(source.length)
        let copy = fresh
        const growCopy = (): void => {
          const grown = new Uint8Array(source.length)
          grown.set(copy)
          copy = grown
        }
        for (const one of steps) {
          if ('write' in one) for (const edit of one.write) write(source, map, edit)
          else if ('grow' in one) {
            const grown = new Uint8Array(source.length + one.grow * WASM_PAGE_BYTES)
            grown.set(source)
            source = grown
          } else if ('again' in one) sweep.rewind()
          else {
            const slice = sweep.next(source, one.slice)
            growCopy()
            if (slice !== undefined) apply(copy, slice)
          }
        }
        const left = sweep.markedBytes(source.length)
        sweep.rewind()
        const last = sweep.next(source, Number.POSITIVE_INFINITY)
        growCopy()
        if (last !== undefined) {
          expect(last.dataPages * PAGE_BYTES).toBeLessThanOrEqual(left)
          apply(copy, last)
        }
        expect(Buffer.compare(copy, source)).toBe(0)
        expect(sweep.markedBytes(source.length)).toBe(0)
        expect(sweep.next(source, 1)).toBeUndefined()
      }),
      { numRuns: 150 },
    )
  })

  it('takes about as many pages as it is asked for, and the rest later', () => {
    const source = memory(PAGES, [{ at: 0, value: 1, length: PAGES * WASM_PAGE_BYTES }])
    const sweep = new PageSweep(new Uint8Array(PAGES * 16), { offset: 0, bytes: new Uint8Array(0) })
    sweep.markAll(source.length)
    const taken: number[] = []
    for (let slice = sweep.next(source, 16); slice !== undefined; slice = sweep.next(source, 16)) {
      taken.push(slice.dataPages)
    }
    expect(taken).toEqual(new Array(PAGES).fill(16))
  })

  it('ships nothing of an unchanged memory, and no bytes of zeroed pages', () => {
    const fresh = memory(PAGES, [{ at: 70_000, value: 7, length: 20_000 }])
    const baseline = takeBaseline(fresh)
    expect(baseline.offset).toBe(WASM_PAGE_BYTES)
    const all = (source: Uint8Array): PageSlice | undefined => {
      const sweep = new PageSweep(new Uint8Array(PAGES * 16), baseline)
      sweep.markAll(source.length)
      return sweep.next(source, Number.POSITIVE_INFINITY)
    }
    expect(all(fresh)).toBeUndefined()
    const emptied = all(memory(PAGES, []))
    expect(emptied).toMatchObject({ runs: 1, dataPages: 0 })
    const index = emptied?.payload ?? new Uint8Array(0)
    expect(readRuns(index, 1, 0, [PAGES])).toEqual([{ start: 17, count: 5, zero: true }])
  })
})

describe('runs of pages', () => {
  it('are refused when they overlap, are empty, or lie outside', () => {
    const index = (...runs: [number, number][]): Uint8Array => new Uint8Array(Uint32Array.from(runs.flat()).buffer)
    const malformed = expect.objectContaining({ code: 'SNAPSHOT_MALFORMED' })
    const size = [2]
    expect(() => readRuns(index([0, 2], [1, 1]), 2, 3, size)).toThrow(malformed)
    expect(() => readRuns(index([0, 0]), 1, 0, size)).toThrow(malformed)
    expect(() => readRuns(index([31, 2]), 1, 2, size)).toThrow(malformed)
    expect(() => readRuns(index([0, 2]), 1, 3, size)).toThrow(malformed)
    expect(readRuns(index([30, 2]), 1, 2, size)).toEqual([{ start: 30, count: 2, zero: false }])
  })

  it('lie each within one memory', () => {
    const index = (...runs: [number, number][]): Uint8Array => new Uint8Array(Uint32Array.from(runs.flat()).buffer)
    const malformed = expect.objectContaining({ code: 'SNAPSHOT_MALFORMED' })
    const last = MEMORY_PAGES - 1
    const two = readRuns(index([31, 1], [MEMORY_PAGES, 16]), 2, 17, [2, 1])
    expect(reachOf(two, 3)).toEqual([2 * WASM_PAGE_BYTES, WASM_PAGE_BYTES, 0])
    expect(() => readRuns(index([MEMORY_PAGES, 17]), 1, 17, [2, 1])).toThrow(malformed)
    expect(() => readRuns(index([2 * MEMORY_PAGES, 1]), 1, 1, [2, 1])).toThrow(malformed)
    expect(() => readRuns(index([last, 2]), 1, 2, [MAX_WASM_PAGES, 1])).toThrow(malformed)
    expect(readRuns(index([last, 1]), 1, 1, [MAX_WASM_PAGES, 1])).toHaveLength(1)
  })
})
