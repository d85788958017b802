// Where everything lies in the instrumented module: the index spaces, with what is added behind the guest's own.
import type { FunctionType, WasmModule } from '../wasm/module.ts'
import { OP } from '../wasm/opcodes.ts'
import { signatureKey } from './call-graph.ts'
import type { Program, SourceFunction } from './source.ts'

/**
 * Functions: imports, `poll`, the guest's and the made-up ones (one further than in the source), rewind copies, helpers.
 * Everything else is appended, so no other index of the guest changes.
 */
export class Output {
  readonly program: Program
  /** Functions that may be suspended, in order; their position is their ordinal in frames and in the rewind table. */
  readonly suspendable: readonly SourceFunction[]
  /** Types of the guest, then added ones. */
  readonly types: FunctionType[]
  readonly globals: { readonly fuel: number; readonly top: number; readonly site: number; readonly overflow: number }
  readonly frameMemory: number
  readonly rewindTable: number
  readonly tag: number
  readonly poll: number
  readonly helpers: { readonly slowPoll: number; readonly reserve: number; readonly first: number }
  readonly #typeIds = new Map<string, number>()
  readonly #ordinals: ReadonlyMap<number, number>
  readonly #firstRewind: number

  constructor(program: Program, suspendable: readonly SourceFunction[]) {
    const { module } = program
    this.program = program
    this.suspendable = suspendable
    this.types = [...module.types]
    for (const [id, type] of module.types.entries()) {
      const key = signatureKey(type)
      if (!this.#typeIds.has(key)) this.#typeIds.set(key, id)
    }
    const globals = module.globals.length
    this.globals = { fuel: globals, top: globals + 1, site: globals + 2, overflow: globals + 3 }
    this.frameMemory = module.memories.length
    this.rewindTable = module.tables.length
    this.tag = module.tags
    this.poll = module.importedFunctions
    this.#ordinals = new Map(suspendable.map((source, ordinal) => [source.index, ordinal]))
    this.#firstRewind = module.importedFunctions + 1 + program.functions.length
    const first = this.#firstRewind + suspendable.length
    this.helpers = { first, slowPoll: first, reserve: first + 1 }
  }

  get module(): WasmModule {
    return this.program.module
  }

  /** The index of a type, added when the module has none like it. */
  typeId(params: readonly number[], results: readonly number[]): number {
    const key = signatureKey({ params, results })
    const known = this.#typeIds.get(key)
    if (known !== undefined) return known
    this.#typeIds.set(key, this.types.length)
    return this.types.push({ params, results }) - 1
  }

  /** Output index of what `caller` means by source index `target`. */
  functionId(target: number, caller?: SourceFunction): number {
    const stand = caller?.callsImports ? target : (this.program.redirect.get(target) ?? target)
    return stand < this.module.importedFunctions ? stand : stand + 1
  }

  /** Position among the suspendable functions, redirections followed; undefined when it is none of them. */
  ordinal(target: number): number | undefined {
    return this.#ordinals.get(this.program.redirect.get(target) ?? target)
  }

  /** Output index of the rewind copy of the suspendable function `target`. */
  rewindId(target: number): number {
    const ordinal = this.ordinal(target)
    if (ordinal === undefined) throw new Error(`function ${target} is not suspendable`)
    return this.#firstRewind + ordinal
  }
}

/** True for the instructions that carry a function index. */
export function namesFunction(op: number): boolean {
  return op === OP.call || op === OP.refFunc || op === OP.returnCall
}
