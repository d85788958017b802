// The guest's own exception handling in both copies of a function that may be suspended. The exception of an unwinding
// passes the guest's handlers by. Handlers of the older encoding with sites in them move out behind their `try`, where a
// rewind can jump to them; what they rethrow is thrown anew, from its tag and values.
import type { ByteWriter } from '../wasm/byte-writer.ts'
import { EMPTY_BLOCK, OP, TYPE } from '../wasm/opcodes.ts'
import { CATCH, type CatchClause, type FunctionCode } from './function-code.ts'
import type { Output } from './output.ts'
import type { Site } from './site-tree.ts'

/** What an open `try` or `try_table` needs until its end. */
export interface Handlers {
  /** Where branches to the block go, and where delegated exceptions go while the body is open. */
  readonly label: number
  readonly tryLabel: number
  readonly shape: 'in place' | 'moved out' | 'table' | 'wrapped table'
  /** Tags of the handlers in order; -1 for that of all. */
  readonly tags: readonly number[]
  readonly rethrown: boolean
  /** The handler that is open; -1 while the body is. */
  current: number
  /** Of a moved-out try: handlers of such that are open around it. */
  readonly depth: number
}

/** What this needs of the copy that is being written. */
export interface TryHost {
  readonly w: ByteWriter
  readonly output: Output
  readonly code: FunctionCode
  /** Labels that are open. */
  labels: number
  /** A local that is saved with the frame: part `position` of the exception that handler `depth` has caught. */
  exceptionLocal(depth: number, position: number, type: number): number
  /** Label of the block `depth` levels out, seen from the labels that are open now. */
  label(depth: number): number
  /** While rewinding, leaves for the handler with the site, what it got at `base` of the operands: the sites of each. */
  enterHandlers(arms: readonly (readonly Site[])[], payloads: readonly (readonly number[])[], base: number): void
}

const { i32 } = TYPE

export class TryBlocks {
  readonly #host: TryHost
  /** Handlers of moved-out tries that are open. */
  #openHandlers = 0

  constructor(host: TryHost) {
    this.#host = host
  }

  /** Opens the block of instruction `i`, whose parameters are the operands from `base` on. */
  open(i: number, op: number, site: Site | undefined, params: readonly number[], base: number): Handlers {
    if (op === OP.tryTable) return this.#openTable(i, site, params)
    const { output } = this.#host
    const tags = site?.catches ?? []
    const rethrown = site?.rethrown ?? false
    const moves = site?.arms.slice(1).some((arm) => arm.length > 0) ?? false
    const depth = this.#openHandlers
    const label = this.#host.labels
    if (moves) {
      this.#blockOfSource(OP.block, i)
      const payloads = tags.map((tag) => output.tagParams(tag))
      for (const payload of payloads.toReversed()) this.#block(params, payload)
      this.#host.enterHandlers(site?.arms.slice(1) ?? [], payloads, base)
    }
    const tryLabel = this.#host.labels
    this.#blockOfSource(OP.try, i)
    return { label, tryLabel, shape: moves ? 'moved out' : 'in place', tags, rethrown, current: -1, depth }
  }

  /** At `catch` or `catch_all`: closes what came before it. */
  catch(handlers: Handlers, instruction: Uint8Array, hasSites: boolean): void {
    const { w, output } = this.#host
    const first = handlers.current === -1
    if (handlers.shape === 'in place') {
      if (first && hasSites && handlers.tags.includes(-1)) w.op(OP.catch).u32(output.tag).op(OP.rethrow, 0)
      w.bytes(instruction)
    } else {
      if (first) {
        this.#dispatch(handlers)
        this.#openHandlers++
        w.op(OP.end)
        this.#host.labels--
      }
      w.op(OP.br)
        .u32(this.#host.labels - 1 - handlers.label)
        .op(OP.end)
      this.#host.labels--
    }
    handlers.current++
  }

  /** The clauses of a moved-out try: each leaves for its handler, and keeps what that one rethrows. */
  #dispatch(handlers: Handlers): void {
    const { w, output } = this.#host
    const named = new Set<number>()
    for (const [k, tag] of handlers.tags.entries()) {
      const tags = tag >= 0 ? [tag] : output.module.tags.map((_, index) => index)
      for (const caught of tags) {
        if (named.has(caught)) continue
        named.add(caught)
        w.op(OP.catch).u32(caught)
        if (handlers.rethrown) this.#keep(handlers.depth, caught, tag >= 0)
        w.op(OP.br).u32(k + 1)
      }
      if (tag < 0) return
    }
  }

