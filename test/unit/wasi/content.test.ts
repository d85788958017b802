// The bytes of files against plain arrays, in a pool that has memory for hardly any of them.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Content } from '../../../cells/wasi/content.ts'
import { type FileSource, PIECE_BYTES, PiecePool, StorageError } from '../../../cells/wasi/pieces.ts'
import { MemoryScratch } from './memory-scratch.ts'

const PIECES = 4
const RESIDENT = 2 * PIECE_BYTES
const SIZE = PIECES * PIECE_BYTES

const place = fc.oneof(fc.nat(SIZE), fc.constantFrom(...Array.from({ length: PIECES + 1 }, (_, n) => n * PIECE_BYTES)))
const step = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    file: fc.nat(3),
    at: place,
    length: fc.oneof(fc.nat(40), fc.nat(2 * PIECE_BYTES)),
    value: fc.nat(255),
  }),
  fc.record({ kind: fc.constant('resize' as const), file: fc.nat(3), at: place }),
  fc.record({ kind: fc.constant('read' as const), file: fc.nat(3), at: place, length: fc.nat(SIZE) }),
)

function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let i = 0, x = seed + 1; i < length; i++) bytes[i] = x = (x * 48_271) % 2_147_483_647
  return bytes
}

function sourceOf(bytes: Uint8Array): FileSource {
  return { size: bytes.length, read: (at, into) => into.set(bytes.subarray(at, at + into.length)) }
}

function resized(bytes: Uint8Array, size: number): Uint8Array {
  const other = new Uint8Array(size)
  other.set(bytes.subarray(0, size))
  return other
}

it('files hold what was written, wherever it is, and the pool no more than it may', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.nat(SIZE), (steps, size) => {
      const scratch = new MemoryScratch()
      const pool = new PiecePool({ scratch, residentBytes: RESIDENT })
      const given = noise(size, 1)
      const original = given.slice()
      const files = [
        new Content(pool),
        Content.shared(pool, given),
        Content.lazy(pool, sourceOf(given)),
        new Content(pool),
      ]
      const models: Uint8Array[] = [new Uint8Array(0), given.slice(), given.slice(), new Uint8Array(0)]
      for (const one of steps) {
        const [file, model] = [files[one.file], models[one.file]]
        if (file === undefined || model === undefined) throw new Error('no such file')
        if (one.kind === 'resize') {
          file.resize(one.at)
          models[one.file] = resized(model, one.at)
        } else if (one.kind === 'write') {
          const bytes = noise(one.length, one.value)
          file.write(one.at, bytes, 0, bytes.length)
          const longer = bytes.length === 0 ? model : resized(model, Math.max(model.length, one.at + bytes.length))
          longer.set(bytes, bytes.length === 0 ? 0 : one.at)
          models[one.file] = longer
        } else {
          const from = Math.min(one.at, model.length)
          const length = Math.min(one.length, model.length - from)
          const into = new Uint8Array(length + 2).fill(7)
          file.read(from, into, 1, length)
          expect(Buffer.compare(into.subarray(1, length + 1), model.subarray(from, from + length))).toBe(0)
          expect([into[0], into[length + 1]]).toEqual([7, 7])
        }
        expect(pool.residentBytes).toBeLessThanOrEqual(RESIDENT)
      }
      for (const [index, file] of files.entries()) {
        expect(file.size).toBe(models[index]?.length)
        expect(Buffer.compare(file.bytes(), models[index] ?? new Uint8Array(0))).toBe(0)
      }
      expect(Buffer.compare(given, original)).toBe(0)
      for (const file of files) file.drop()
      expect([pool.residentBytes, scratch.size]).toEqual([0, 0])
    }),
    { numRuns: 150 },
  )
})

it('what was read and not changed is read again instead of being put aside', () => {
  const scratch = new MemoryScratch()
  const pool = new PiecePool({ scratch, residentBytes: RESIDENT })
  const bytes = noise(SIZE, 5)
  let reads = 0
  const source: FileSource = {
    ...sourceOf(bytes),
    read: (at, into) => {
      reads++
      sourceOf(bytes).read(at, into)
    },
  }
  const file = Content.lazy(pool, source)
  expect(reads).toBe(0)
  for (let round = 1; round <= 2; round++) {
    expect(Buffer.compare(file.bytes(), bytes)).toBe(0)
    expect(reads).toBe(round * PIECES)
  }
  expect(scratch.writes).toBe(0)
})

it('a hole takes no memory', () => {
  const pool = new PiecePool()
  const file = new Content(pool)
  file.resize(2 ** 45)
  file.write(2 ** 44, new Uint8Array([1]), 0, 1)
  expect(pool.residentBytes).toBe(PIECE_BYTES)
  expect(file.piece(2 ** 28)[0]).toBe(1)
  expect(file.piece(7)).toEqual(new Uint8Array(PIECE_BYTES))
  file.resize(3)
  expect([file.bytes(), pool.residentBytes]).toEqual([new Uint8Array(3), 0])
})

it('what cannot be put aside is not written, and what cannot be had is said', () => {
  const scratch = new MemoryScratch()
  const pool = new PiecePool({ scratch, residentBytes: RESIDENT })
  const file = new Content(pool)
  const bytes = noise(SIZE, 9)
  scratch.full = true
  expect(() => file.write(0, bytes, 0, SIZE)).toThrow(StorageError)
  expect(file.size).toBe(RESIDENT)
  expect(Buffer.compare(file.bytes(), bytes.subarray(0, RESIDENT))).toBe(0)
  scratch.full = false
  file.write(RESIDENT, bytes, RESIDENT, SIZE - RESIDENT)
  expect(Buffer.compare(file.bytes(), bytes)).toBe(0)
  scratch.broken = true
  expect(() => file.bytes()).toThrow(StorageError)
  scratch.broken = false
  expect(Buffer.compare(file.bytes(), bytes)).toBe(0)
})

it('what needs no room is read when there is none', () => {
  const scratch = new MemoryScratch()
  const pool = new PiecePool({ scratch, residentBytes: RESIDENT })
  const [own, given] = [new Content(pool), noise(SIZE, 3)]
  const file = Content.lazy(pool, sourceOf(given))
  own.write(0, noise(PIECE_BYTES, 4), 0, PIECE_BYTES)
  scratch.full = true
  expect(Buffer.compare(file.bytes(), given)).toBe(0)
  expect(Buffer.compare(own.bytes(), noise(PIECE_BYTES, 4))).toBe(0)
  expect(pool.residentBytes).toBeLessThanOrEqual(RESIDENT)
})
