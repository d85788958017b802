// The WASI preview1 of one cell: builds the tree, binds the calls to the program's memory, captures and restores.
import type { CellFile } from '../types.ts'
import type { WasiState } from './state.ts'
import type { WasiImports, WasiInit, WasiSurroundings } from './types.ts'

export class Wasi {
  readonly #init: WasiInit

  constructor(init: WasiInit) {
    this.#init = init
  }

  /** A WASI as it was when `state` was captured. Throws `SNAPSHOT_MALFORMED` for anything that is not such a state. */
  static restore(_state: unknown, _surroundings: WasiSurroundings): Wasi {
    throw new Error('not yet')
  }

  /** The module `wasi_snapshot_preview1`: the same functions also serve `wasi_unstable` of old modules badly, so no. */
  imports(): WasiImports {
    return {}
  }

  /** Gives the calls the program's memory: before `_start`, and anew for every instance. */
  bind(_memory: WebAssembly.Memory): void {}

  /** The whole state, also between a {@link BLOCK_AGAIN} and the repeated call. */
  state(): WasiState {
    throw new Error('not yet')
  }

  /** A copy of the file as it is now; undefined when there is none. */
  readFile(_path: string): Uint8Array | undefined {
    return undefined
  }

  /** Copies of the files created or modified since the inputs, in path order; what was deleted is not listed. */
  changedFiles(): CellFile[] {
    return []
  }

  /** Bytes in the file tree, inputs and open unlinked files included. */
  diskBytes(): number {
    return this.#init.files.reduce((sum, file) => sum + file.bytes.length, 0)
  }

  /** Bytes written to stdout and stderr since the first start. */
  outputBytes(): number {
    return 0
  }
}
