// The pace of a cell and the batching of its output, on virtual time.
import { describe, expect, it } from 'vitest'
import { FIRST_BUDGET, MAX_BUDGET, OUTPUT_BATCH_BYTES, OUTPUT_BATCH_MS } from '../../../cells/runtime/limits.ts'
import { OutputBatch, type OutputPart } from '../../../cells/runtime/output-batch.ts'
import { Pacer } from '../../../cells/runtime/pacer.ts'

/** Runs a program whose every poll takes `pollMs`, for `slices` slices; answers the time that passed. */
function simulate(pacer: Pacer, pollMs: number, slices: number): number {
  let now = 0
  for (let i = 0; i < slices; i++) {
    pacer.begin(now)
    now += pacer.budget * pollMs
    pacer.endSlice(now)
    const sleep = pacer.sleepMs
    if (sleep === 0) continue
    now += sleep + 0.1
    pacer.slept(sleep + 0.1)
  }
  return now
}

describe('a pacer', () => {
  it('polls about once per millisecond, however dear a poll is', () => {
    for (const pollMs of [1e-5, 1e-4, 1e-3, 0.01, 0.5]) {
      const pacer = new Pacer(1)
      simulate(pacer, pollMs, 50)
      expect(pacer.budget * pollMs).toBeCloseTo(Math.min(1, MAX_BUDGET * pollMs), 1)
    }
  })

  it('asks for a poll each time when one takes longer than the target', () => {
    const pacer = new Pacer(1)
    expect(pacer.budget).toBe(FIRST_BUDGET)
    simulate(pacer, 10, 10)
    expect(pacer.budget).toBe(1)
  })

  it.each([1, 0.5, 0.25, 0.05])('keeps a share of %d', (share) => {
    const pacer = new Pacer(share)
    const wallMs = simulate(pacer, 1e-4, 2_000)
    expect(pacer.busyMs / wallMs).toBeCloseTo(share, 2)
  })

  it('counts no wait as busy', () => {
    const pacer = new Pacer(1, 100)
    pacer.begin(0)
    pacer.end(3)
    pacer.begin(1_000)
    pacer.end(1_002)
    expect(pacer.busyMs).toBe(105)
  })
})

describe('an output batch', () => {
  it('keeps order, joins what is adjacent, and sends when it is due', () => {
    const sent: (readonly OutputPart[])[] = []
    const batch = new OutputBatch((parts) => sent.push(parts))
    batch.add('stdout', 0, Uint8Array.of(1), 0)
    batch.add('stdout', 1, Uint8Array.of(2), 1)
    batch.add('stderr', 0, Uint8Array.of(3), 2)
    batch.add('stdout', 2, Uint8Array.of(4), 3)
    batch.flushIfDue(OUTPUT_BATCH_MS - 1)
    expect(sent).toEqual([])
    batch.flushIfDue(OUTPUT_BATCH_MS)
    expect(sent).toEqual([
      [
        { stream: 'stdout', offset: 0, bytes: Uint8Array.of(1, 2) },
        { stream: 'stderr', offset: 0, bytes: Uint8Array.of(3) },
        { stream: 'stdout', offset: 2, bytes: Uint8Array.of(4) },
      ],
    ])
    batch.flush()
    expect(sent).toHaveLength(1)
  })

  it('sends at once when it is full', () => {
    let bytes = 0
    const batch = new OutputBatch((_parts, count) => {
      bytes += count
    })
    batch.add('stdout', 0, new Uint8Array(OUTPUT_BATCH_BYTES - 1), 0)
    expect(bytes).toBe(0)
    batch.add('stdout', OUTPUT_BATCH_BYTES - 1, new Uint8Array(1), 0)
    expect(bytes).toBe(OUTPUT_BATCH_BYTES)
  })
})
