// A copy in rounds, on memory and files that change meanwhile: the copy ends up the same, within its share of the time.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CopySession, type FileSource } from '../../../cells/runtime/copy-session.ts'
import { COPY_DUTY, LAST_PAGES_BYTES, SLICE_BYTES } from '../../../cells/runtime/limits.ts'
import { PAGE_BYTES, RUN_BYTES, WASM_PAGE_BYTES } from '../../../cells/snapshot/format.ts'
import { applyPages, PAGE, type PageSlice, readRuns } from '../../../cells/snapshot/pages.ts'
import type { Material } from '../../../cells/snapshot/snapshot.ts'

const NO_FILES: FileSource = { next: () => ({ changes: [], gone: [] }), unsentBytes: 0 }
const NOTHING = { offset: 0, bytes: new Uint8Array(0) }

function apply(copy: readonly Uint8Array[], { runs, dataPages, payload }: PageSlice): void {
  const index = payload.subarray(0, runs * RUN_BYTES)
  const pages = copy.map(({ length }) => length / WASM_PAGE_BYTES)
  applyPages(copy, readRuns(index, runs, dataPages, pages), payload.subarray(index.length))
}

function sessionOn(memories: readonly Uint8Array[], files = NO_FILES): { session: CopySession; maps: Uint8Array[] } {
  const maps = memories.map(({ length }) => new Uint8Array(length / PAGE_BYTES))
  const copied = maps.map((map) => ({ map, bytes: map.length * PAGE_BYTES, baseline: NOTHING }))
  return { maps, session: new CopySession({ memories: copied, files }) }
}

/** All pieces of a round; `between` happens after each. */
function takeRound(
  session: CopySession,
  round: number,
  memory: readonly Uint8Array[],
  between = (): void => {},
): Material[] {
  const taken: Material[] = []
  for (let piece = session.next(round, memory); piece !== undefined; piece = session.next(round, memory)) {
    if (piece !== 'later') taken.push(piece)
    between()
  }
  return taken
}

describe('a copy session', () => {
  it('copies everything, whatever is written to any memory between two pieces of any round', () => {
    const pages = (2 * SLICE_BYTES) / PAGE_BYTES
    const write = fc.record({ of: fc.nat(1), page: fc.nat(pages - 1), value: fc.integer({ min: 0, max: 255 }) })
    fc.assert(
      fc.property(fc.array(fc.array(write, { maxLength: 6 }), { maxLength: 30 }), fc.nat(3), (batches, rounds) => {
        const fresh = (): Uint8Array[] => [0, 1].map(() => new Uint8Array(pages * PAGE_BYTES))
        const memories = fresh()
        for (const memory of memories) memory.fill(3, 0, 1.5 * SLICE_BYTES)
        const { session, maps } = sessionOn(memories)
        const copy = fresh()
        const left = [...batches]
        const writeNext = (): void => {
          for (const { of, page, value } of left.pop() ?? []) {
            memories[of]?.fill(value, page * PAGE_BYTES, page * PAGE_BYTES + 5)
            maps[of]?.fill(PAGE.written, page, page + 1)
          }
        }
        const take = (piece: Material): void => {
          if (piece.kind === 'pages') apply(copy, piece)
        }
        for (let round = 1; round <= rounds; round++) {
          for (const piece of takeRound(session, round, memories, writeNext)) take(piece)
        }
        writeNext()
        const marked = maps.flatMap((map) => [...map]).filter((mark) => mark !== 0)
        expect(session.leftBytes(memories)).toBe(marked.length * PAGE_BYTES)
        for (const piece of session.ahead(memories)) take(piece)
        apply(copy, session.lastPages(memories))
        expect(copy.map((one, index) => Buffer.compare(one, memories[index] ?? one))).toEqual([0, 0])
        expect(session.leftBytes(memories)).toBe(0)
      }),
      { numRuns: 25 },
    )
  })

  it('begins a round when it is first asked for, and answers nothing more of one that is over', () => {
    const memory = [new Uint8Array(2 * SLICE_BYTES).fill(1)]
    const { session, maps } = sessionOn(memory)
    const [map = new Uint8Array(0)] = maps
    expect(takeRound(session, 1, memory)).toHaveLength(2)
    expect(session.next(1, memory)).toBeUndefined()
    map[5] = PAGE.written
    expect(session.next(1, memory)).toBeUndefined()
    expect(takeRound(session, 2, memory)).toMatchObject([{ kind: 'pages', dataPages: 1 }])
    map[5] = PAGE.written
    expect(session.next(1, memory)).toBeUndefined()
    expect(session.leftBytes(memory)).toBe(PAGE_BYTES)
  })

  it('sends files after the pages of a round', () => {
    let unsent = 3
    const files = {
      next: () => {
        unsent -= 1
        return { changes: [], gone: [unsent + 1] }
      },
      get unsentBytes() {
        return unsent
      },
    }
    const { session } = sessionOn([new Uint8Array(SLICE_BYTES).fill(1)], files)
    const kinds = takeRound(session, 1, [new Uint8Array(SLICE_BYTES).fill(1)]).map(({ kind }) => kind)
    expect(kinds).toEqual(['pages', 'files', 'files', 'files'])
  })

  it('ends a round though files are written as fast as they are sent', () => {
    const unsentBytes = 2.5 * SLICE_BYTES
    const files: FileSource = {
      next: (maxBytes) => ({
        changes: [{ inode: 1, size: unsentBytes, pieces: [{ at: 0, bytes: new Uint8Array(maxBytes) }] }],
        gone: [],
      }),
      unsentBytes,
    }
    const memory = [new Uint8Array(SLICE_BYTES)]
    const { session } = sessionOn(memory, files)
    for (const round of [1, 2]) {
      const sent: Material[] = []
      for (let piece = session.next(round, memory); piece !== undefined; piece = session.next(round, memory)) {
        if (piece !== 'later' && piece.kind === 'files') sent.push(piece)
        if (sent.length > 10) throw new Error('the round does not end')
      }
      expect(sent).toHaveLength(3)
    }
    expect(session.leftBytes(memory)).toBe(unsentBytes)
  })

  it('puts no more than so much into the last part', () => {
    const memory = [new Uint8Array(LAST_PAGES_BYTES + 3 * SLICE_BYTES).fill(1)]
    const { session } = sessionOn(memory)
    expect([...session.ahead(memory)]).toHaveLength(3)
    expect(session.lastPages(memory).dataPages * PAGE_BYTES).toBe(LAST_PAGES_BYTES)
  })

  it('holds a program up for its share of the time', () => {
    const { session } = sessionOn([new Uint8Array(SLICE_BYTES)])
    let now = 0
    let held = 0
    for (let i = 0; i < 300; i++) {
      while (!session.isDue(now)) now += 0.5
      const took = 0.2 + (i % 7) * 0.3
      session.heldUp(now, now + took)
      now += took
      held += took
    }
    expect(held / now).toBeLessThanOrEqual(COPY_DUTY + 0.01)
    expect(held / now).toBeGreaterThan(COPY_DUTY * 0.7)
  })
})
