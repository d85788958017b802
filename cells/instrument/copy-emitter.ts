// What the fast and the rewind copy of a function have in common: blocks, labels, operand types, plain instructions.
import { ByteWriter } from '../wasm/byte-writer.ts'
import type { FunctionType } from '../wasm/module.ts'
import { EMPTY_BLOCK, OP, TYPE } from '../wasm/opcodes.ts'
import { blockSignature, callEffect, calleeType, effectOn } from './effects.ts'
import type { Operand } from './frame.ts'
import type { FunctionCode } from './function-code.ts'
import type { Output } from './output.ts'
import { unsupported } from './refusals.ts'
import type { Site, SiteTree } from './site-tree.ts'
import { StoreBarrier, writesMemory } from './store-barrier.ts'
import { type Handlers, TryBlocks, type TryHost } from './try-blocks.ts'

/** V8 takes no larger body (`kV8MaxWasmFunctionSize`). */
const MAX_BODY_BYTES = 7_654_321
/** V8 takes no more locals (`kV8MaxWasmFunctionLocals`). */
const MAX_LOCALS = 50_000

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
  protected readonly types: number[] = []
  protected readonly levels: Level[] = []
  /** Labels that are open in the output: the function's and the `try` are two. */
  labels = 2
  /** The number of the site that the function is at: what its handler saves. */
  protected readonly siteLocal: number
  protected readonly frameLocal: number
  protected readonly fuelLocal: number | undefined
  readonly #added: number[] = []
  readonly #operandLocals = new Map<number, number>()
  readonly #scratchLocals = new Map<number, number>()
  readonly #barrier: StoreBarrier | undefined
  readonly #tries = new TryBlocks(this)
  #conditionLocal: number | undefined

  constructor(code: FunctionCode, sites: SiteTree, output: Output) {
    this.code = code
    this.sites = sites
    this.output = output
    this.w = new ByteWriter(256 + (code.source.body.end - code.source.body.start) * 2)
    if (output.tracking) this.#barrier = new StoreBarrier(output, this.w, (type) => this.addLocal(type))
    this.siteLocal = this.addLocal(TYPE.i32)
    this.frameLocal = this.addLocal(TYPE.i32)
    // Round a blocking import the host takes the fuel away, and an exception leaves without giving it back.
    const leaves = code.source.callsImports || (output.exceptionBytes > 0 && code.mayThrow)
    this.fuelLocal = sites.tightLoop && !leaves ? this.addLocal(TYPE.i32) : undefined
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
    for (let i = 0; i < this.code.length; i++) {
      if (!this.code.dead[i]) this.#instruction(i)
      // Each time: the operands of every call are written again, so a body can grow with the square of its size.
      if (this.w.length > MAX_BODY_BYTES) throw this.tooLarge('so much code')
    }
  }

  protected addLocal(type: number): number {
    const index = this.code.locals.length + this.#added.length
    if (index >= MAX_LOCALS) throw this.tooLarge('so many values')
    this.#added.push(type)
    return index
  }

  /** The local that keeps the operand at `height` while the function is at a site. */
  protected operandLocal(height: number, type = this.types[height] ?? 0): number {
    return this.#local(this.#operandLocals, height, type)
  }

  exceptionLocal(depth: number, position: number, type: number): number {
    return this.operandLocal(EXCEPTIONS + depth * EXCEPTION_PARTS + position, type)
  }

  abstract enterHandlers(
    arms: readonly (readonly Site[])[],
    payloads: readonly (readonly number[])[],
    base: number,
  ): void

  /** A local for moments; nothing in it is saved. */
  protected scratchLocal(position: number, type: number): number {
    return this.#local(this.#scratchLocals, position, type)
  }

  protected get conditionLocal(): number {
    this.#conditionLocal ??= this.addLocal(TYPE.i32)
    return this.#conditionLocal
  }

  #local(known: Map<number, number>, position: number, type: number): number {
    const key = position * 256 + type
    let local = known.get(key)
    if (local === undefined) known.set(key, (local = this.addLocal(type)))
    return local
  }

  /** Operands that have a local, in the order in which they got it. */
  protected get keptOperands(): Operand[] {
    return [...this.#operandLocals.keys()].map((key) => ({ height: Math.floor(key / 256), type: key % 256 }))
  }

  /** Local declarations of the copy, of what the source has as `parameters` too, then `parts`, as one body. */
  protected assemble(parameters: readonly number[], ...parts: readonly Uint8Array[]): Uint8Array {
    const runs: { count: number; type: number }[] = []
    const declare = (count: number, type: number): void => {
      const last = runs.at(-1)
      if (last?.type === type) runs[runs.length - 1] = { count: last.count + count, type }
      else runs.push({ count, type })
    }
    for (const type of parameters) declare(1, type)
    for (const { count, type } of this.code.groups) declare(count, type)
    for (const type of this.#added) declare(1, type)
    const body = new ByteWriter(parts.reduce((sum, part) => sum + part.length, 8 + runs.length * 6))
    body.u32(runs.length)
    for (const { count, type } of runs) body.u32(count).u8(type)
    for (const part of parts) body.bytes(part)
    return body.view()
  }

  /** Block type from nothing to `results`. */
  protected emitResultType(results: readonly number[] = this.code.source.type.results): void {
    this.output.blockType(this.w, [], results)
  }

  protected get level(): Level {
    return this.levels[this.levels.length - 1] as Level
  }

  protected setSite(site: Site): void {
    this.w.op(OP.i32Const).s33(site.low).op(OP.localSet).u32(this.siteLocal)
  }

  /** Fuel kept in a local goes to the global round everything that may poll, and comes back. */
  protected storeFuel(): void {
    if (this.fuelLocal === undefined) return
    this.w.op(OP.localGet).u32(this.fuelLocal).op(OP.globalSet).u32(this.output.globals.fuel)
  }

  protected loadFuel(): void {
    if (this.fuelLocal === undefined) return
    this.w.op(OP.globalGet).u32(this.output.globals.fuel).op(OP.localSet).u32(this.fuelLocal)
  }

  /** Emitted where the call out of a poll is made: the rewind copy is where it wanted to be. */
  protected abstract arrive(): void

  /** One unit of fuel; when there was none left, the call out. */
  protected emitPoll(site: Site): void {
    const { w } = this
    const { fuel } = this.output.globals
    if (this.fuelLocal === undefined) {
      w.op(OP.globalGet).u32(fuel).op(OP.i32Const, 1, OP.i32Sub, OP.localTee).u32(this.frameLocal)
      w.op(OP.globalSet).u32(fuel).op(OP.localGet).u32(this.frameLocal)
    } else w.op(OP.localGet).u32(this.fuelLocal).op(OP.i32Const, 1, OP.i32Sub, OP.localTee).u32(this.fuelLocal)
    w.op(OP.i32Const, 0, OP.i32LtS)
    if (this.level.split) w.op(OP.brIf, 1)
    else {
      w.op(OP.if, EMPTY_BLOCK)
      this.#callOut(site, false)
      w.op(OP.end)
    }
  }

  #callOut(site: Site, split: boolean): void {
    this.arrive()
    this.w.op(OP.i32Const).s33(site.low).op(OP.call).u32(this.output.helpers.slowPoll)
    // It comes past the same poll once more, which is not to count.
    if (split) this.w.op(OP.i32Const, 1, OP.i32Add)
    if (this.fuelLocal === undefined) this.w.op(OP.globalSet).u32(this.output.globals.fuel)
    else this.w.op(OP.localSet).u32(this.fuelLocal)
  }

  protected copyInstruction(i: number): void {
    const op = this.code.op[i] ?? 0
    const { source, at, a } = this.code
    if (this.#barrier !== undefined && writesMemory(op))
      this.#barrier.emit(op, source.bytes, at[i] ?? 0, at[i + 1] ?? 0)
    else this.output.copy(this.w, op, a[i] ?? 0, source.bytes, at[i] ?? 0, at[i + 1] ?? 0, source)
  }

  protected pop(count: number): void {
    this.types.length -= count
  }

  protected tooLarge(what: string): Error {
    return unsupported(what, this.code.source.index, this.code.source.body.start)
  }

  #instruction(i: number): void {
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
        this.pop(this.types.length - this.level.base)
        this.types.push(...this.level.params)
        if (this.level.site) this.atArm(this.level, this.level.site.arms[1] ?? [])
        return
      case OP.end:
        this.#end()
        return
      case OP.br:
      case OP.brIf:
        if (op === OP.brIf) this.pop(1)
        this.w.op(op).u32(this.label(a))
        return
      case OP.brTable: {
        this.w.op(op).u32(a)
        for (const label of this.code.branchTable(i)) this.w.u32(this.label(label))
        return
      }
      case OP.return:
        // Not past the end of the `try`, where the fuel goes back into its global.
        this.w.op(OP.br).u32(this.labels - 2)
        return
      case OP.returnCall:
      case OP.returnCallIndirect:
        // Nothing of this function is left when the callee runs, nor is its handler: only that of the callee saves.
        this.storeFuel()
        this.copyInstruction(i)
        return
    }
    const site = this.sites.at.get(i)
    const callee = calleeType(op, a, this.output.program)
    if (site && callee) {
      const args = callee.params.length + (op === OP.callIndirect ? 1 : 0)
      this.call(i, site, callee, args)
      this.pop(args)
      this.types.push(...callee.results)
      return
    }
    this.copyInstruction(i)
    const { pops, pushes } = callee ? callEffect(op, callee) : effectOn(this.types, op, a, this.code)
    this.pop(pops)
    this.types.push(...pushes)
  }

  /** Label of the block `depth` levels out, seen from the labels that are open now. */
  label(depth: number): number {
    const target = this.levels[this.levels.length - 1 - depth] as Level
    return this.labels - 1 - target.label
  }

  #open(i: number, op: number, blockType: number): void {
    const site = this.sites.at.get(i)
    const { params, results } = blockSignature(blockType, this.output.module)
    if (op === OP.if) this.pop(1)
    if (site) this.beforeBlock(site, op === OP.if, params.length)
    // V8 unrolls a small loop only when it makes no call: the call of its poll goes outside.
    const split = site?.low === site?.high && op === OP.loop && params.length === 0 && this.fuelLocal !== undefined
    if (split) {
      this.w.op(OP.block).bytes(this.code.source.bytes, (this.code.at[i] ?? 0) + 1, this.code.at[i + 1])
      this.w.op(OP.loop, EMPTY_BLOCK, OP.block, EMPTY_BLOCK)
      this.labels += 3
    }
    const base = this.types.length - params.length
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
  }

  #catch(i: number): void {
    const { code, level, output } = this
    const { handlers, site } = level
    if (handlers === undefined) return
    this.#tries.catch(handlers, code.source.bytes.subarray(code.at[i], code.at[i + 1]), site !== undefined)
    this.pop(this.types.length - level.base)
    if (code.op[i] === OP.catch) this.types.push(...output.tagParams(code.a[i] ?? 0))
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
      this.#callOut(level.site, true)
      this.w.op(OP.br, 0, OP.end, OP.unreachable, OP.end)
      this.labels -= 3
    }
    this.#closed(level)
  }

  #closed(level: Level): void {
    this.pop(this.types.length - level.base)
    if (level.site) this.afterBlock(level, this.level)
    this.types.push(...level.results)
  }
}
