// Where everything lies in the instrumented module: the index spaces, with what is added behind the guest's own.
import { ByteWriter } from '../wasm/byte-writer.ts'
import type { FunctionType, WasmModule } from '../wasm/module.ts'
import { EMPTY_BLOCK, OP } from '../wasm/opcodes.ts'
import { signatureKey } from './call-graph.ts'
import type { StateUse } from './scan.ts'
import { exceptionBytes } from './slots.ts'
import type { Program, SourceFunction } from './source.ts'

/**
 * Functions: imports, `poll`, the guest's and the made-up ones (one further than in the source), rewind copies, helpers.
 * Everything else is appended, so no other index of the guest changes.
 */
export class Output {
  readonly program: Program
  /**
   * Functions that may be suspended, grouped by their results; their position is their ordinal in frames and in the
   * rewind table.
   */
  readonly suspendable: readonly SourceFunction[]
  readonly groups: readonly ResultGroup[]
  /** Types of the guest, then added ones. */
  readonly types: FunctionType[]
  readonly globals: {
    readonly fuel: number
    readonly top: number
    readonly fault: number
    readonly landed: number
  }
  readonly frameMemory: number
  /** Set in the tracking build, whose other memories are those of the instance that ran before. */
  readonly tracking: boolean
  /** Of the tracking build: where it notes what was written. */
  readonly dirtyMemory: number
  readonly rewindTable: number
  /** What references name, where there are any; position 0 is null. */
  readonly functionTable: number
  /** Output indices of the functions in it, from position 1 on. */
  readonly referable: readonly number[]
  readonly use: StateUse
  /** What one function body at a time is written to. */
  readonly scratch = new ByteWriter(1 << 16)
  readonly tag: number
  /** What an exception takes in a frame; 0 when the module has none. */
  readonly exceptionBytes: number
  readonly poll: number
  readonly reference: number
  readonly helpers: Helpers
  /** Positions among `use.dropped`. */
  readonly #drops: ReadonlyMap<number, number>
  readonly #typeIds = new Map<string, number>()
  readonly #ordinals: ReadonlyMap<number, number>
  readonly #groupIds: ReadonlyMap<string, number>
  /** Output index of the rewind copy of the suspendable function with ordinal 0; the others follow. */
  readonly firstRewind: number
  readonly #addedImports: number
  readonly #accessors = new Map<string, Accessor>()
  readonly #firstAccessor: number

