// Which locals a suspended function still needs: a backward walk over its blocks (Aho et al., section 9.2.5).
import { OP, opensBlock } from '../wasm/opcodes.ts'
import type { FunctionCode } from './function-code.ts'
import type { SiteTree } from './site-tree.ts'

/** Words of bit sets touched at most; above it every local counts as live, which is slower but right. */
const MAX_WORK = 20_000_000
/** Loops nest deeper than this rarely; the walk is repeated until nothing changes or this is reached. */
const MAX_PASSES = 12

type Bits = Uint32Array

interface Frame {
  /** Live at the block's end, and where a branch to its label arrives. */
  readonly after: Bits
  readonly target: Bits
  /** Live at the start of the `else` arm. */
  otherwise: Bits | undefined
  /** Of a `try` or `try_table`: live where exceptions of its body may arrive. */
  readonly handlers: Bits | undefined
}

/** Indices of the locals that are live at some site, ascending. */
export function liveLocals(code: FunctionCode, sites: SiteTree): number[] {
  const every = code.locals.map((_, index) => index)
  // Nothing to find, and without this a walk that costs nothing by the measure below.
  if (every.length === 0) return every
  const words = Math.ceil(code.locals.length / 32)
  const joins = joinsIn(code)
  if (words * (joins + sites.count) * 2 > MAX_WORK) return every
  const headers = new Map<number, Bits>()
  const matching = openersOf(code)
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const walk = new Walk(code, sites, matching, headers, words)
    if (walk.run()) continue
    return every.filter((index) => has(walk.needed, index))
  }
  return every
}

/** Bit sets that the walk copies or joins: one for every open handler, too, where an exception may leave. */
function joinsIn(code: FunctionCode): number {
  const catches: boolean[] = []
  let open = 0
  let joins = 0
  for (const [i, op] of code.op.entries()) {
    joins += joinsAt(op, code.a[i] ?? 0)
    if (op === OP.tryTable) joins += code.catchClauses(i).length
    if (opensBlock(op)) {
      const handles = op === OP.try || op === OP.tryTable
      catches.push(handles)
      if (handles) open++
    } else if (op === OP.end || op === OP.delegate) {
      if (catches.pop()) open--
    } else if (op === OP.call || op === OP.callIndirect || op === OP.throw) joins += open
  }
  return joins
}

/** Bit sets that the walk copies or joins at an instruction. */
function joinsAt(op: number, a: number): number {
  if (op === OP.brTable) return a + 1
  return op === OP.end ||
    op === OP.call ||
    op === OP.callIndirect ||
    op === OP.br ||
    op === OP.brIf ||
    op === OP.return ||
    op === OP.unreachable
    ? 1
    : 0
}

/** For every `end`, the instruction that opened its block; -1 for the function's own. */
function openersOf(code: FunctionCode): Map<number, number> {
  const openers = new Map<number, number>()
  const open = [-1]
  for (let i = 0; i < code.length; i++) {
    if (code.dead[i]) continue
    const op = code.op[i] ?? 0
    if (opensBlock(op)) open.push(i)
    else if (op === OP.end || op === OP.delegate) openers.set(i, open.pop() ?? -1)
  }
  return openers
}

class Walk {
  /** Union of what is live at the sites. */
  readonly needed: Bits
  readonly #code: FunctionCode
  readonly #sites: SiteTree
  readonly #openers: ReadonlyMap<number, number>
  readonly #headers: Map<number, Bits>
  readonly #words: number
  readonly #frames: Frame[] = []
  /** Those of the frames that have some. */
  readonly #handlers: Bits[] = []
  #live: Bits
  #changed = false

  constructor(
    code: FunctionCode,
    sites: SiteTree,
    openers: ReadonlyMap<number, number>,
    headers: Map<number, Bits>,
    words: number,
  ) {
    this.#code = code
    this.#sites = sites
    this.#openers = openers
    this.#headers = headers
    this.#words = words
    this.#live = new Uint32Array(words)
    this.needed = new Uint32Array(words)
  }

