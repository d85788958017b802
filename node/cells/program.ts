// From a manifest to a program that can be launched, and from its end to results that are kept.
import type { CellFile, CellProgram } from '../../cells/index.ts'
import type { BlobStore } from '../../protocols/blobs/index.ts'
import type { CellManifest, ResultFile } from '../../protocols/placement/index.ts'

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
  const { args, env } = manifest
  return { module, args, env, files, stdin, limits }
}

/** Puts the wanted ones of `files` into the store; all of them when `outputs` names none. */
export async function keptResults(
  files: readonly CellFile[],
  outputs: readonly string[],
  store: BlobStore,
): Promise<readonly ResultFile[]> {
  const kept: ResultFile[] = []
  for (const { path, bytes } of files) {
    if (outputs.length > 0 && !outputs.some((wanted) => isUnder(path, wanted))) continue
    kept.push({ path, cid: await store.put(bytes), bytes: bytes.length })
  }
  return kept
}

function isUnder(path: string, wanted: string): boolean {
  return path === wanted || path.startsWith(`${wanted.replace(/\/$/, '')}/`)
}
