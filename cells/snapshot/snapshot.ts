// A suspended cell as a sequence of parts, and back: format v1 of `format.ts`. Pure; reading is total and takes no memory
// before the sizes have been checked against what the cell may have.
import { constants, zstdCompress, zstdDecompressSync } from 'node:zlib'
import { equal, hex } from '../../core/bytes.ts'
import { CodedError } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import {
  MAX_PAGES_PAYLOAD_BYTES,
  PAGE_BYTES,
  pagesBytes,
  RUN_BYTES,
  type SnapshotUsage,
  type StateHeader,
  stateBytes,
  WASM_PAGE_BYTES,
} from './format.ts'
import { type PageRun, type PageSlice, readRuns } from './pages.ts'
import { CHAIN_START, chained, malformed, type Part, readParts, sealPart, versionMismatch } from './part.ts'

/** What a part is made of, before it is compressed and hashed. */
export type Material =
  | ({ readonly kind: 'pages' } & PageSlice)
  /** A `ContentDelta` as CBOR. */
  | { readonly kind: 'files'; readonly payload: Uint8Array }
  | {
      readonly kind: 'rehearsal' | 'state'
      readonly header: Omit<StateHeader, 'parts' | 'chain' | 'zstd'>
      /** globals | frames | wasi | page index | page data */
      readonly payload: Uint8Array
    }

/**
 * A state goes as it is up to this size: it is made while the program stands still, and compressing takes longer than a
 * local network needs for what it saves.
 */
const RAW_STATE_BYTES = 1 << 20
/** Below this there is nothing to gain, bytes. */
const MIN_COMPRESSED_BYTES = 512
/** What does not shrink to this share goes as it is: decompressing would cost more than it saves. */
const WORTHWHILE = 0.95

/** Makes the parts of one snapshot, in the order of the calls. */
export class SnapshotWriter {
  #parts = 0
  #chain = CHAIN_START
  #last: Promise<unknown> = Promise.resolve()

  /** Compresses off this thread; several may be under way. */
  add(material: Material): Promise<Uint8Array<ArrayBuffer>> {
    const packed = compressed(material)
    const before = this.#last
    const sealed = (async () => {
      await before
      const { payload, zstd } = await packed
      return this.#seal(material, payload, zstd)
    })()
    this.#last = sealed.catch(() => undefined)
    return sealed
  }

  #seal(material: Material, payload: Uint8Array, zstd: boolean): Uint8Array<ArrayBuffer> {
    const { bytes, hash } = sealPart(material.kind, this.#headerOf(material, zstd), payload)
    this.#parts += 1
    this.#chain = chained(this.#chain, hash)
    return bytes
  }

  #headerOf(material: Material, zstd: boolean) {
    if (material.kind === 'pages') return { runs: material.runs, dataPages: material.dataPages, zstd }
    if (material.kind === 'files') return { bytes: material.payload.length, zstd }
    return { ...material.header, parts: this.#parts, chain: this.#chain, zstd }
  }
}

type Packed = { readonly payload: Uint8Array; readonly zstd: boolean }

function compressed({ kind, payload }: Material): Packed | Promise<Packed> {
  const raw = { payload, zstd: false }
  const isState = kind === 'state' || kind === 'rehearsal'
  if (payload.length < (isState ? RAW_STATE_BYTES : MIN_COMPRESSED_BYTES)) return raw
  return new Promise((resolve, reject) => {
    // Level 1: 2.5x as fast as gzip 1, and smaller.
    zstdCompress(payload, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }, (error, packed) => {
      if (error) reject(error)
      else resolve(packed.length < payload.length * WORTHWHILE ? { payload: packed, zstd: true } : raw)
    })
  })
}

/** What the reader has at hand; a snapshot that was not made by the same is refused. */
export interface SnapshotExpectation {
  readonly moduleHash: string
  readonly instrumenter: string
  readonly layoutHash: string
  readonly memories: number
  /** The most pages of 64 KiB that the cell's memories may have together. */
  readonly maxMemoryPages: number
  /** The most bytes of everything that is not memory. */
  readonly maxStateBytes: number
}

/** Pages to be put into memory with `applyPages`, once that reaches as far. */
export interface ReadPages {
  readonly runs: readonly PageRun[]
  readonly data: Uint8Array
}

/** Everything of a suspended program but what came before. `globals`, `frames` and `wasi` are opaque here. */
export interface ReadState extends ReadPages {
  /** Of each memory. */
  readonly memoryPages: readonly number[]
  readonly globals: Uint8Array
  readonly frames: Uint8Array
  readonly wasi: Uint8Array
  readonly usage: SnapshotUsage
}

export type ReadPart =
  | ({ readonly kind: 'pages' } & ReadPages)
  | { readonly kind: 'files'; readonly content: Uint8Array }
  | ({ readonly kind: 'rehearsal' | 'state' } & ReadState)

/** Reads the parts of one snapshot, in order; after an error nothing more can be read. */
export class SnapshotReader {
  readonly #expected: SnapshotExpectation
  #parts = 0
  #chain = CHAIN_START
  #complete = false

