// From a manifest to a program that can be launched, and from its end to results that are kept.
import type { CellFile, CellProgram } from '../../cells/index.ts'
import { utf8 } from '../../core/bytes.ts'
import { CodedError } from '../../core/errors.ts'
import type { BlobStore } from '../../protocols/blobs/index.ts'
import { type CellManifest, MAX_RESULT_FILES, type ResultFile } from '../../protocols/placement/index.ts'
import type { CellsErrorCode } from './errors.ts'
import { modeOf } from './module-facts.ts'

/** Paths of a cell's results, together: with all else that a report says they fit into one message. */
export const MAX_RESULT_PATH_BYTES = 1024 * 1024

/** `fetch` brings an object by its name, from here or elsewhere. */
export async function programOf(
  manifest: CellManifest,
  module: Uint8Array,
  limits: CellManifest['limits'],
  fetch: (cid: string) => Promise<Uint8Array>,
): Promise<CellProgram> {
  const files: CellFile[] = []
  for (const { path, cid } of manifest.inputs) files.push({ path, bytes: await fetch(cid) })
  const stdin = manifest.stdin === undefined ? new Uint8Array() : await fetch(manifest.stdin.cid)
  const { args, env, seed, stdinOpen } = manifest
  const randomSeed = seed === undefined ? undefined : utf8(seed)
  return { module, args, env, files, stdin, stdinOpen, limits, randomSeed, ...modeOf(manifest) }
}

/** Puts the wanted ones of `files` into the store; all of them when `outputs` names none. Throws `CELL_TOO_MANY_RESULTS`. */
export async function keptResults(
  files: readonly CellFile[],
  outputs: readonly string[],
  store: BlobStore,
): Promise<readonly ResultFile[]> {
  const wanted = files.filter(({ path }) => outputs.length === 0 || outputs.some((output) => isUnder(path, output)))
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
  const kept: ResultFile[] = []
  for (const { path, bytes } of wanted) kept.push({ path, cid: await store.put(bytes), bytes: bytes.length })
  return kept
}

function isUnder(path: string, wanted: string): boolean {
  return path === wanted || path.startsWith(`${wanted.replace(/\/$/, '')}/`)
}
