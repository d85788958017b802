// Worker and child-process entry points: `.ts` in the source tree, `.js` in the published package.

/** URL of the module `name` (no extension) beside `base`, with the extension `base` itself has. */
export function entryUrl(base: string, name: string): URL {
  return new URL(`${name}${base.endsWith('.ts') ? '.ts' : '.js'}`, base)
}
