// A suspended cell as bytes, and back: format v1 of `format.ts`. Pure; reading is total and takes no memory before the
// sizes have been checked against what the cell may have.
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { equal, fromHex, hex, sha256 } from '../../core/bytes.ts'
import { CodedError } from '../../core/errors.ts'
import { fromCbor, toCbor } from '../../core/shape.ts'
import type { CellErrorCode } from '../errors.ts'
import {
  BODY_AT,
  HASH_AT,
  HEADER_AT,
  MAGIC,
  MAX_HEADER_BYTES,
  PAGE_BYTES,
  payloadBytes,
  RUN_BYTES,
  SNAPSHOT_FORMAT,
  type SnapshotHeader,
  type SnapshotUsage,
  snapshotHeader,
  WASM_PAGE_BYTES,
} from './format.ts'
import { type Baseline, dataPages, diffPages, type PageRun, readRuns, writePages } from './pages.ts'

/** Everything of a suspended program but its memory. `globals`, `frames` and `wasi` are opaque here. */
export interface SnapshotState {
  /** Hex SHA-256 of the untouched module. */
  readonly moduleHash: string
  readonly instrumenter: string
  readonly layoutHash: string
  readonly globals: Uint8Array
  readonly frames: Uint8Array
  readonly wasi: Uint8Array
  readonly usage: SnapshotUsage
}

/** A read snapshot: its page data is applied with `applyPages` to a memory of `memoryPages` that was just instantiated. */
export interface ReadSnapshot extends SnapshotState {
  readonly memoryPages: number
  readonly runs: readonly PageRun[]
  readonly data: Uint8Array
}

/** Packs `state` with what of `memory` differs from `baseline`. zstd level 1: 2.5x as fast as gzip 1, and smaller. */
export function packSnapshot(state: SnapshotState, memory: Uint8Array, baseline: Baseline): Uint8Array<ArrayBuffer> {
  const runs = diffPages(memory, baseline)
  const header: SnapshotHeader = {
    module: fromHex(state.moduleHash) ?? new Uint8Array(0),
    instrumenter: state.instrumenter,
    layout: state.layoutHash,
    memoryPages: memory.length / WASM_PAGE_BYTES,
    globalsBytes: state.globals.length,
    framesBytes: state.frames.length,
    wasiBytes: state.wasi.length,
    runs: runs.length,
    dataPages: dataPages(runs),
    usage: state.usage,
  }
  const payload = new Uint8Array(payloadBytes(header))
  let at = 0
  for (const part of [state.globals, state.frames, state.wasi]) {
    payload.set(part, at)
    at += part.length
  }
  writePages(payload, at, memory, runs)
  return assemble(header, payload)
}

function assemble(header: SnapshotHeader, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = toCbor(header)
  const body = zstdCompressSync(payload, { params: { [constants.ZSTD_c_compressionLevel]: 1 } })
  const out = new Uint8Array(HEADER_AT + head.length + body.length)
  const view = new DataView(out.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint32(4, SNAPSHOT_FORMAT, true)
  view.setUint32(BODY_AT, head.length, true)
  out.set(head, HEADER_AT)
  out.set(body, HEADER_AT + head.length)
  out.set(sha256(out.subarray(BODY_AT)), HASH_AT)
  return out
}

/**
 * The header alone, verified against the hash: cheap enough to refuse before anything is started.
 * @throws `SNAPSHOT_MALFORMED`, `SNAPSHOT_VERSION_MISMATCH`
 */
export function readSnapshotHeader(bytes: Uint8Array): SnapshotHeader {
  return readParts(bytes).header
}

function readParts(bytes: Uint8Array): { header: SnapshotHeader; body: Uint8Array } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < HEADER_AT || view.getUint32(0, true) !== MAGIC) throw malformed('it does not start like one')
  const version = view.getUint32(4, true)
  if (version !== SNAPSHOT_FORMAT) throw versionMismatch('format', String(version), String(SNAPSHOT_FORMAT))
  const headerBytes = view.getUint32(BODY_AT, true)
  if (headerBytes > MAX_HEADER_BYTES || HEADER_AT + headerBytes > bytes.length) throw malformed('its header is cut off')
  if (!equal(sha256(bytes.subarray(BODY_AT)), bytes.subarray(HASH_AT, BODY_AT))) throw malformed('its hash is wrong')
  const code: CellErrorCode = 'SNAPSHOT_MALFORMED'
  const header = fromCbor(bytes.subarray(HEADER_AT, HEADER_AT + headerBytes), snapshotHeader, code)
  return { header, body: bytes.subarray(HEADER_AT + headerBytes) }
}

