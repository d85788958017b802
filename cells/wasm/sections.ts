// The outermost layer of a module: its sections, and which is which.
import { ByteReader } from './byte-reader.ts'

export const SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  element: 9,
  code: 10,
  data: 11,
  dataCount: 12,
  tag: 13,
} as const

/** Name of the custom section of the branch hinting proposal. */
export const BRANCH_HINTS = 'metadata.code.branch_hint'

/** A stretch of the module's bytes. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** Every section in its place, custom ones included, without its head. Throws `CELL_NOT_WASM` at one that is cut. */
export function* sectionsOf(bytes: Uint8Array): Generator<Range & { readonly id: number }, void, void> {
  const reader = new ByteReader(bytes, Math.min(8, bytes.length))
  while (!reader.done) {
    const id = reader.u8()
    const size = reader.u32()
    const start = reader.at
    reader.skip(size)
    yield { id, start, end: reader.at }
  }
}
