// What an instruction takes off the operand stack and puts on it. The engine has validated the module.
import type { FunctionType, WasmModule } from '../wasm/module.ts'
import { EMPTY_BLOCK, effectOf, OP, TYPE, typeOfNull } from '../wasm/opcodes.ts'
import type { FunctionCode } from './function-code.ts'
import type { OperandStack } from './operand-stack.ts'
import type { Program } from './source.ts'

export interface StackEffect {
  readonly pops: number
  readonly pushes: readonly number[]
}

const NOTHING: StackEffect = { pops: 0, pushes: [] }

/** Parameters and results of a block from its type as the instruction has it. */
export function blockSignature(blockType: number, module: WasmModule): FunctionType {
  if (blockType === EMPTY_BLOCK - 128) return { params: [], results: [] }
  if (blockType < 0) return { params: [], results: [blockType + 128] }
  return module.types[blockType] ?? { params: [], results: [] }
}

/** Undefined for an instruction that is no call. */
export function calleeType(op: number, a: number, { module, functions }: Program): FunctionType | undefined {
  if (op === OP.callIndirect) return module.types[a]
  if (op !== OP.call) return undefined
  return functions[a - module.importedFunctions]?.type ?? module.types[module.functionTypes[a] ?? -1]
}

export function callEffect(op: number, callee: FunctionType): StackEffect {
  return { pops: callee.params.length + (op === OP.callIndirect ? 1 : 0), pushes: callee.results }
}

/** Of an instruction that is neither a call nor opens, closes or leaves a block. `types` is the stack before it. */
export function effectOn(types: OperandStack, op: number, a: number, code: FunctionCode): StackEffect {
  const { module, locals } = code
  switch (op) {
    case OP.nop:
    case OP.unreachable:
    case OP.throw:
      return NOTHING
    case OP.throwRef:
    case OP.drop:
    case OP.localSet:
    case OP.globalSet:
      return { pops: 1, pushes: [] }
    case OP.localTee:
      return { pops: 1, pushes: [locals[a] ?? 0] }
    case OP.selectTyped:
      return { pops: 3, pushes: [a] }
    case OP.select:
      return { pops: 3, pushes: [types.at(types.height - 2)] }
    case OP.localGet:
      return { pops: 0, pushes: [locals[a] ?? 0] }
    case OP.globalGet:
      return { pops: 0, pushes: [module.globals[a]?.type ?? 0] }
    case OP.tableGet:
      return { pops: 1, pushes: [module.tables[a]?.type ?? 0] }
    case OP.tableSet:
      return { pops: 2, pushes: [] }
    case OP.refNull:
      return { pops: 0, pushes: [typeOfNull(a)] }
    case OP.refIsNull:
      return { pops: 1, pushes: [TYPE.i32] }
    case OP.refFunc:
      return { pops: 0, pushes: [TYPE.funcref] }
  }
  const effect = effectOf(op)
  return effect === undefined ? NOTHING : { pops: effect.pops, pushes: effect.push === 0 ? [] : [effect.push] }
}
