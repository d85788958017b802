// The copy of a suspendable function that runs normally: polls, one `try` round the body, and a handler that saves.
import type { FunctionType } from '../wasm/module.ts'
import { OP } from '../wasm/opcodes.ts'
import type { HintedBody } from './branch-hints.ts'
import { CopyEmitter, type Level } from './copy-emitter.ts'
import { emitSave, type FrameLayout, frameLayout } from './frame.ts'
import type { FunctionCode } from './function-code.ts'
import type { Output } from './output.ts'
import type { Site, SiteTree } from './site-tree.ts'

export interface FastCopy extends HintedBody {
  /** What a frame of this function holds: the rewind copy restores the same. */
  readonly layout: FrameLayout
}

export function emitFastCopy(
  code: FunctionCode,
  sites: SiteTree,
  savedLocals: readonly number[],
  output: Output,
): FastCopy {
  return new FastEmitter(code, sites, output).emit(savedLocals)
}

class FastEmitter extends CopyEmitter {
  /** Operands below this height are already in their locals; a value on the stack cannot change. */
  #kept = 0

  emit(savedLocals: readonly number[]): FastCopy {
    const { w, code, output } = this
    w.op(OP.try)
    this.emitResultType()
    this.emitInstructions()
    const layout = frameLayout(
      [
        ...savedLocals.map((index) => ({ kind: 'local' as const, index, type: code.locals[index] ?? 0 })),
        ...this.locals.operands.map(({ height, type }) => ({ kind: 'operand' as const, index: height, type })),
      ],
      output,
    )
    w.op(OP.catch).u32(output.tag)
    const ordinal = output.ordinal(code.source.index) ?? 0
    emitSave(w, layout, { ...this.frameAccess(ordinal), site: this.siteLocal }, output)
    w.op(OP.end)
    w.op(OP.end)
    return { ...this.locals.body([], w.view(), this.unlikely), layout }
  }

  protected override pop(count: number): void {
    super.pop(count)
    this.#kept = Math.min(this.#kept, this.types.height)
  }

  protected override beforeBlock(_site: Site, isIf: boolean): void {
    if (this.#kept >= this.types.height) return
    if (isIf) this.w.op(OP.localSet).u32(this.conditionLocal)
    this.#keep(0)
    if (isIf) this.w.op(OP.localGet).u32(this.conditionLocal)
  }

  protected override atArm(level: Level, sites: readonly Site[]): void {
    // The operands of a block change when it is a loop that starts again.
    this.#kept = Math.min(this.#kept, level.base)
    const first = sites[0]
    if (first?.kind !== 'poll') return
    this.#keep(0)
    this.emitPoll(first)
  }

  protected override afterBlock(): void {}

  enterHandlers(): void {}

  protected override arrive(): void {}

  protected override call(i: number, site: Site, _callee: FunctionType, args: number): void {
    this.#keep(args)
    this.setSite(site)
    this.copyInstruction(i)
  }

  /** Copies the operands, all but the uppermost `above`, to their locals, and leaves the stack as it is. */
  #keep(above: number): void {
    const { w, types } = this
    const end = types.height - above
    const from = this.#kept
    if (from >= end) return
    for (let h = types.height - 1; h >= end; h--) w.op(OP.localSet).u32(this.scratchAbove(end, h - end))
    for (let h = end - 1; h > from; h--) w.op(OP.localSet).u32(this.operandLocal(h))
    w.op(OP.localTee).u32(this.operandLocal(from))
    for (let h = from + 1; h < end; h++) w.op(OP.localGet).u32(this.operandLocal(h))
    for (let h = end; h < types.height; h++) w.op(OP.localGet).u32(this.scratchAbove(end, h - end))
    this.#kept = end
  }
}
