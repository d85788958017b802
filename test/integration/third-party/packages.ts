// Software from elsewhere that `npm ci --prefix test/third-party` installs, as bytes. Without it the tests are skipped.
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { CellFile } from '../../../cells/types.ts'
import { utf8 } from '../../../core/bytes.ts'

const FOLDER = new URL('../../third-party/', import.meta.url)

/** Whether the packages are there; the title of what needs them says how to get them. */
export const installed = existsSync(new URL('node_modules/.package-lock.json', FOLDER))
export const NEEDED = 'needs npm ci --prefix test/third-party'

/** A file of a package, `name/path/in/it`. */
export function packaged(path: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`node_modules/${path}`, FOLDER)))
}

type Resources = { readonly [name: string]: string | URL | Uint8Array | Resources }

/** The files that a package of YoWASP gives its program, those whose path matches `wanted`. */
export async function resources(path: string, wanted: RegExp): Promise<CellFile[]> {
  const loaded: { readonly filesystem: Resources } = await import(new URL(`node_modules/${path}`, FOLDER).href)
  return [...filesOf(loaded.filesystem, '')].flatMap(([name, content]) =>
    wanted.test(name) ? [{ path: name, bytes: bytesOf(content) }] : [],
  )
}

function* filesOf(tree: Resources, at: string): Generator<[string, string | URL | Uint8Array]> {
  for (const [name, content] of Object.entries(tree)) {
    if (typeof content === 'string' || content instanceof URL || content instanceof Uint8Array)
      yield [`${at}/${name}`, content]
    else yield* filesOf(content, `${at}/${name}`)
  }
}

function bytesOf(content: string | URL | Uint8Array): Uint8Array {
  if (typeof content === 'string') return utf8(content)
  return content instanceof URL ? new Uint8Array(readFileSync(fileURLToPath(content))) : content
}