/** What the reader has at hand; a snapshot that was not made by the same is refused. */
export interface SnapshotExpectation {
  readonly moduleHash: string
  readonly instrumenter: string
  readonly layoutHash: string
  /** The most pages of 64 KiB that the cell's memory may have. */
  readonly maxMemoryPages: number
  /** The most bytes of everything that is not memory. */
  readonly maxStateBytes: number
}

/** @throws `SNAPSHOT_MISMATCH`es and `SNAPSHOT_MALFORMED`, nothing else. */
export function readSnapshot(bytes: Uint8Array, expected: SnapshotExpectation): ReadSnapshot {
  const { header, body } = readParts(bytes)
  const moduleHash = hex(header.module)
  if (moduleHash !== expected.moduleHash) {
    throw new CodedError<CellErrorCode>('SNAPSHOT_MODULE_MISMATCH', 'the snapshot belongs to another module', {
      facts: { snapshot: moduleHash, module: expected.moduleHash },
    })
  }
  if (header.instrumenter !== expected.instrumenter) {
    throw versionMismatch('instrumenter', header.instrumenter, expected.instrumenter)
  }
  if (header.layout !== expected.layoutHash) throw versionMismatch('layout', header.layout, expected.layoutHash)
  if (header.memoryPages > expected.maxMemoryPages) throw malformed('its memory is larger than the cell may have')
  const indexAt = header.globalsBytes + header.framesBytes + header.wasiBytes
  if (indexAt > expected.maxStateBytes) throw malformed('its state is larger than the cell may have')
  const memoryBytes = header.memoryPages * WASM_PAGE_BYTES
  if (header.dataPages * PAGE_BYTES > memoryBytes || header.runs * PAGE_BYTES > memoryBytes) {
    throw malformed('it has more pages than its memory')
  }
  const payload = decompress(body, payloadBytes(header))
  const dataAt = indexAt + header.runs * RUN_BYTES
  return {
    moduleHash,
    instrumenter: header.instrumenter,
    layoutHash: header.layout,
    usage: header.usage,
    memoryPages: header.memoryPages,
    globals: payload.subarray(0, header.globalsBytes),
    frames: payload.subarray(header.globalsBytes, header.globalsBytes + header.framesBytes),
    wasi: payload.subarray(header.globalsBytes + header.framesBytes, indexAt),
    runs: readRuns(payload.subarray(indexAt, dataAt), header.runs, header.dataPages, memoryBytes),
    data: payload.subarray(dataAt),
  }
}

function decompress(body: Uint8Array, length: number): Uint8Array {
  let payload: Buffer
  try {
    // One byte more than it may be: an exact bound of zero is refused by zlib.
    payload = zstdDecompressSync(body, { maxOutputLength: length + 1 })
  } catch (error) {
    throw malformed('its payload cannot be decompressed', error)
  }
  if (payload.length !== length) throw malformed('its payload has another length than it says')
  return new Uint8Array(payload.buffer, payload.byteOffset, payload.length)
}

function malformed(why: string, cause?: unknown): CodedError<CellErrorCode> {
  return new CodedError('SNAPSHOT_MALFORMED', `this is not a usable snapshot: ${why}; take a new one`, { cause })
}

function versionMismatch(what: string, found: string, wanted: string): CodedError<CellErrorCode> {
  const message = `the snapshot was made with ${what} ${found}, and this peer has ${wanted}: run the same release on both`
  return new CodedError('SNAPSHOT_VERSION_MISMATCH', message, { facts: { what, found, wanted } })
}
