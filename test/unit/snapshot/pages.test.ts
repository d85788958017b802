// Pages: whatever a program did to its memory, the runs bring a freshly instantiated one to the same bytes.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PAGE_BYTES, WASM_PAGE_BYTES } from '../../../cells/snapshot/format.ts'
import { applyPages, dataPages, diffPages, readRuns, takeBaseline, writePages } from '../../../cells/snapshot/pages.ts'

const PAGES = 6

/** A few bytes set in an otherwise zero memory. */
const writes = fc.array(
  fc.record({ at: fc.nat(PAGES * WASM_PAGE_BYTES - 1), value: fc.integer({ min: 0, max: 255 }), length: fc.nat(9000) }),
  { maxLength: 8 },
)

function memory(pages: number, edits: readonly { at: number; value: number; length: number }[]): Uint8Array {
  const bytes = new Uint8Array(pages * WASM_PAGE_BYTES)
  for (const { at, value, length } of edits) bytes.fill(value, at, at + length)
  return bytes
}

describe('pages', () => {
  it('restores every memory from the fresh one and the runs', () => {
    fc.assert(
      fc.property(writes, writes, fc.nat(2), (initial, later, grown) => {
        const fresh = memory(PAGES, initial)
        const baseline = takeBaseline(fresh)
        const used = memory(PAGES + grown, initial)
        for (const { at, value, length } of later) used.fill(value, at, at + length)
        const runs = diffPages(used, baseline)
        const indexBytes = runs.length * 8
        const packed = new Uint8Array(indexBytes + dataPages(runs) * PAGE_BYTES)
        writePages(packed, 0, used, runs)
        const read = readRuns(packed.subarray(0, indexBytes), runs.length, dataPages(runs), used.length)
        const restored = new Uint8Array(used.length)
        restored.set(fresh)
        applyPages(restored, read, packed.subarray(indexBytes))
        expect(Buffer.compare(restored, used)).toBe(0)
      }),
      { numRuns: 60 },
    )
  })

  it('ships nothing of an unchanged memory, and no bytes of zeroed pages', () => {
    const fresh = memory(PAGES, [{ at: 70_000, value: 7, length: 20_000 }])
    const baseline = takeBaseline(fresh)
    expect(baseline.offset).toBe(WASM_PAGE_BYTES)
    expect(diffPages(fresh, baseline)).toEqual([])
    expect(diffPages(memory(PAGES, []), baseline)).toEqual([{ start: 17, count: 5, zero: true }])
  })

  it('refuses runs that overlap, are empty, or lie outside', () => {
    const index = (...runs: [number, number][]): Uint8Array => new Uint8Array(Uint32Array.from(runs.flat()).buffer)
    const malformed = expect.objectContaining({ code: 'SNAPSHOT_MALFORMED' })
    const size = 2 * WASM_PAGE_BYTES
    expect(() => readRuns(index([0, 2], [1, 1]), 2, 3, size)).toThrow(malformed)
    expect(() => readRuns(index([0, 0]), 1, 0, size)).toThrow(malformed)
    expect(() => readRuns(index([31, 2]), 1, 2, size)).toThrow(malformed)
    expect(() => readRuns(index([0, 2]), 1, 3, size)).toThrow(malformed)
    expect(readRuns(index([30, 2]), 1, 2, size)).toEqual([{ start: 30, count: 2, zero: false }])
  })
})