  #keep(depth: number, tag: number, wanted: boolean): void {
    const { w, output } = this.#host
    const params = output.tagParams(tag)
    const local = (k: number): number => this.#host.exceptionLocal(depth, k + 1, params[k] ?? 0)
    for (let k = params.length - 1; k >= 0; k--) w.op(OP.localSet).u32(local(k))
    if (wanted) for (let k = 0; k < params.length; k++) w.op(OP.localGet).u32(local(k))
    w.op(OP.i32Const)
      .s33(tag)
      .op(OP.localSet)
      .u32(this.#host.exceptionLocal(depth, 0, i32))
  }

  /** Throws what the open handler of `handlers` caught, `depth` labels out in the source. */
  rethrow(handlers: Handlers | undefined, depth: number): void {
    const { w, output } = this.#host
    if (handlers?.shape !== 'moved out') {
      w.op(OP.rethrow).u32(this.#host.label(depth))
      return
    }
    const tag = handlers.tags[handlers.current] ?? -1
    const again = (which: number): void => {
      for (const [k, type] of output.tagParams(which).entries())
        w.op(OP.localGet).u32(this.#host.exceptionLocal(handlers.depth, k + 1, type))
      w.op(OP.throw).u32(which)
    }
    if (tag >= 0) {
      again(tag)
      return
    }
    for (const which of output.module.tags.keys()) {
      w.op(OP.localGet).u32(this.#host.exceptionLocal(handlers.depth, 0, i32))
      w.op(OP.i32Const).s33(which).op(OP.i32Eq, OP.if, EMPTY_BLOCK)
      again(which)
      w.op(OP.end)
    }
    w.op(OP.unreachable)
  }

  /** Closes the block. */
  end({ shape, label }: Handlers): void {
    const { w, output } = this.#host
    w.op(OP.end)
    this.#host.labels--
    if (shape === 'moved out') this.#openHandlers--
    if (shape !== 'wrapped table') return
    w.op(OP.br)
      .u32(this.#host.labels - 1 - label)
      .op(OP.end)
    w.op(OP.throw).u32(output.tag).op(OP.end)
    this.#host.labels -= 2
  }

  #openTable(i: number, site: Site | undefined, params: readonly number[]): Handlers {
    const { w, output, code } = this.#host
    const clauses = code.catchClauses(i)
    const label = this.#host.labels
    const wrapped = site !== undefined && clauses.some(({ kind }) => kind >= CATCH.all)
    if (wrapped) {
      this.#blockOfSource(OP.block, i)
      this.#block(params, [])
    }
    const out = clauses.map((clause) => ({ ...clause, label: this.#host.label(clause.label) }))
    const tryLabel = this.#host.labels
    this.#blockOfSource(OP.tryTable, i)
    w.u32(out.length + (wrapped ? 1 : 0))
    if (wrapped) clause(w, { kind: CATCH.one, tag: output.tag, label: 0 })
    for (const each of out) clause(w, each)
    const shape = wrapped ? 'wrapped table' : 'table'
    return { label, tryLabel, shape, tags: [], rethrown: false, current: -1, depth: 0 }
  }

  /** A block with the block type of instruction `i`. */
  #blockOfSource(op: number, i: number): void {
    const { w, code } = this.#host
    w.op(op).s33(code.a[i] ?? 0)
    this.#host.labels++
  }

  #block(params: readonly number[], results: readonly number[]): void {
    const { w, output } = this.#host
    w.op(OP.block)
    output.blockType(w, params, results)
    this.#host.labels++
  }
}

function clause(w: ByteWriter, { kind, tag, label }: CatchClause): void {
  w.op(kind)
  if (kind < CATCH.all) w.u32(tag)
  w.u32(label)
}
