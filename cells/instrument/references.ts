// Functions that the guest refers to, and its tables, as plain data: a function is its position in the module's own
// table of all that may be referred to, null is 0.
import { CodedError } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import { ABI } from './abi.ts'

/** Bytes of an entry count, and of an entry. */
const WORD = 4

export class References {
  readonly #functions: WebAssembly.Table | undefined
  /** The guest's tables that can change. */
  readonly #tables: readonly WebAssembly.Table[]
  #positions: Map<unknown, number> | undefined

  constructor(exports: WebAssembly.Exports) {
    const table = (name: string): WebAssembly.Table | undefined => {
      const value = exports[name]
      return value instanceof WebAssembly.Table ? value : undefined
    }
    this.#functions = table(ABI.functions)
    const tables: WebAssembly.Table[] = []
    for (let next = table(`${ABI.table}0`); next !== undefined; next = table(ABI.table + tables.length))
      tables.push(next)
    this.#tables = tables
  }

  /** The import `reference`. */
  positionOf(value: unknown): number {
    if (value === null) return 0
    const position = this.#known().get(value)
    if (position === undefined) throw new Error('a reference to a function that none may refer to')
    return position
  }

  /** The entries of every table that can change, in order: a count, then a position for each; little-endian u32. */
  take(): Uint8Array {
    const words = this.#tables.reduce((sum, { length }) => sum + 1 + length, 0)
    const bytes = new Uint8Array(words * WORD)
    const view = new DataView(bytes.buffer)
    let at = 0
    const put = (value: number): void => {
      view.setUint32(at, value, true)
      at += WORD
    }
    for (const table of this.#tables) {
      put(table.length)
      for (let i = 0; i < table.length; i++) put(this.positionOf(table.get(i)))
    }
    return bytes
  }

  /** Fills the tables, which have their first size or that of `bytes`. Throws `SNAPSHOT_MALFORMED`. */
  put(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    let at = 0
    const next = (most: number): number => {
      if (at + WORD > bytes.length) throw malformed('end too early')
      const value = view.getUint32(at, true)
      at += WORD
      if (value > most) throw malformed(`have ${value} where at most ${most} is right`)
      return value
    }
    for (const table of this.#tables) {
      const missing = next((bytes.length - at) / WORD) - table.length
      if (missing < 0) throw malformed(`have ${-missing} entries less than at the start`)
      grow(table, missing)
      for (let i = 0; i < table.length; i++) {
        const position = next(this.#functions ? this.#functions.length - 1 : 0)
        table.set(i, position === 0 ? null : this.#functions?.get(position))
      }
    }
    if (at !== bytes.length) throw malformed(`have ${bytes.length - at} bytes too many`)
  }

  #known(): Map<unknown, number> {
    if (this.#positions === undefined) {
      this.#positions = new Map()
      for (let i = 1; i < (this.#functions?.length ?? 0); i++) this.#positions.set(this.#functions?.get(i), i)
    }
    return this.#positions
  }
}

function grow(table: WebAssembly.Table, entries: number): void {
  if (entries === 0) return
  try {
    table.grow(entries)
  } catch (cause) {
    throw malformed(`have ${entries} entries more than they may`, cause)
  }
}

function malformed(what: string, cause?: unknown): CodedError<CellErrorCode> {
  return new CodedError('SNAPSHOT_MALFORMED', `The tables in the snapshot ${what}. Take a new snapshot.`, { cause })
}
