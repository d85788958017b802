// From a manifest to a program that can be launched, and from its end to results that are kept.
import { rm } from 'node:fs/promises'
import type { CellExit, CellFile, CellProgram, LargeFile } from '../../cells/index.ts'
import { utf8 } from '../../core/bytes.ts'
import { CodedError } from '../../core/errors.ts'
import type { BlobStore } from '../../protocols/blobs/index.ts'
import { type BlobRef, type CellManifest, MAX_RESULT_FILES, type ResultFile } from '../../protocols/placement/index.ts'
import type { CellsErrorCode } from './errors.ts'
import { modeOf } from './module-facts.ts'

/** Paths of a cell's results, together: with all else that a report says they fit into one message. */
export const MAX_RESULT_PATH_BYTES = 1024 * 1024

/** An input above this is not read into memory, but by the program as it needs it. */
const LARGE_INPUT_BYTES = 4 << 20

/** Objects of this peer that are files. */
export interface FileStore extends BlobStore {
  /** Takes a file over, which is gone from its place then. */
  adopt(file: string): Promise<string>
  /** Where an object lies. */
  fileOf(cid: string): string | undefined
}

/** How a program's objects come here, from wherever they are. */
export interface Fetching {
  bytes(object: BlobRef): Promise<Uint8Array>
  file(object: BlobRef): Promise<string>
}

export async function programOf(
  manifest: CellManifest,
  module: Uint8Array,
  limits: CellManifest['limits'],
  fetching: Fetching,
): Promise<CellProgram> {
  const files: CellFile[] = []
  const largeFiles: LargeFile[] = []
  const mayBeLarge = modeOf(manifest).engine === 'wasi'
  for (const { path, cid, bytes } of manifest.inputs)
    if (mayBeLarge && bytes > LARGE_INPUT_BYTES)
      largeFiles.push({ path, file: await fetching.file({ cid, bytes }), bytes })
    else files.push({ path, bytes: await fetching.bytes({ cid, bytes }) })
  const stdin = manifest.stdin === undefined ? new Uint8Array() : await fetching.bytes(manifest.stdin)
  const { args, env, seed, stdinOpen } = manifest
  const randomSeed = seed === undefined ? undefined : utf8(seed)
  return { module, args, env, files, largeFiles, stdin, stdinOpen, limits, randomSeed, ...modeOf(manifest) }
}

/** What a program has left. */
export type Left = Pick<Extract<CellExit, { kind: 'exited' }>, 'files' | 'largeFiles'>

/**
 * Puts the wanted ones of the files into the store; all of them when `outputs` names none. Large ones are gone from their
 * places then. Throws `CELL_TOO_MANY_RESULTS`.
 */
export async function keptResults(
  left: Left,
  outputs: readonly string[],
  store: Pick<FileStore, 'put' | 'adopt'>,
): Promise<readonly ResultFile[]> {
  try {
    return await kept(left, outputs, store)
  } finally {
    for (const { file } of left.largeFiles ?? []) await rm(file, { force: true })
  }
}

async function kept(
  { files, largeFiles = [] }: Left,
  outputs: readonly string[],
  store: Pick<FileStore, 'put' | 'adopt'>,
): Promise<readonly ResultFile[]> {
  const isWanted = ({ path }: { readonly path: string }): boolean =>
    outputs.length === 0 || outputs.some((output) => isUnder(path, output))
  const wanted = [...files.filter(isWanted), ...largeFiles.filter(isWanted)]
  if (wanted.length > MAX_RESULT_FILES) {
    const message = `the program left ${wanted.length} files, ${MAX_RESULT_FILES} are the most: name those you want with --out, or have it remove what it no longer needs`
    throw new CodedError<CellsErrorCode>('CELL_TOO_MANY_RESULTS', message, { facts: { files: wanted.length } })
  }
  const pathBytes = wanted.reduce((sum, { path }) => sum + Buffer.byteLength(path), 0)
  if (pathBytes > MAX_RESULT_PATH_BYTES) {
    const message = `the paths of the ${wanted.length} files that the program left take ${pathBytes} bytes together, ${MAX_RESULT_PATH_BYTES} are the most: name those you want with --out, or have it use shorter names`
    throw new CodedError<CellsErrorCode>('CELL_TOO_MANY_RESULTS', message, {
      facts: { files: wanted.length, pathBytes },
    })
  }
  const results: ResultFile[] = []
  for (const one of wanted) results.push(await keptFile(one, store))
  return results.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** Puts one file into the store; a large one is gone from its place then. */
export async function keptFile(
  file: CellFile | LargeFile,
  store: Pick<FileStore, 'put' | 'adopt'>,
): Promise<ResultFile> {
  const { path } = file
  if ('file' in file) return { path, cid: await store.adopt(file.file), bytes: file.bytes }
  return { path, cid: await store.put(file.bytes), bytes: file.bytes.length }
}

function isUnder(path: string, wanted: string): boolean {
  return path === wanted || path.startsWith(`${wanted.replace(/\/$/, '')}/`)
}
