// The instructions of one function in arrays, reached ones marked: what every later pass walks over.
import { ByteReader } from '../wasm/byte-reader.ts'
import type { WasmModule } from '../wasm/module.ts'
import { closesArm, endsPath, OP, opensBlock } from '../wasm/opcodes.ts'
import { MAX_LOCALS } from './engine-limits.ts'
import { unsupported } from './refusals.ts'
import { instructionsOf, type LocalGroup, localsOf } from './scan.ts'
import type { SourceFunction } from './source.ts'

/** The kinds of clauses of a `try_table`: those of `all` and above name no tag, the odd ones carry the exception. */
export const CATCH = { one: 0, oneRef: 1, all: 2, allRef: 3 } as const

export interface CatchClause {
  readonly kind: number
  /** Of the kinds `one` and `oneRef`; else -1. */
  readonly tag: number
  /** Counted from outside of the `try_table`. */
  readonly label: number
}

export class FunctionCode {
  readonly source: SourceFunction
  readonly module: WasmModule
  readonly groups: readonly LocalGroup[]
  /** Types of parameters and locals. */
  readonly locals: readonly number[]
  /** Per instruction: opcode, offset of its first byte (one more entry for the end), immediates. */
  readonly op: number[] = []
  readonly at: number[] = []
  readonly a: number[] = []
  /** 1 for an instruction that control never reaches; its `else` and `end` are reached. */
  readonly dead: Uint8Array

  constructor(source: SourceFunction, module: WasmModule) {
    this.source = source
    this.module = module
    this.groups = localsOf(source).groups
    const locals = [...source.type.params]
    for (const { count, type } of this.groups) {
      if (locals.length + count > MAX_LOCALS) throw unsupported('too many locals', source.index, source.body.start)
      for (let i = 0; i < count; i++) locals.push(type)
    }
    this.locals = locals
    const reader = instructionsOf(source)
    while (!reader.done) {
      reader.next()
      this.op.push(reader.op)
      this.at.push(reader.start)
      this.a.push(reader.a)
    }
    this.at.push(reader.at)
    this.dead = this.#findDead()
  }

  get length(): number {
    return this.op.length
  }

  /** An exception may leave it. */
  get mayThrow(): boolean {
    return this.op.some(
      (op) => op === OP.throw || op === OP.rethrow || op === OP.throwRef || op === OP.call || op === OP.callIndirect,
    )
  }

  /** Labels of the `br_table` at instruction `i`, default last. */
  branchTable(i: number): number[] {
    const reader = new ByteReader(this.source.bytes, this.at[i], this.source.body.end)
    reader.u8()
    const labels: number[] = []
    for (let left = reader.u32() + 1; left > 0; left--) labels.push(reader.u32())
    return labels
  }

  /** The clauses of the `try_table` at instruction `i`. */
  catchClauses(i: number): CatchClause[] {
    const reader = new ByteReader(this.source.bytes, this.at[i], this.source.body.end)
    reader.u8()
    reader.s33()
    const clauses: CatchClause[] = []
    for (let left = reader.u32(); left > 0; left--) {
      const kind = reader.u8()
      clauses.push({ kind, tag: kind < CATCH.all ? reader.u32() : -1, label: reader.u32() })
    }
    return clauses
  }

  #findDead(): Uint8Array {
    const dead = new Uint8Array(this.op.length)
    let unreached = false
    /** Blocks opened since the path ended. */
    let nested = 0
    for (const [i, op] of this.op.entries()) {
      if (!unreached) {
        unreached = endsPath(op)
        continue
      }
      if (nested === 0 && closesArm(op)) unreached = false
      else {
        dead[i] = 1
        if (opensBlock(op)) nested++
        else if (op === OP.end || op === OP.delegate) nested--
      }
    }
    return dead
  }
}
