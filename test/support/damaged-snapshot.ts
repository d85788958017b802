// Damages a snapshot on purpose, so that its hashes are right and the damage is found, if at all, by whoever reads on.
import { zstdDecompressSync } from 'node:zlib'
import type { StateHeader } from '../../cells/snapshot/format.ts'
import { CHAIN_START, chained, type Part, readParts, sealPart } from '../../cells/snapshot/part.ts'
import { concat } from '../../core/bytes.ts'
import type { Random } from '../../core/random.ts'

/** What 32-bit words are replaced by: small indices, sizes, addresses, signs. */
const WORDS = [0, 1, 2, 3, 7, 8, 16, 255, 4096, 65_535, 65_536, 1 << 20, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 8, 2 ** 32 - 1]

interface Open {
  readonly kind: Part['kind']
  header: Part['header']
  payload: Uint8Array
}

/** `snapshot`, damaged in one to three places; the same for the same random numbers. */
export function damagedSnapshot(snapshot: Uint8Array, random: Random): Uint8Array {
  const parts = [...readParts(snapshot)].map(opened)
  const state = parts.at(-1)
  if (state === undefined) throw new Error('no parts')
  for (let left = 1 + random.int(3); left > 0; left--) {
    const other = parts[random.int(parts.length)] ?? state
    // Most of it in the state: there is more to go wrong.
    if (random.int(4) > 0) damageState(state, random)
    else if ('runs' in other.header) scratch(other.payload, 0, other.header.runs * 8, random)
    else scratch(other.payload, 0, other.payload.length, random)
  }
  return sealed(parts)
}

function opened({ kind, header, payload }: Part): Open {
  const raw = header.zstd ? new Uint8Array(zstdDecompressSync(payload)) : payload.slice()
  return { kind, header: { ...header, zstd: false }, payload: raw }
}

function damageState(state: Open, random: Random): void {
  const header = state.header as StateHeader
  const { globalsBytes, framesBytes, wasiBytes } = header
  const stretches = [
    [0, globalsBytes],
    [globalsBytes, framesBytes],
    [globalsBytes, framesBytes],
    [globalsBytes + framesBytes, wasiBytes],
    [globalsBytes + framesBytes, wasiBytes],
    [globalsBytes + framesBytes + wasiBytes, header.runs * 8],
  ] as const
  const [from, length] = stretches[random.int(stretches.length)] ?? [0, 0]
  const choice = random.int(10)
  if (choice === 0) state.header = withOtherSizes(header, random)
  else if (choice === 1) cut(state, header, random)
  else scratch(state.payload, from, length, random)
}

/** A byte or a word of a stretch is another. */
function scratch(payload: Uint8Array, from: number, length: number, random: Random): void {
  const choice = random.int(10)
  if (length > 0 && choice < 4 && from + length <= payload.length) payload[from + random.int(length)] = random.int(256)
  else if (length > 3 && from + length <= payload.length) {
    const at = from + random.int(length - 3)
    const word = WORDS[random.int(WORDS.length)] ?? 0
    new DataView(payload.buffer, payload.byteOffset).setUint32(choice < 8 ? at & ~3 : at, word, true)
  }
}

/** One of its numbers is another. */
function withOtherSizes(header: StateHeader, random: Random): StateHeader {
  const names = ['memoryPages', 'globalsBytes', 'framesBytes', 'wasiBytes', 'runs', 'dataPages'] as const
  const name = names[random.int(names.length)] ?? 'runs'
  const other = (size: number): number => Math.max(0, size + random.int(9) - 4)
  if (name !== 'memoryPages') return { ...header, [name]: other(header[name]) }
  const pages = header.memoryPages.map(other)
  // Also one memory more, or one less.
  return { ...header, memoryPages: [pages, [...pages, 1], pages.slice(1)][random.int(3)] ?? pages }
}

/** Frames or globals end early, and the header says so. */
function cut(state: Open, header: StateHeader, random: Random): void {
  const name = random.int(2) === 0 ? 'framesBytes' : 'globalsBytes'
  const end = header.globalsBytes + (name === 'framesBytes' ? header.framesBytes : 0)
  const length = Math.min(header[name], 4 * (1 + random.int(8)))
  state.payload = concat([state.payload.subarray(0, end - length), state.payload.subarray(end)])
  state.header = { ...header, [name]: header[name] - length }
}

function sealed(parts: readonly Open[]): Uint8Array {
  let chain = CHAIN_START
  const out = parts.map(({ kind, header, payload }) => {
    const { bytes, hash } = sealPart(kind, 'chain' in header ? { ...header, chain } : header, payload)
    chain = chained(chain, hash)
    return bytes
  })
  return concat(out)
}
