// Snapshots: reading gives what was packed, and refuses everything else with a code.
import { readFileSync } from 'node:fs'
import { zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { applyPages } from '../../../cells/snapshot/pages.ts'
import {
  type ReadPart,
  type SnapshotExpectation,
  SnapshotReader,
  stateHeaderOf,
} from '../../../cells/snapshot/snapshot.ts'
import { concat, sha256Hex } from '../../../core/bytes.ts'
import { CodedError } from '../../../core/errors.ts'
import { expected, forged, moduleHash, sampleMemory, sampleParts, secondMemory, usage } from './parts.ts'

const parts = await sampleParts()
const whole = concat(parts)

const readAll = (bytes: Uint8Array, with_: SnapshotExpectation = expected): ReadPart[] => {
  const reader = new SnapshotReader(with_)
  const read = [...reader.read(bytes)]
  if (!reader.complete) throw new CodedError('INCOMPLETE', 'its state has not come')
  return read
}

const codeOf = (read: () => unknown): string => {
  try {
    read()
  } catch (error) {
    if (error instanceof CodedError) return error.code
    throw error
  }
  return 'none'
}

/** The snapshot with the part at `index` replaced. */
const withPart = (index: number, part: Uint8Array): Uint8Array =>
  concat(parts.map((one, i) => (i === index ? part : one)))

describe('a snapshot', () => {
  it('gives back what was packed, in one piece or many', () => {
    for (const pieces of [[whole], parts]) {
      const reader = new SnapshotReader(expected)
      const read = pieces.flatMap((piece) => [...reader.read(piece)])
      expect(read.map(({ kind }) => kind)).toEqual(['pages', 'files', 'rehearsal', 'pages', 'pages', 'state'])
      expect(reader.complete).toBe(true)
      expect(read[1]).toMatchObject({ content: Uint8Array.of(7, 8) })
      expect(read[5]).toMatchObject({
        memoryPages: [3, 1],
        globals: Uint8Array.of(1, 2),
        frames: Uint8Array.of(3),
        wasi: Uint8Array.of(4, 5, 6),
        usage,
      })
      const restored = [new Uint8Array(3 * 65_536).fill(1, 40_960, 45_000), new Uint8Array(65_536)] as const
      for (const part of read) if ('runs' in part) applyPages(restored, part.runs, part.data)
      expect(Buffer.compare(restored[0], sampleMemory())).toBe(0)
      expect(Buffer.compare(restored[1], secondMemory())).toBe(0)
    }
  })

  it('compresses what shrinks, and lets the rest and the small go as it is', () => {
    expect(parts[0]?.length).toBeLessThan(1_000)
    expect(parts[3]?.length).toBeGreaterThan(4_096)
    expect(parts[5]?.length).toBeGreaterThan(2 * 4_096)
  })

  it('says its module and usage in a header that is read alone', () => {
    expect(stateHeaderOf(whole)).toMatchObject({ usage, memoryPages: [3, 1], parts: 5 })
    expect(stateHeaderOf(concat(parts.slice(0, 5)))).toBeUndefined()
  })

  it('is the same bytes for ever: version 1 of the format is read from files', () => {
    const golden = new Uint8Array(readFileSync(new URL('./golden/snapshot-v1.bin', import.meta.url)))
    expect(readAll(golden).map(({ kind }) => kind)).toEqual(['pages', 'files', 'rehearsal', 'pages', 'pages', 'state'])
    const memories = [new Uint8Array(3 * 65_536), new Uint8Array(65_536)] as const
    for (const part of readAll(golden)) if ('runs' in part) applyPages(memories, part.runs, part.data)
    expect(Buffer.compare(memories[0], sampleMemory())).toBe(0)
    expect(Buffer.compare(memories[1], secondMemory())).toBe(0)
    // What is not compressed, which libraries may do otherwise, is written as it was.
    for (const part of [parts[1], parts[3]]) expect(Buffer.from(golden).indexOf(part ?? whole)).toBeGreaterThan(0)
  })

  it('is refused when a bit flips, wherever', () => {
    const starts = parts.map((_, i) => concat(parts.slice(0, i)).length)
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(7), (at, bit) => {
        const bad = whole.slice()
        bad[at] = (bad[at] ?? 0) ^ (1 << bit)
        const isVersion = starts.some((start) => at >= start + 4 && at < start + 8)
        expect(codeOf(() => readAll(bad))).toBe(isVersion ? 'SNAPSHOT_VERSION_MISMATCH' : 'SNAPSHOT_MALFORMED')
      }),
    )
  })

  it('is refused when it is cut, goes on, or is anything else', () => {
    fc.assert(
      fc.property(fc.nat(whole.length - 1), (length) => {
        expect(codeOf(() => readAll(whole.subarray(0, length)))).toMatch(/^(SNAPSHOT_MALFORMED|INCOMPLETE)$/)
      }),
    )
    expect(codeOf(() => readAll(concat([whole, parts[0] ?? whole])))).toBe('SNAPSHOT_MALFORMED')
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (bytes) => {
        expect(codeOf(() => readAll(bytes))).toBe('SNAPSHOT_MALFORMED')
      }),
    )
  })

  it('is refused when a part is missing, stands twice or elsewhere', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(parts.slice(0, 5)), fc.boolean(), (some, twice) => {
        const order = twice ? [...some, ...some.slice(0, 1)] : some
        const right = order.length === 5 && order.every((part, i) => part === parts[i])
        expect(codeOf(() => readAll(concat([...order, parts[5] ?? whole])))).toBe(right ? 'none' : 'SNAPSHOT_MALFORMED')
      }),
    )
  })

  it('never throws anything uncoded for a forged header or payload with the right hash', () => {
    const fields = ['memoryPages', 'globalsBytes', 'framesBytes', 'wasiBytes', 'runs', 'dataPages', 'module', 'usage']
    const value = fc.oneof(fc.nat(), fc.integer(), fc.double(), fc.string(), fc.boolean(), fc.array(fc.nat(20)))
    fc.assert(
      fc.property(
        fc.nat(5),
        fc.constantFrom(...fields, 'zstd', 'bytes', 'chain', 'parts'),
        value,
        (index, field, to) => {
          const part = parts[index] ?? whole
          const bad = withPart(
            index,
            forged(part, (header) => {
              header[field] = to
            }),
          )
          expect(codeOf(() => readAll(bad))).toMatch(/^(none|SNAPSHOT_[A-Z]+(_MISMATCH)?)$/)
        },
      ),
      { numRuns: 400 },
    )
    fc.assert(
      fc.property(fc.nat(5), fc.uint8Array({ maxLength: 3_000 }), fc.boolean(), (index, bytes, zstd) => {
        const payload = zstd ? zstdCompressSync(bytes) : bytes
        const bad = forged(
          parts[index] ?? whole,
          (header) => {
            header.zstd = zstd
          },
          payload,
        )
        expect(codeOf(() => readAll(withPart(index, bad)))).toBe('SNAPSHOT_MALFORMED')
      }),
    )
  })

  it('does not decompress a bomb', () => {
    const bomb = zstdCompressSync(new Uint8Array(64 << 20))
    expect(bomb.length).toBeLessThan(10_000)
    for (const index of [0, 1, 5]) {
      const bad = forged(
        parts[index] ?? whole,
        (header) => {
          header.zstd = true
        },
        bomb,
      )
      expect(codeOf(() => readAll(withPart(index, bad)))).toBe('SNAPSHOT_MALFORMED')
    }
  })

  it.each([
    [{ moduleHash: sha256Hex(Uint8Array.of(2)) }, 'SNAPSHOT_MODULE_MISMATCH'],
    [{ instrumenter: '2' }, 'SNAPSHOT_VERSION_MISMATCH'],
    [{ layoutHash: 'other' }, 'SNAPSHOT_VERSION_MISMATCH'],
    [{ maxMemoryPages: 3 }, 'SNAPSHOT_MALFORMED'],
    [{ memories: 1 }, 'SNAPSHOT_MALFORMED'],
    [{ memories: 3 }, 'SNAPSHOT_MALFORMED'],
    [{ maxStateBytes: 5 }, 'SNAPSHOT_MALFORMED'],
    [{ moduleHash }, 'none'],
  ])('is refused where %j', (change, code) => {
    expect(codeOf(() => readAll(whole, { ...expected, ...change }))).toBe(code)
  })
})
