// Names of versions, and which of two to use: what makes peers that drifted apart come together again.
import { hex, sha256, utf8 } from '../../core/bytes.ts'
import { toCbor } from '../../core/shape.ts'
import type { Lineage, TaskDescriptor } from './types.ts'

/** Hex hash of everything in the descriptor: a changed task is another task. */
export function taskHash(task: TaskDescriptor): string {
  return hex(sha256(utf8('cloudskin-fl-task-v1\n'), toCbor(task)))
}

/** The name of `weights` with this history: whoever holds both can check it. `contributors` must be sorted. */
export function versionOf(task: string, origin: Omit<Lineage, 'version'>, weights: Float32Array): string {
  const { round, parent, contributors } = origin
  const head = toCbor({ task, round, parent, contributors, parameters: weights.length })
  return hex(sha256(utf8('cloudskin-fl-version-v1\n'), head, floatBytes(weights)))
}

/**
 * True when a peer that holds `mine` should fetch and use `theirs`: the later round; of one round the version with more
 * contributors; of equally many the smaller hash. A strict order, so all peers that hear of both end with the same one.
 */
export function supersedes(theirs: Lineage, mine: Lineage): boolean {
  if (theirs.round !== mine.round) return theirs.round > mine.round
  if (theirs.contributors.length !== mine.contributors.length)
    return theirs.contributors.length > mine.contributors.length
  return theirs.version < mine.version
}

/** Little-endian IEEE 754 single precision, on every machine. */
export function floatBytes(values: Float32Array): Uint8Array {
  const out = new Uint8Array(values.length * 4)
  const view = new DataView(out.buffer)
  for (let k = 0; k < values.length; k++) view.setFloat32(k * 4, values[k] ?? 0, true)
  return out
}

/** Reads {@link floatBytes}; `bytes.length` must be a multiple of four. */
export function bytesToFloats(bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Float32Array.from({ length: bytes.length / 4 }, (_, k) => view.getFloat32(k * 4, true))
}
