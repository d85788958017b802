// An image in pieces: cutting, checking piece by piece, putting together. Pure; every byte is hashed once at each end.
import { concat, equal, sha256, sha256Hex, utf8 } from '../../core/bytes.ts'
import { CodedError } from '../../core/errors.ts'
import type { MigrationErrorCode } from './errors.ts'
import type { ChunkMessage } from './messages.ts'
import { CHUNK_BYTES } from './protocol.ts'
import type { CellImage } from './types.ts'

export interface ImageSizes {
  readonly snapshotBytes: number
  readonly contextBytes: number
}

export function sizesOf(image: CellImage): ImageSizes {
  return { snapshotBytes: image.snapshot.length, contextBytes: image.context.length }
}

/** The pieces of the context, then those of the snapshot; no piece holds bytes of both. Views, not copies. */
export function* cut(image: CellImage): Generator<ChunkMessage> {
  let index = 0
  for (const part of [image.context, image.snapshot]) {
    for (let at = 0; at < part.length; at += CHUNK_BYTES) {
      const bytes = part.subarray(at, at + CHUNK_BYTES)
      yield { kind: 'chunk', index: index++, sha256: sha256(bytes), bytes }
    }
  }
}

/** Hex root of an image: SHA-256 over a tag, both sizes and the hashes of all pieces in order. */
export function rootOf(sizes: ImageSizes, hashes: readonly Uint8Array[]): string {
  return sha256Hex(utf8(`cloudskin-image-v1 ${sizes.contextBytes} ${sizes.snapshotBytes}\n`), ...hashes)
}

export function imageRoot(image: CellImage): string {
  return rootOf(
    sizesOf(image),
    [...cut(image)].map((chunk) => chunk.sha256),
  )
}

/** The pieces that have come so far, each of them checked. Memory grows with what came, never with what was announced. */
export interface Assembly {
  readonly sizes: ImageSizes
  readonly chunks: readonly ChunkMessage[]
}

export function beginAssembly(sizes: ImageSizes): Assembly {
  return { sizes, chunks: [] }
}

/** Takes the next piece, or throws `MIGRATION_IMAGE_MISMATCH`. */
export function addChunk(assembly: Assembly, chunk: ChunkMessage): Assembly {
  const index = assembly.chunks.length
  const wanted = chunkLength(assembly.sizes, index)
  if (chunk.index !== index || chunk.bytes.length !== wanted)
    throw mismatch(`piece ${chunk.index} of ${chunk.bytes.length} bytes came where piece ${index} of ${wanted} was due`)
  if (!equal(sha256(chunk.bytes), chunk.sha256)) throw mismatch(`piece ${index} is not what its hash says`)
  return { sizes: assembly.sizes, chunks: [...assembly.chunks, chunk] }
}

/** The whole image, or `MIGRATION_IMAGE_MISMATCH` when pieces are missing or `root` is not theirs. */
export function finishAssembly(assembly: Assembly, root: string): CellImage {
  const total = contextChunks(assembly.sizes) + Math.ceil(assembly.sizes.snapshotBytes / CHUNK_BYTES)
  if (assembly.chunks.length !== total) throw mismatch(`${assembly.chunks.length} of ${total} pieces came`)
  const hashes = assembly.chunks.map((chunk) => chunk.sha256)
  if (rootOf(assembly.sizes, hashes) !== root) throw mismatch('the pieces are not those that the root names')
  const parts = assembly.chunks.map((chunk) => chunk.bytes)
  const split = contextChunks(assembly.sizes)
  return { context: concat(parts.slice(0, split)), snapshot: concat(parts.slice(split)) }
}

function contextChunks(sizes: ImageSizes): number {
  return Math.ceil(sizes.contextBytes / CHUNK_BYTES)
}

function chunkLength(sizes: ImageSizes, index: number): number {
  const split = contextChunks(sizes)
  const [part, at] = index < split ? [sizes.contextBytes, index] : [sizes.snapshotBytes, index - split]
  return Math.max(0, Math.min(CHUNK_BYTES, part - at * CHUNK_BYTES))
}

function mismatch(what: string): CodedError<MigrationErrorCode> {
  return new CodedError('MIGRATION_IMAGE_MISMATCH', `the snapshot did not arrive whole: ${what}; move the cell again`)
}
