// The instructions that write to a memory.
import { OP, PREFIX_FD, TYPE } from '../wasm/opcodes.ts'

/** Bytes that an instruction stores, and the type of what it takes them from. */
export const STORES: ReadonlyMap<number, { readonly bytes: number; readonly type: number }> = new Map([
  [0x36, { bytes: 4, type: TYPE.i32 }],
  [0x37, { bytes: 8, type: TYPE.i64 }],
  [0x38, { bytes: 4, type: TYPE.f32 }],
  [0x39, { bytes: 8, type: TYPE.f64 }],
  [0x3a, { bytes: 1, type: TYPE.i32 }],
  [0x3b, { bytes: 2, type: TYPE.i32 }],
  [0x3c, { bytes: 1, type: TYPE.i64 }],
  [0x3d, { bytes: 2, type: TYPE.i64 }],
  [0x3e, { bytes: 4, type: TYPE.i64 }],
  [PREFIX_FD | 11, { bytes: 16, type: TYPE.v128 }],
  [PREFIX_FD | 88, { bytes: 1, type: TYPE.v128 }],
  [PREFIX_FD | 89, { bytes: 2, type: TYPE.v128 }],
  [PREFIX_FD | 90, { bytes: 4, type: TYPE.v128 }],
  [PREFIX_FD | 91, { bytes: 8, type: TYPE.v128 }],
])

/** True for the instructions that write to a memory. */
export function writesMemory(op: number): boolean {
  if (op < 256) return op >= 0x36 && op <= 0x3e
  return STORES.has(op) || op === OP.memoryCopy || op === OP.memoryFill || op === OP.memoryInit
}
