// What the fast and the rewind copy of a function have in common: blocks, labels, operand types, plain instructions.
import type { ByteWriter } from '../wasm/byte-writer.ts'
import type { FunctionType } from '../wasm/module.ts'
import { EMPTY_BLOCK, OP, TYPE } from '../wasm/opcodes.ts'
import { CopyLocals } from './copy-locals.ts'
import { blockSignature, callEffect, calleeType, effectOn } from './effects.ts'
import { MAX_BODY_BYTES } from './engine-limits.ts'
import type { FrameAccess, Slot } from './frame.ts'
import { Fuel } from './fuel.ts'
import type { FunctionCode } from './function-code.ts'
import { turnsOf } from './loop-turns.ts'
import { OperandStack } from './operand-stack.ts'
import { type Output, rewrites } from './output.ts'
import { unsupported } from './refusals.ts'
import type { Site, SiteTree } from './site-tree.ts'
import { MAX_BARRIER_LOCALS, StoreBarrier } from './store-barrier.ts'
import { writesMemory } from './stores.ts'
import { type Handlers, TryBlocks, type TryHost } from './try-blocks.ts'

/** 1 for an opcode that is more than its bytes and its effect on the stack. */
const SPECIAL = new Uint8Array(256)
for (const op of [OP.block, OP.loop, OP.if, OP.else, OP.end, OP.br, OP.brIf, OP.brTable, OP.return]) SPECIAL[op] = 1
for (const op of [OP.try, OP.tryTable, OP.catch, OP.catchAll, OP.rethrow, OP.delegate]) SPECIAL[op] = 1
for (const op of [OP.call, OP.callIndirect, OP.returnCall, OP.returnCallIndirect, OP.refFunc]) SPECIAL[op] = 1

/** An open block of the source function. */
export interface Level {
  readonly op: number
  /** Absolute label: how many labels were open outside of it. */
  readonly label: number
  /** Operands of the function below this block's own. */
  readonly base: number
  readonly params: readonly number[]
  readonly results: readonly number[]
  /** Set when there are sites inside. */
  readonly site: Site | undefined
  /** Of a `try` or `try_table`. */
  readonly handlers?: Handlers
  /** A loop whose poll leaves it when the fuel is gone, calls out, and enters it again. */
  readonly split: boolean
}

/** Where the parts of caught exceptions begin among the positions of saved operands: no function has so many. */
const EXCEPTIONS = 2 ** 32
/** V8 lets a tag have no more parts (`kV8MaxWasmFunctionParams`). */
const EXCEPTION_PARTS = 1_001

export abstract class CopyEmitter implements TryHost {
  readonly code: FunctionCode
  readonly sites: SiteTree
  readonly output: Output
  readonly w: ByteWriter
  /** Types of the operands, as the source function has them. */
  protected readonly types = new OperandStack()
  protected readonly locals: CopyLocals
  protected readonly levels: Level[] = []
  /** Positions in `w` of branches that are hardly ever taken. */
  protected readonly unlikely: number[] = []
  /** Labels that are open in the output: the function's and the `try` are two. */
  labels = 2
  /** The number of the site that the function is at: what its handler saves. */
  protected readonly siteLocal: number
  protected readonly frameLocal: number
  readonly #barrier: StoreBarrier | undefined
  readonly #tries = new TryBlocks(this)
  readonly #fuel: Fuel
  /** Where the fuel may be in a local while a loop makes no call. */
  readonly #localFuel: boolean
  #conditionLocal: number | undefined