  constructor(
    program: Program,
    suspendable: readonly SourceFunction[],
    use: StateUse,
    addressTaken: ReadonlySet<number>,
    tracking: boolean,
  ) {
    const { module } = program
    this.program = program
    this.use = use
    this.#drops = new Map(use.dropped.map(({ op, segment }, position) => [dropKey(op, segment), position]))
    this.groups = groupsOf(suspendable)
    this.suspendable = this.groups.flatMap(({ members }) => members)
    this.#groupIds = new Map(this.groups.map(({ results }, k) => [results.join(), k]))
    this.types = [...module.types]
    for (const [id, type] of module.types.entries()) {
      const key = signatureKey(type)
      if (!this.#typeIds.has(key)) this.#typeIds.set(key, id)
    }
    const globals = module.globals.length
    this.globals = { fuel: globals, top: globals + 1, fault: globals + 2, landed: globals + 3 }
    this.frameMemory = module.memories.length
    this.tracking = tracking
    this.dirtyMemory = this.frameMemory + 1
    this.rewindTable = module.tables.length
    this.functionTable = module.tables.length + 1
    this.tag = module.tags.length
    this.exceptionBytes = exceptionBytes(module)
    this.poll = module.importedFunctions
    this.reference = this.poll + 1
    this.#addedImports = use.references ? 2 : 1
    this.referable = use.references
      ? [...addressTaken].map((index) => this.functionId(index)).sort((a, b) => a - b)
      : []
    this.#ordinals = new Map(this.suspendable.map((source, ordinal) => [source.index, ordinal]))
    this.firstRewind = module.importedFunctions + this.#addedImports + program.functions.length
    const first = this.firstRewind + suspendable.length
    this.helpers = {
      first,
      slowPoll: first,
      reserve: first + 1,
      reopen: first + 2,
      room: first + 3,
      settle: first + 4,
      malformed: first + 5,
    }
    const forTags = module.tags.length === 0 ? 0 : module.tags.length + (use.exceptionReferences ? 3 : 1)
    this.#firstAccessor = this.deliver(this.groups.length) + forTags + (use.catches ? 1 : 0) + EXPORTED_HELPERS
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

  /** What exceptions of a tag of the guest carry. */
  tagParams(tag: number): readonly number[] {
    return this.module.types[this.module.tags[tag] ?? -1]?.params ?? []
  }

  /** Writes a block type. */
  blockType(w: ByteWriter, params: readonly number[], results: readonly number[]): void {
    if (params.length > 0 || results.length > 1) w.s33(this.typeId(params, results))
    else w.u8(results[0] ?? EMPTY_BLOCK)
  }

  /** Output index of what `caller` means by source index `target`. */
  functionId(target: number, caller?: SourceFunction): number {
    const stand = caller?.callsImports ? target : (this.program.redirect.get(target) ?? target)
    return stand < this.module.importedFunctions ? stand : stand + this.#addedImports
  }

  /** Position among the suspendable functions, redirections followed; undefined when it is none of them. */
  ordinal(target: number): number | undefined {
    return this.#ordinals.get(this.program.redirect.get(target) ?? target)
  }

  /** Copies an instruction from `start` to `end` of `bytes`, with what must be different. */
  copy(
    w: ByteWriter,
    op: number,
    a: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    caller?: SourceFunction,
  ): void {
    if (namesFunction(op)) w.op(op).u32(this.functionId(a, caller))
    else {
      w.bytes(bytes, start, end)
      if (dropsSegment(op)) w.op(OP.i32Const, 1, OP.globalSet).u32(this.droppedGlobal(op, a))
    }
  }

  /** The global that is 1 once the segment was dropped. */
  droppedGlobal(op: number, segment: number): number {
    const position = this.#drops.get(dropKey(op, segment))
    if (position === undefined) throw new Error(`segment ${segment} is never dropped`)
    return this.module.globals.length + Object.keys(this.globals).length + position
  }

  /** Output index of the function that keeps results of group `k` for a caller that is yet to be entered. */
  deliver(k: number): number {
    return this.helpers.malformed + 1 + 2 * k
  }

  /** Output index of the function that gives a caller the results that its callee left. */
  take(results: readonly number[]): number {
    const k = this.#groupIds.get(results.join())
    if (k === undefined) throw new Error(`no suspendable function answers ${results.join()}`)
    return this.deliver(k) + 1
  }

  /** Output indices of what keeps an exception of a tag for a caller that is yet to be entered, and of what throws it. */
  thrown(tag: number): number {
    return this.deliver(this.groups.length) + tag
  }

  get throwLanded(): number {
    return this.thrown(this.module.tags.length)
  }

  /** Output indices of what writes an exception into a frame, and of what reads it. */
  get saveException(): number {
    return this.throwLanded + 1
  }

  get loadException(): number {
    return this.throwLanded + 2
  }

  /** Output index of the function that takes values of these types to a frame, `(address, ...values) -> ()`, or back. */
  accessor(kind: Accessor['kind'], types: readonly number[], size: number): number {
    const key = `${kind}:${size}:${types.join()}`
    let known = this.#accessors.get(key)
    if (known === undefined) {
      known = { kind, types, size, index: this.#firstAccessor + this.#accessors.size }
      this.#accessors.set(key, known)
    }
    return known.index
  }

  /** All that were asked for, in the order of their indices, which follow those of the other helpers. */
  get accessors(): readonly Accessor[] {
    return [...this.#accessors.values()]
  }

  /** Output index of the rewind copy of the suspendable function `target`. */
  rewindId(target: number): number {
    const ordinal = this.ordinal(target)
    if (ordinal === undefined) throw new Error(`function ${target} is not suspendable`)
    return this.firstRewind + ordinal
  }
}

/** `run`, `rewind`, `saveGlobals`, `loadGlobals`. */
const EXPORTED_HELPERS = 4

/** A function that makes a frame with its first values, or takes one; or stores more values in one, or loads them. */
export interface Accessor {
  readonly kind: 'save' | 'restore' | 'store' | 'load'
  readonly types: readonly number[]
  /** Of the whole frame, bytes; of `store` and `load`, zero. */
  readonly size: number
  readonly index: number
}

/** One number for an instruction that drops, and what it drops: the engine takes fewer segments. */
function dropKey(op: number, segment: number): number {
  return op * 2 ** 20 + segment
}

function dropsSegment(op: number): boolean {
  return op === OP.dataDrop || op === OP.elemDrop
}

/** True for the instructions that are not copied as they are. */
export function rewrites(op: number): boolean {
  return namesFunction(op) || dropsSegment(op)
}

/** Functions with the same results; those of `first` to `end`, without it, by ordinal. */
export interface ResultGroup {
  readonly results: readonly number[]
  readonly members: readonly SourceFunction[]
  readonly first: number
  readonly end: number
}

function groupsOf(suspendable: readonly SourceFunction[]): ResultGroup[] {
  const byResults = new Map<string, SourceFunction[]>()
  for (const source of suspendable) {
    const key = source.type.results.join()
    const group = byResults.get(key)
    if (group) group.push(source)
    else byResults.set(key, [source])
  }
  let end = 0
  return [...byResults.values()].map((members) => {
    const first = end
    end += members.length
    return { results: members[0]?.type.results ?? [], members, first, end }
  })
}

/** Indices of the functions that are called by what is generated. */
interface Helpers {
  readonly first: number
  readonly slowPoll: number
  readonly reserve: number
  readonly reopen: number
  readonly room: number
  readonly settle: number
  readonly malformed: number
}

/** True for the instructions that carry a function index. */
function namesFunction(op: number): boolean {
  return op === OP.call || op === OP.refFunc || op === OP.returnCall
}
