// Snapshots: reading gives what was packed, and refuses everything else with a code.
import { zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BODY_AT, HASH_AT, HEADER_AT, WASM_PAGE_BYTES } from '../../../cells/snapshot/format.ts'
import { applyPages, takeBaseline } from '../../../cells/snapshot/pages.ts'
import { packSnapshot, readSnapshot, readSnapshotHeader, type SnapshotState } from '../../../cells/snapshot/snapshot.ts'
import { sha256, sha256Hex } from '../../../core/bytes.ts'
import { CodedError } from '../../../core/errors.ts'
import { fromCbor, toCbor } from '../../../core/shape.ts'

const moduleHash = sha256Hex(Uint8Array.of(1))
const expected = { moduleHash, instrumenter: '1', layoutHash: 'layout', maxMemoryPages: 16, maxStateBytes: 1 << 20 }
const usage = { busyMs: 1.5, wallMs: 2.25, fuel: 3, stdoutBytes: 4, stderrBytes: 5 }

function state(globals: Uint8Array, frames: Uint8Array, wasi: Uint8Array): SnapshotState {
  return { moduleHash, instrumenter: '1', layoutHash: 'layout', globals, frames, wasi, usage }
}

const fresh = new Uint8Array(2 * WASM_PAGE_BYTES).fill(9, 100, 5000)
const used = new Uint8Array(3 * WASM_PAGE_BYTES).fill(9, 100, 4000).fill(8, 150_000, 150_010)
const sample = packSnapshot(
  state(Uint8Array.of(1, 2), Uint8Array.of(3), Uint8Array.of(4, 5, 6)),
  used,
  takeBaseline(fresh),
)

/** The snapshot with another header and payload, and a hash that is right. */
function forged(change: (header: Record<string, unknown>) => void, payload?: Uint8Array): Uint8Array {
  const length = new DataView(sample.buffer).getUint32(BODY_AT, true)
  const header = fromCbor(sample.subarray(HEADER_AT, HEADER_AT + length), (value) => value, 'X') as Record<
    string,
    unknown
  >
  change(header)
  const head = toCbor(header)
  const body = payload ?? sample.subarray(HEADER_AT + length)
  const out = new Uint8Array(HEADER_AT + head.length + body.length)
  out.set(sample.subarray(0, HEADER_AT))
  new DataView(out.buffer).setUint32(BODY_AT, head.length, true)
  out.set(head, HEADER_AT)
  out.set(body, HEADER_AT + head.length)
  out.set(sha256(out.subarray(BODY_AT)), HASH_AT)
  return out
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

describe('a snapshot', () => {
  it('gives back what was packed', () => {
    const bytes = fc.uint8Array({ maxLength: 300 })
    fc.assert(
      fc.property(bytes, bytes, bytes, (globals, frames, wasi) => {
        const packed = packSnapshot(state(globals, frames, wasi), used, takeBaseline(fresh))
        const read = readSnapshot(packed, expected)
        expect([read.globals, read.frames, read.wasi]).toEqual([globals, frames, wasi])
        expect(read.usage).toEqual(usage)
        const restored = new Uint8Array(read.memoryPages * WASM_PAGE_BYTES)
        restored.set(fresh)
        applyPages(restored, read.runs, read.data)
        expect(Buffer.compare(restored, used)).toBe(0)
      }),
      { numRuns: 50 },
    )
  })

  it('holds a program without memory', () => {
    const none = new Uint8Array(0)
    const packed = packSnapshot(state(none, none, none), none, { offset: 0, bytes: none })
    expect(readSnapshot(packed, expected)).toMatchObject({ memoryPages: 0, runs: [] })
  })

  it('says its module and usage in a header that is read alone', () => {
    expect(readSnapshotHeader(sample)).toMatchObject({ usage, memoryPages: 3 })
  })

  it('is refused when a bit flips, wherever', () => {
    fc.assert(
      fc.property(fc.nat(sample.length - 1), fc.nat(7), (at, bit) => {
        const bad = sample.slice()
        bad[at] = (bad[at] ?? 0) ^ (1 << bit)
        const wanted = at >= 4 && at < 8 ? 'SNAPSHOT_VERSION_MISMATCH' : 'SNAPSHOT_MALFORMED'
        expect(codeOf(() => readSnapshot(bad, expected))).toBe(wanted)
      }),
    )
  })

  it('is refused when it is cut, and when it is anything else', () => {
    fc.assert(
      fc.property(fc.nat(sample.length - 1), (length) => {
        expect(codeOf(() => readSnapshot(sample.subarray(0, length), expected))).toBe('SNAPSHOT_MALFORMED')
      }),
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(codeOf(() => readSnapshot(bytes, expected))).toBe('SNAPSHOT_MALFORMED')
      }),
    )
  })

  it('never throws anything uncoded for a forged header or payload with the right hash', () => {
    const fields = ['memoryPages', 'globalsBytes', 'framesBytes', 'wasiBytes', 'runs', 'dataPages', 'module', 'usage']
    fc.assert(
      fc.property(
        fc.constantFrom(...fields),
        fc.oneof(fc.nat(), fc.integer(), fc.double(), fc.string()),
        (field, value) => {
          const bad = forged((header) => {
            header[field] = value
          })
          expect(codeOf(() => readSnapshot(bad, expected))).toMatch(/^(none|SNAPSHOT_[A-Z]+(_MISMATCH)?)$/)
        },
      ),
    )
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 3_000 }), (payload) => {
        expect(
          codeOf(() =>
            readSnapshot(
              forged(() => {}, payload),
              expected,
            ),
          ),
        ).toBe('SNAPSHOT_MALFORMED')
        expect(
          codeOf(() =>
            readSnapshot(
              forged(() => {}, zstdCompressSync(payload)),
              expected,
            ),
          ),
        ).toBe('SNAPSHOT_MALFORMED')
      }),
    )
  })

  it('does not decompress a bomb', () => {
    const bomb = zstdCompressSync(new Uint8Array(64 << 20))
    expect(bomb.length).toBeLessThan(10_000)
    expect(
      codeOf(() =>
        readSnapshot(
          forged(() => {}, bomb),
          expected,
        ),
      ),
    ).toBe('SNAPSHOT_MALFORMED')
  })

  it.each([
    [{ moduleHash: sha256Hex(Uint8Array.of(2)) }, 'SNAPSHOT_MODULE_MISMATCH'],
    [{ instrumenter: '2' }, 'SNAPSHOT_VERSION_MISMATCH'],
    [{ layoutHash: 'other' }, 'SNAPSHOT_VERSION_MISMATCH'],
    [{ maxMemoryPages: 2 }, 'SNAPSHOT_MALFORMED'],
    [{ maxStateBytes: 5 }, 'SNAPSHOT_MALFORMED'],
  ])('is refused where %j', (change, code) => {
    expect(codeOf(() => readSnapshot(sample, { ...expected, ...change }))).toBe(code)
  })
})
