// The copy of a suspendable function that goes on with a frame: it restores it, jumps to the site where it was, and from
// there on behaves as the fast copy. It is entered when what it was calling has returned, and finds the results ready.
import type { FunctionType } from '../wasm/module.ts'
import { EMPTY_BLOCK, OP, TYPE } from '../wasm/opcodes.ts'
import type { HintedBody } from './branch-hints.ts'
import { CopyEmitter, type Level } from './copy-emitter.ts'
import { emitRestore, emitSave, type FrameLayout } from './frame.ts'
import type { FunctionCode } from './function-code.ts'
import type { Output } from './output.ts'
import type { Site, SiteTree } from './site-tree.ts'

/** V8 takes no longer `br_table` (`kV8MaxWasmFunctionBrTableSize`). */
const MAX_TABLE = 65_520
/** Below so many levels of blocks jumps are made by comparisons. */
const MAX_TABLE_DEPTH = 1_000

export function emitRewindCopy(code: FunctionCode, sites: SiteTree, layout: FrameLayout, output: Output): HintedBody {
  return new RewindEmitter(code, sites, output).emit(layout)
}

/**
 * Each level of blocks with sites starts with a jump by `pc`: zero means that the function runs normally. At every
 * target of a jump the stack of that level is empty: its operands wait in their locals.
 */
class RewindEmitter extends CopyEmitter {
  /** The site to jump to; zero once it is reached. */
  readonly #pc = this.locals.add(TYPE.i32)

