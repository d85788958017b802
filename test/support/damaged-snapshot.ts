// Damages a snapshot on purpose, so that its hash is right and the damage is found, if at all, by whoever reads on.
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { BODY_AT, HASH_AT, HEADER_AT, type SnapshotHeader } from '../../cells/snapshot/format.ts'
import { readSnapshotHeader } from '../../cells/snapshot/snapshot.ts'
import { concat, sha256 } from '../../core/bytes.ts'
import type { Random } from '../../core/random.ts'
import { toCbor } from '../../core/shape.ts'

/** What 32-bit words are replaced by: small indices, sizes, addresses, signs. */
const WORDS = [0, 1, 2, 3, 7, 8, 16, 255, 4096, 65_535, 65_536, 1 << 20, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 8, 2 ** 32 - 1]

/** `snapshot`, damaged in one to three places; the same for the same random numbers. */
export function damagedSnapshot(snapshot: Uint8Array, random: Random): Uint8Array {
  const header = readSnapshotHeader(snapshot)
  const view = new DataView(snapshot.buffer, snapshot.byteOffset)
  let payload: Uint8Array = zstdDecompressSync(snapshot.subarray(HEADER_AT + view.getUint32(BODY_AT, true)))
  let head = header
  const { globalsBytes, framesBytes, wasiBytes } = header
  const parts = [
    [0, globalsBytes],
    [globalsBytes, framesBytes],
    [globalsBytes, framesBytes],
    [globalsBytes + framesBytes, wasiBytes],
    [globalsBytes + framesBytes, wasiBytes],
    [globalsBytes + framesBytes + wasiBytes, header.runs * 8],
  ] as const
  for (let left = 1 + random.int(3); left > 0; left--) {
    const [from, length] = parts[random.int(parts.length)] ?? [0, 0]
    const choice = random.int(10)
    if (choice === 0) head = withOtherSizes(head, random)
    else if (choice === 1) [head, payload] = cut(head, payload, random)
    else if (length > 0 && choice < 5) payload[from + random.int(length)] = random.int(256)
    else if (length > 3) {
      const at = from + random.int(length - 3)
      const word = WORDS[random.int(WORDS.length)] ?? 0
      new DataView(payload.buffer, payload.byteOffset).setUint32(choice < 8 ? at & ~3 : at, word, true)
    }
  }
  return sealed(snapshot.subarray(0, HEADER_AT), head, zstdCompressSync(payload))
}

/** One of its numbers is another. */
function withOtherSizes(header: SnapshotHeader, random: Random): SnapshotHeader {
  const names = ['memoryPages', 'globalsBytes', 'framesBytes', 'wasiBytes', 'runs', 'dataPages'] as const
  const name = names[random.int(names.length)] ?? 'runs'
  return { ...header, [name]: Math.max(0, header[name] + random.int(9) - 4) }
}

/** Frames or globals end early, and the header says so. */
function cut(header: SnapshotHeader, payload: Uint8Array, random: Random): [SnapshotHeader, Uint8Array] {
  const name = random.int(2) === 0 ? 'framesBytes' : 'globalsBytes'
  const end = header.globalsBytes + (name === 'framesBytes' ? header.framesBytes : 0)
  const length = Math.min(header[name], 4 * (1 + random.int(8)))
  const rest = concat([payload.subarray(0, end - length), payload.subarray(end)])
  return [{ ...header, [name]: header[name] - length }, rest]
}

function sealed(start: Uint8Array, header: SnapshotHeader, body: Uint8Array): Uint8Array {
  const head = toCbor(header)
  const out = concat([start, head, body])
  new DataView(out.buffer).setUint32(BODY_AT, head.length, true)
  out.set(sha256(out.subarray(BODY_AT)), HASH_AT)
  return out
}