  /** One walk from the end to the start; true when a loop header learned something new. */
  run(): boolean {
    const { dead } = this.#code
    for (let i = this.#code.length - 1; i >= 0; i--) if (!dead[i]) this.#step(i)
    if (this.#sites.root.arms[0]?.[0]?.kind === 'poll') join(this.needed, this.#live)
    return this.#changed
  }

  #step(i: number): void {
    const op = this.#code.op[i] ?? 0
    const a = this.#code.a[i] ?? 0
    switch (op) {
      case OP.end:
      case OP.delegate:
        this.#enterFromEnd(i)
        return
      case OP.catch:
      case OP.catchAll: {
        const frame = this.#frame(0)
        if (frame.handlers) join(frame.handlers, this.#live)
        this.#live = frame.after.slice()
        return
      }
      case OP.else: {
        const frame = this.#frame(0)
        frame.otherwise = this.#live
        this.#live = frame.after.slice()
        return
      }
      case OP.if: {
        const frame = this.#frames.pop() as Frame
        join(this.#live, frame.otherwise ?? frame.after)
        return
      }
      case OP.block:
        this.#frames.pop()
        return
      case OP.try:
      case OP.tryTable:
        this.#frames.pop()
        this.#handlers.pop()
        return
      case OP.loop: {
        const frame = this.#frames.pop() as Frame
        if (join(frame.target, this.#live)) this.#changed = true
        this.#live = frame.target.slice()
        join(this.needed, this.#live)
        return
      }
      case OP.br:
        this.#live = this.#frame(a).target.slice()
        return
      case OP.brIf:
        join(this.#live, this.#frame(a).target)
        return
      case OP.brTable:
        this.#live = new Uint32Array(this.#words)
        for (const label of new Set(this.#code.branchTable(i))) join(this.#live, this.#frame(label).target)
        return
      case OP.return:
      case OP.unreachable:
      case OP.returnCall:
      case OP.returnCallIndirect:
        this.#live = new Uint32Array(this.#words)
        return
      case OP.throw:
      case OP.rethrow:
      case OP.throwRef:
        this.#live = new Uint32Array(this.#words)
        this.#mayThrow()
        return
      case OP.call:
      case OP.callIndirect:
        this.#mayThrow()
        if (this.#sites.at.has(i)) join(this.needed, this.#live)
        return
      case OP.localGet:
        this.#live[a >> 5] = (this.#live[a >> 5] ?? 0) | (1 << (a & 31))
        return
      case OP.localSet:
      case OP.localTee:
        this.#live[a >> 5] = (this.#live[a >> 5] ?? 0) & ~(1 << (a & 31))
    }
  }

  #enterFromEnd(i: number): void {
    const opener = this.#openers.get(i) ?? -1
    const after = this.#live.slice()
    let target: Bits = after
    if (this.#code.op[opener] === OP.loop) {
      target = this.#headers.get(opener) ?? new Uint32Array(this.#words)
      this.#headers.set(opener, target)
    }
    const opening = this.#code.op[opener]
    const catches = opening === OP.try || opening === OP.tryTable
    const handlers = catches ? new Uint32Array(this.#words) : undefined
    if (opening === OP.tryTable && handlers)
      for (const { label } of this.#code.catchClauses(opener)) join(handlers, this.#frame(label).target)
    this.#frames.push({ after, target, otherwise: undefined, handlers })
    if (handlers) this.#handlers.push(handlers)
  }

  /** Which handler takes an exception is not known here: any that is open. */
  #mayThrow(): void {
    for (const handlers of this.#handlers) join(this.#live, handlers)
  }

  #frame(label: number): Frame {
    return this.#frames[this.#frames.length - 1 - label] as Frame
  }
}

function has(bits: Bits, index: number): boolean {
  return (((bits[index >> 5] ?? 0) >>> (index & 31)) & 1) === 1
}

/** Adds `more` to `bits`; true when that changed it. */
function join(bits: Bits, more: Bits): boolean {
  let changed = false
  for (let i = 0; i < bits.length; i++) {
    const before = bits[i] ?? 0
    const after = (before | (more[i] ?? 0)) >>> 0
    if (after !== before) {
      bits[i] = after
      changed = true
    }
  }
  return changed
}