  emit(layout: FrameLayout): HintedBody {
    const { w, code, output } = this
    const access = this.frameAccess(output.ordinal(code.source.index) ?? 0)
    emitRestore(w, layout, { ...access, sites: this.sites.count, pc: this.#pc }, output)
    w.op(OP.try)
    this.emitResultType()
    this.emitInstructions()
    w.op(OP.catch).u32(output.tag)
    emitSave(w, layout, { ...access, site: this.siteLocal }, output)
    w.op(OP.end)
    w.op(OP.end)
    return this.locals.body(code.source.type.params, w.view(), this.unlikely)
  }

  protected override beforeBlock(site: Site, isIf: boolean, params: number): void {
    const { w } = this
    if (isIf) w.op(OP.localSet).u32(this.conditionLocal)
    this.#land()
    this.#push(this.types.height - params, this.types.height)
    if (!isIf) return
    // While rewinding, the arm with the site; else by the condition.
    const last = site.arms[0]?.at(-1)
    w.op(OP.localGet).u32(this.conditionLocal)
    w.op(OP.localGet)
      .u32(this.#pc)
      .op(OP.i32Const)
      .s33(last ? last.high : site.low - 1)
      .op(OP.i32LeU)
    w.op(OP.localGet).u32(this.#pc).op(OP.i32Eqz, OP.select)
  }

  protected override atArm(level: Level, sites: readonly Site[]): void {
    const end = this.types.height
    for (let h = end - 1; h >= level.base; h--) this.w.op(OP.localSet).u32(this.operandLocal(h))
    const poll = sites[0]?.kind === 'poll' ? sites[0] : undefined
    this.#jump(poll ? sites.slice(1) : sites, poll)
    this.#push(level.base, end)
    // The deepest frame: fuel is zero while rewinding, so this calls out, and the rewind is over.
    if (poll) this.emitPoll(poll)
  }

  enterHandlers(arms: readonly (readonly Site[])[], payloads: readonly (readonly number[])[], base: number): void {
    const { w } = this
    for (const [k, arm] of arms.entries()) {
      const [first, last] = [arm[0], arm.at(-1)]
      if (first === undefined || last === undefined) continue
      w.op(OP.localGet).u32(this.#pc).op(OP.i32Const).s33(first.low).op(OP.i32Sub)
      w.op(OP.i32Const)
        .s33(last.high - first.low + 1)
        .op(OP.i32LtU, OP.if, EMPTY_BLOCK)
      for (const [j, type] of (payloads[k] ?? []).entries()) w.op(OP.localGet).u32(this.locals.operand(base + j, type))
      w.op(OP.br)
        .u32(k + 1)
        .op(OP.end)
    }
  }

  protected override afterBlock(level: Level, parent: Level): void {
    const { w } = this
    if (level.base === parent.base) return
    // The operands below the block stayed in their locals: put them under its results.
    for (let k = level.results.length - 1; k >= 0; k--)
      w.op(OP.localSet).u32(this.locals.scratch(k, level.results[k] ?? 0))
    this.#push(parent.base, level.base)
    for (const [k, type] of level.results.entries()) w.op(OP.localGet).u32(this.locals.scratch(k, type))
  }

  /** What jumps to a call comes out behind it: the callee has returned, and what it returned waits to be taken. */
  protected override call(i: number, site: Site, callee: FunctionType, args: number): void {
    const { w, output, locals } = this
    const end = this.types.height - args
    if (end > this.level.base) {
      for (let h = this.types.height - 1; h >= end; h--) w.op(OP.localSet).u32(this.scratchAbove(end, h - end))
      for (let h = end - 1; h >= this.level.base; h--) w.op(OP.localSet).u32(this.operandLocal(h))
      for (let h = end; h < this.types.height; h++) w.op(OP.localGet).u32(this.scratchAbove(end, h - end))
    }
    this.setSite(site)
    this.copyInstruction(i)
    const { results } = callee
    const keepResults = (): void => {
      for (let k = results.length - 1; k >= 0; k--) w.op(OP.localSet).u32(locals.scratch(k, results[k] ?? 0))
    }
    keepResults()
    this.#closeTarget()
    w.op(OP.localGet).u32(this.#pc)
    this.unlikely.push(w.length)
    w.op(OP.if, EMPTY_BLOCK)
    // What the callee threw comes out here too, and its handler is to find that the function runs normally.
    if (output.exceptionBytes > 0) this.arrive()
    w.op(OP.call).u32(output.take(results))
    w.op(OP.localSet).u32(this.#pc)
    keepResults()
    w.op(OP.end)
    this.#push(this.level.base, end)
    for (const [k, type] of results.entries()) w.op(OP.localGet).u32(locals.scratch(k, type))
  }

  protected override arrive(): void {
    this.w.op(OP.i32Const, 0, OP.localSet).u32(this.#pc)
  }

  /**
   * Opens one block per target and jumps to the end of the right one; falls through when `pc` is zero or at `poll`,
   * which comes first anyway. The sites of a target are consecutive.
   */
  #jump(targets: readonly Site[], poll: Site | undefined): void {
    const first = targets[0]
    const last = targets.at(-1)
    if (first === undefined || last === undefined) return
    const { w } = this
    for (const _ of targets) w.op(OP.block, EMPTY_BLOCK)
    this.labels += targets.length
    const numbers = last.high - first.low + 1
    // A table has an entry per site, comparisons one per target: deep nests would make tables grow with their square, and
    // V8's validator takes a bit per open block for each of them.
    const table = targets.length > 2 && numbers <= Math.min(MAX_TABLE, targets.length * 4 + 16)
    if (table && this.levels.length < MAX_TABLE_DEPTH) {
      w.op(OP.block, EMPTY_BLOCK)
      // Of what is below, the difference is a great number: the default.
      w.op(OP.localGet).u32(this.#pc).op(OP.i32Const).s33(first.low).op(OP.i32Sub, OP.brTable).u32(numbers)
      for (const [k, target] of targets.entries()) for (let id = target.low; id <= target.high; id++) w.u32(k + 1)
      w.u32(0).op(OP.end)
      return
    }
    for (let k = targets.length - 1; k >= 0; k--) {
      const before = k > 0 ? targets[k - 1]?.high : poll?.low
      w.op(OP.localGet).u32(this.#pc)
      if (before !== undefined) w.op(OP.i32Const).s33(before).op(OP.i32GtU)
      w.op(OP.brIf).u32(k)
    }
  }

  /** Takes this level's operands off the stack and closes the block whose end is the target of a jump. */
  #land(): void {
    for (let h = this.types.height - 1; h >= this.level.base; h--) this.w.op(OP.localSet).u32(this.operandLocal(h))
    this.#closeTarget()
  }

  #closeTarget(): void {
    this.w.op(OP.end)
    this.labels--
  }

  #push(from: number, to: number): void {
    for (let h = from; h < to; h++) this.w.op(OP.localGet).u32(this.operandLocal(h))
  }
}