  constructor(expected: SnapshotExpectation) {
    this.#expected = expected
  }

  /** The state has been read. */
  get complete(): boolean {
    return this.#complete
  }

  /** @throws `SNAPSHOT_MISMATCH`es and `SNAPSHOT_MALFORMED`, nothing else. */
  *read(bytes: Uint8Array): Generator<ReadPart, void, void> {
    for (const part of readParts(bytes)) {
      if (this.#complete) throw malformed('it goes on after its state')
      yield this.#read(part)
      this.#parts += 1
      this.#chain = chained(this.#chain, part.hash)
    }
  }

  #read(part: Part): ReadPart {
    if (part.kind === 'pages') return { kind: 'pages', ...this.#readPages(part.header, part.payload) }
    if (part.kind === 'files') {
      const { bytes, zstd } = part.header
      return { kind: 'files', content: unpacked(part.payload, bytes, zstd) }
    }
    const state = { kind: part.kind, ...this.#readState(part.header, part.payload) }
    this.#complete = part.kind === 'state'
    return state
  }

  #readPages(header: { runs: number; dataPages: number; zstd: boolean }, packed: Uint8Array): ReadPages {
    const bytes = pagesBytes(header)
    if (bytes > MAX_PAGES_PAYLOAD_BYTES) throw malformed('a part has more pages than a part may have')
    const { memories, maxMemoryPages } = this.#expected
    const most = Array.from({ length: memories }, () => maxMemoryPages)
    return this.#pagesOf(unpacked(packed, bytes, header.zstd), header, most)
  }

  #pagesOf(
    payload: Uint8Array,
    counts: { runs: number; dataPages: number },
    memoryPages: readonly number[],
  ): ReadPages {
    const dataAt = counts.runs * RUN_BYTES
    const index = payload.subarray(0, dataAt)
    const runs = readRuns(index, counts.runs, counts.dataPages, memoryPages)
    return { runs, data: payload.subarray(dataAt) }
  }

  #readState(header: StateHeader, packed: Uint8Array): ReadState {
    const expected = this.#expected
    const pages = header.memoryPages.reduce((sum, one) => sum + one, 0)
    refuseOther(header, expected)
    if (header.parts !== this.#parts || !equal(header.chain, this.#chain)) throw malformed('parts of it are missing')
    if (header.memoryPages.length !== expected.memories) throw malformed('it has other memories than the module')
    if (pages > expected.maxMemoryPages) throw malformed('its memory is larger than the cell may have')
    const { globalsBytes, framesBytes, wasiBytes } = header
    const pagesAt = globalsBytes + framesBytes + wasiBytes
    if (pagesAt > expected.maxStateBytes) throw malformed('its state is larger than the cell may have')
    const most = (pages * WASM_PAGE_BYTES) / PAGE_BYTES
    if (header.dataPages > most || header.runs > most) throw malformed('it has more pages than its memory')
    const payload = unpacked(packed, stateBytes(header), header.zstd)
    return {
      memoryPages: header.memoryPages,
      globals: payload.subarray(0, globalsBytes),
      frames: payload.subarray(globalsBytes, globalsBytes + framesBytes),
      wasi: payload.subarray(globalsBytes + framesBytes, pagesAt),
      usage: header.usage,
      ...this.#pagesOf(payload.subarray(pagesAt), header, header.memoryPages),
    }
  }
}

function refuseOther(header: StateHeader, expected: SnapshotExpectation): void {
  const moduleHash = hex(header.module)
  if (moduleHash !== expected.moduleHash) throw moduleMismatch(moduleHash, expected.moduleHash)
  if (header.instrumenter !== expected.instrumenter) {
    throw versionMismatch('instrumenter', header.instrumenter, expected.instrumenter)
  }
  if (header.layout !== expected.layoutHash) throw versionMismatch('layout', header.layout, expected.layoutHash)
}

export function moduleMismatch(found: string, wanted: string): CodedError<CellErrorCode> {
  return new CodedError('SNAPSHOT_MODULE_MISMATCH', 'the snapshot belongs to another module', {
    facts: { snapshot: found, module: wanted },
  })
}

function unpacked(payload: Uint8Array, length: number, zstd: boolean): Uint8Array {
  const raw = zstd ? decompress(payload, length) : payload
  if (raw.length !== length) throw malformed('a payload has another length than it says')
  return raw
}

function decompress(payload: Uint8Array, length: number): Uint8Array {
  try {
    // One byte more than it may be: an exact bound of zero is refused by zlib.
    const raw = zstdDecompressSync(payload, { maxOutputLength: length + 1 })
    return new Uint8Array(raw.buffer, raw.byteOffset, raw.length)
  } catch (error) {
    throw malformed('a payload cannot be decompressed', error)
  }
}

/** The header of the state among whole parts; undefined when there is none. Hashes are not verified. */
export function stateHeaderOf(bytes: Uint8Array): StateHeader | undefined {
  for (const part of readParts(bytes, false)) if (part.kind === 'state') return part.header
  return undefined
}