  constructor(code: FunctionCode, sites: SiteTree, output: Output) {
    this.code = code
    this.sites = sites
    this.output = output
    this.w = output.scratch.clear()
    // Room for those of the tracking build: it is not to fail where this one did not.
    const spare = output.tracking ? 0 : MAX_BARRIER_LOCALS
    this.locals = new CopyLocals(code, spare, () => this.tooLarge('so many values'))
    if (output.tracking) this.#barrier = new StoreBarrier(output, this.w, (type) => this.locals.add(type))
    this.siteLocal = this.locals.add(TYPE.i32)
    this.frameLocal = this.locals.add(TYPE.i32)
    this.#fuel = new Fuel({
      w: this.w,
      global: output.globals.fuel,
      scratch: this.frameLocal,
      addLocal: () => this.locals.add(TYPE.i32),
    })
    // Round a blocking import the host takes the fuel away, and an exception leaves without giving it back.
    this.#localFuel = !code.source.callsImports && !(output.exceptionBytes > 0 && code.mayThrow)
  }

  /** Called for a block, its condition already taken off `types` when it is an `if`. */
  protected abstract beforeBlock(site: Site, isIf: boolean, params: number): void
  /** Behind the opening of a block with sites, or its `else`. */
  protected abstract atArm(level: Level, sites: readonly Site[]): void
  protected abstract afterBlock(level: Level, parent: Level): void
  protected abstract call(i: number, site: Site, callee: FunctionType, args: number): void

  /** Everything between `try` and its `catch`. */
  protected emitInstructions(): void {
    const { results } = this.code.source.type
    const { root } = this.sites
    const level = { op: OP.block, label: 1, base: 0, params: [], results, site: root, split: false }
    this.levels.push(level)
    this.atArm(level, root.arms[0] ?? [])
    this.#emit(0, this.code.length)
  }

  /** The instructions from `from` to `to`; runs of those that are nothing special are copied in one go. */
  #emit(from: number, to: number): void {
    const { op, dead, at, source } = this.code
    for (let i = from; i < to; i++) {
      if (dead[i]) continue
      const first = i
      while (i < to && !dead[i] && this.#isPlain(op[i] ?? 0)) this.#applyEffect(i++)
      if (i > first) this.w.bytes(source.bytes, at[first], at[i])
      if (i < to && !dead[i]) this.#special(i)
      // Each time: the operands of every call are written again, so a body can grow with the square of its size.
      if (this.w.length > MAX_BODY_BYTES) throw this.tooLarge('so much code')
    }
  }

  #isPlain(op: number): boolean {
    if (op < 256 ? SPECIAL[op] === 1 : rewrites(op)) return false
    return this.#barrier === undefined || !writesMemory(op)
  }

  protected get conditionLocal(): number {
    this.#conditionLocal ??= this.locals.add(TYPE.i32)
    return this.#conditionLocal
  }

  /** The local that keeps the operand at `height` while the function is at a site. */
  protected operandLocal(height: number): number {
    return this.locals.operand(height, this.types.at(height))
  }

  exceptionLocal(depth: number, position: number, type: number): number {
    return this.locals.operand(EXCEPTIONS + depth * EXCEPTION_PARTS + position, type)
  }

  abstract enterHandlers(
    arms: readonly (readonly Site[])[],
    payloads: readonly (readonly number[])[],
    base: number,
  ): void

  /** Where this copy has what a frame holds. */
  protected frameAccess(ordinal: number): FrameAccess {
    const localOf = ({ kind, index, type }: Slot): number =>
      kind === 'local' ? index : this.locals.operand(index, type)
    return { ordinal, frame: this.frameLocal, localOf }
  }

  /** The local for a moment of the operand that is `position` above `height`. */
  protected scratchAbove(height: number, position: number): number {
    return this.locals.scratch(position, this.types.at(height + position))
  }

  /** Block type from nothing to `results`. */
  protected emitResultType(results: readonly number[] = this.code.source.type.results): void {
    if (results.length === 0) this.w.u8(EMPTY_BLOCK)
    else if (results.length === 1) this.w.u8(results[0] ?? 0)
    else this.w.s33(this.output.typeId([], results))
  }

  protected get level(): Level {
    return this.levels[this.levels.length - 1] as Level
  }

  protected setSite(site: Site): void {
    this.w.op(OP.i32Const).s33(site.low).op(OP.localSet).u32(this.siteLocal)
  }

  /** Emitted where the call out of a poll is made: the rewind copy is where it wanted to be. */
  protected abstract arrive(): void

  /** One unit of fuel; when there was none left, the call out. */
  protected emitPoll(site: Site): void {
    const { w } = this
    this.#fuel.emitCount()
    w.op(OP.i32Const, 0, OP.i32LtS)
    this.unlikely.push(w.length)
    if (this.level.split) w.op(OP.brIf, 1)
    else {
      w.op(OP.if, EMPTY_BLOCK)
      this.#callOut(site, 0)
      w.op(OP.end)
    }
  }

  #callOut(site: Site, again: number): void {
    this.arrive()
    this.setSite(site)
    this.w.op(OP.call).u32(this.output.helpers.slowPoll)
    this.#fuel.emitGranted(again)
  }

  protected copyInstruction(i: number): void {
    const op = this.code.op[i] ?? 0
    const { source, at, a } = this.code
    if (this.#barrier !== undefined && writesMemory(op))
      this.#barrier.emit(op, source.bytes, at[i] ?? 0, at[i + 1] ?? 0)
    else this.output.copy(this.w, op, a[i] ?? 0, source.bytes, at[i] ?? 0, at[i + 1] ?? 0, source)
  }

  protected pop(count: number): void {
    this.types.height -= count
  }

  protected tooLarge(what: string): Error {
    return unsupported(what, this.code.source.index, this.code.source.body.start)
  }

  #special(i: number): void {
    const op = this.code.op[i] ?? 0
    const a = this.code.a[i] ?? 0
    switch (op) {
      case OP.block:
      case OP.loop:
      case OP.if:
      case OP.try:
      case OP.tryTable:
        this.#open(i, op, a)
        return
      case OP.catch:
      case OP.catchAll:
        this.#catch(i)
        return
      case OP.rethrow:
        this.#tries.rethrow(this.levels[this.levels.length - 1 - a]?.handlers, a)
        return
      case OP.delegate:
        this.#delegate(a)
        return
      case OP.else:
        this.w.op(OP.else)
        this.pop(this.types.height - this.level.base)
        this.types.pushAll(this.level.params)
        if (this.level.site) this.atArm(this.level, this.level.site.arms[1] ?? [])
        return
      case OP.end:
        this.#end()
        return
      case OP.br:
      case OP.brIf:
        if (op === OP.brIf) this.pop(1)
        this.#branch(op, a)
        return
      case OP.brTable: {
        const labels = this.code.branchTable(i)
        if (labels.some((depth) => this.#fuel.leftBy(this.#position(depth)))) this.#fuel.store()
        this.w.op(op).u32(a)
        for (const depth of labels) this.w.u32(this.label(depth))
        return
      }
      case OP.return:
        this.#fuel.store()
        // Not past the end of the `try`.
        this.w.op(OP.br).u32(this.labels - 2)
        return
      case OP.returnCall:
      case OP.returnCallIndirect:
        // Nothing of this function is left when the callee runs, nor is its handler: only that of the callee saves.
        this.#fuel.store()
        this.copyInstruction(i)
        return
    }
    const site = this.sites.at.get(i)
    const callee = calleeType(op, a, this.output.program)
    if (site && callee) {
      const args = callee.params.length + (op === OP.callIndirect ? 1 : 0)
      this.call(i, site, callee, args)
      this.pop(args)
      this.types.pushAll(callee.results)
      return
    }
    this.copyInstruction(i)
    if (callee === undefined) this.#applyEffect(i)
    else {
      const { pops, pushes } = callEffect(op, callee)
      this.pop(pops)
      this.types.pushAll(pushes)
    }
  }

  #applyEffect(i: number): void {
    const op = this.code.op[i] ?? 0
    const a = this.code.a[i] ?? 0
    if (op === OP.localGet) this.types.push(this.code.locals[a] ?? 0)
    else if (op === OP.localSet || op === OP.drop) this.pop(1)
    else {
      const { pops, pushes } = effectOn(this.types, op, a, this.code)
      this.pop(pops)
      this.types.pushAll(pushes)
    }
  }

  #branch(op: number, depth: number): void {
    const { w } = this
    const leaves = this.#fuel.leftBy(this.#position(depth))
    const { op: opener, params, results } = this.levels[this.#position(depth)] as Level
    if (leaves && op === OP.brIf && (opener === OP.loop ? params : results).length === 0) {
      w.op(OP.if, EMPTY_BLOCK)
      this.#fuel.store()
      w.op(OP.br)
        .u32(this.label(depth) + 1)
        .op(OP.end)
      return
    }
    if (leaves) this.#fuel.store()
    w.op(op).u32(this.label(depth))
  }

  /** Among the open levels, of the block `depth` levels out. */
  #position(depth: number): number {
    return this.levels.length - 1 - depth
  }

  /** Label of the block `depth` levels out, seen from the labels that are open now. */
  label(depth: number): number {
    const target = this.levels[this.levels.length - 1 - depth] as Level
    return this.labels - 1 - target.label
  }

  #open(i: number, op: number, blockType: number): void {
    const { w } = this
    const site = this.sites.at.get(i)
    const { params, results } = blockSignature(blockType, this.output.module)
    if (op === OP.if) this.pop(1)
    if (site) this.beforeBlock(site, op === OP.if, params.length)
    const callFree = op === OP.loop && site?.calls === false && this.#localFuel
    if (callFree && !this.#fuel.inLocal) this.#fuel.enter(this.levels.length)
    // V8 unrolls a small loop only when it makes no call: the call of its poll goes outside.
    const split = callFree && site.low === site.high && params.length === 0
    if (split) {
      w.op(OP.block).bytes(this.code.source.bytes, (this.code.at[i] ?? 0) + 1, this.code.at[i + 1])
      w.op(OP.loop, EMPTY_BLOCK, OP.block, EMPTY_BLOCK)
      this.labels += 3
    }
    const base = this.types.height - params.length
    const common = { op, base, params, results, site, split }
    if (op === OP.try || op === OP.tryTable) {
      const handlers = this.#tries.open(i, op, site, params, base)
      this.levels.push({ ...common, label: handlers.label, handlers })
    } else {
      this.copyInstruction(i)
      this.levels.push({ ...common, label: this.labels })
      this.labels++
    }
    if (site) this.atArm(this.level, site.arms[0] ?? [])
    if (split && results.length === 0) this.#unroll(i, this.level)
  }

  #catch(i: number): void {
    const { code, level, output } = this
    const { handlers, site } = level
    if (handlers === undefined) return
    this.#tries.catch(handlers, code.source.bytes.subarray(code.at[i], code.at[i + 1]), site !== undefined)
    this.pop(this.types.height - level.base)
    if (code.op[i] === OP.catch) this.types.pushAll(output.tagParams(code.a[i] ?? 0))
    if (site) this.atArm(level, site.arms[handlers.current + 1] ?? [])
  }

  /** Closes a `try` whose exceptions go to the handlers `depth` labels further out. */
  #delegate(depth: number): void {
    const level = this.levels.pop() as Level
    this.labels--
    const target = this.levels[this.levels.length - 1 - depth] as Level
    const open = target.handlers?.current === -1 ? target.handlers.tryLabel : target.label
    this.w.op(OP.delegate).u32(this.labels - 1 - open)
    this.#closed(level)
  }

  /**
   * Writes all turns but the last of those that share the poll of the loop at instruction `i`, whose level is open.
   * Each is a block that the next turn follows; what falls out of it leaves the loop.
   */
  #unroll(i: number, level: Level): void {
    const { end, turns } = turnsOf(this.code, i)
    for (let turn = 1; turn < turns; turn++) {
      this.w.op(OP.block, EMPTY_BLOCK)
      this.levels[this.levels.length - 1] = { ...level, label: this.labels }
      this.labels++
      this.#emit(i + 1, end)
      // The outermost of the three blocks round a split loop is what follows it.
      this.w
        .op(OP.br)
        .u32(this.labels - 1 - (level.label - 3))
        .op(OP.end)
      this.labels--
      this.pop(this.types.height - level.base)
    }
    this.levels[this.levels.length - 1] = level
  }

  #end(): void {
    const level = this.levels.pop() as Level
    if (this.levels.length === 0) return
    if (level.handlers) this.#tries.end(level.handlers)
    else {
      this.w.op(OP.end)
      this.labels--
    }
    if (level.split && level.site) {
      this.w.op(OP.br, 2, OP.end)
      this.#callOut(level.site, 1)
      this.w.op(OP.br, 0, OP.end, OP.unreachable, OP.end)
      this.labels -= 3
    }
    this.#closed(level)
  }

  #closed(level: Level): void {
    this.#fuel.leave(this.levels.length)
    this.pop(this.types.height - level.base)
    if (level.site) this.afterBlock(level, this.level)
    this.types.pushAll(level.results)
  }
}
