// The locals that a copy of a function has besides those of its source.
import { ByteWriter } from '../wasm/byte-writer.ts'
import type { HintedBody } from './branch-hints.ts'
import { MAX_LOCALS } from './engine-limits.ts'
import type { FunctionCode } from './function-code.ts'

export class CopyLocals {
  readonly #code: FunctionCode
  readonly #most: number
  readonly #tooMany: () => Error
  readonly #added: number[] = []
  readonly #operands = new Map<number, number>()
  readonly #scratch = new Map<number, number>()

  /** Leaves `spare` of what the engine takes. */
  constructor(code: FunctionCode, spare: number, tooMany: () => Error) {
    this.#code = code
    this.#most = MAX_LOCALS - spare
    this.#tooMany = tooMany
  }

  add(type: number): number {
    const index = this.#code.locals.length + this.#added.length
    if (index >= this.#most) throw this.#tooMany()
    this.#added.push(type)
    return index
  }

  /** Keeps the operand of `type` at `height` while the function is at a site. */
  operand(height: number, type: number): number {
    return this.#known(this.#operands, height, type)
  }

  /** For moments: nothing in it is saved. */
  scratch(position: number, type: number): number {
    return this.#known(this.#scratch, position, type)
  }

  #known(known: Map<number, number>, position: number, type: number): number {
    const key = position * 256 + type
    let local = known.get(key)
    if (local === undefined) known.set(key, (local = this.add(type)))
    return local
  }

  /** Operands that have a local, in the order in which they got it. */
  get operands(): { height: number; type: number }[] {
    return [...this.#operands.keys()].map((key) => ({ height: Math.floor(key / 256), type: key % 256 }))
  }

  /**
   * Declarations of the copy, of what the source has as `parameters` too, then `code`, as one body; `unlikely` are
   * positions in `code`.
   */
  body(parameters: readonly number[], code: Uint8Array, unlikely: readonly number[]): HintedBody {
    const runs: { count: number; type: number }[] = []
    const declare = (count: number, type: number): void => {
      const last = runs.at(-1)
      if (last?.type === type) runs[runs.length - 1] = { count: last.count + count, type }
      else runs.push({ count, type })
    }
    for (const type of parameters) declare(1, type)
    for (const { count, type } of this.#code.groups) declare(count, type)
    for (const type of this.#added) declare(1, type)
    const body = new ByteWriter(code.length + 8 + runs.length * 6).u32(runs.length)
    for (const { count, type } of runs) body.u32(count).u8(type)
    const head = body.length
    return { body: body.bytes(code).view(), unlikely: unlikely.map((at) => head + at) }
  }
}
