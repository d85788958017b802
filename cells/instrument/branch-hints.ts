// The custom section in which V8 reads what branches are hardly ever taken: what is behind a poll shall cost the code round
// it no register. (https://github.com/WebAssembly/branch-hinting)
import { ByteWriter } from '../wasm/byte-writer.ts'
import { BRANCH_HINTS } from '../wasm/sections.ts'

const UNLIKELY = 0

/** A function body, without its length, and where in it the branches are that are hardly ever taken, ascending. */
export interface HintedBody {
  readonly body: Uint8Array
  readonly unlikely: readonly number[]
}

export class BranchHints {
  readonly #functions = new ByteWriter(1 << 12)
  #count = 0

  /** `index` rises from one call to the next. */
  add(index: number, { unlikely }: HintedBody): void {
    if (unlikely.length === 0) return
    this.#count++
    this.#functions.u32(index).u32(unlikely.length)
    for (const offset of unlikely) this.#functions.u32(offset).op(1, UNLIKELY)
  }

  /** Content of the section. */
  section(): ByteWriter {
    return new ByteWriter(this.#functions.length + 64).name(BRANCH_HINTS).u32(this.#count).bytes(this.#functions.view())
  }
}
