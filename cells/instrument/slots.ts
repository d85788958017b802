// What a value of each type takes in the frame memory.
import type { WasmModule } from '../wasm/module.ts'
import { TYPE } from '../wasm/opcodes.ts'
import { isReference } from './refusals.ts'

/** The tag of an exception, plus one; 0 for a null. */
export const TAG_BYTES = 4

const ACCESS: Readonly<Record<number, { bytes: number; load: number[]; store: number[]; align: number }>> = {
  [TYPE.i32]: { bytes: 4, load: [0x28], store: [0x36], align: 2 },
  [TYPE.i64]: { bytes: 8, load: [0x29], store: [0x37], align: 3 },
  [TYPE.f32]: { bytes: 4, load: [0x2a], store: [0x38], align: 2 },
  [TYPE.f64]: { bytes: 8, load: [0x2b], store: [0x39], align: 3 },
  [TYPE.v128]: { bytes: 16, load: [0xfd, 0], store: [0xfd, 11], align: 4 },
  // By its position in the table of functions.
  [TYPE.funcref]: { bytes: 4, load: [0x28], store: [0x36], align: 2 },
}

/** How a value that may be other than null is stored. */
export function access(type: number): { bytes: number; load: number[]; store: number[]; align: number } {
  const found = ACCESS[type]
  if (found === undefined) throw new Error(`type ${type} cannot be stored`)
  return found
}

/** True of references that can only be null: nothing that a cell imports gives others. */
export function alwaysNull(type: number, exceptions: number): boolean {
  return isReference(type) && type !== TYPE.funcref && !(type === TYPE.exnref && exceptions > 0)
}

/** Bytes that a value takes in a frame; `exceptionBytes` of them an exception. */
export function bytesOf(type: number, { exceptionBytes }: { readonly exceptionBytes: number }): number {
  if (alwaysNull(type, exceptionBytes)) return 0
  return type === TYPE.exnref ? exceptionBytes : access(type).bytes
}

/** What an exception takes in a frame: its tag, and room for what any carries. 0 when there are none. */
export function exceptionBytes({ tags, types }: WasmModule): number {
  const none = { exceptionBytes: 0 }
  const payload = tags.map((tag) => types[tag]?.params.reduce((sum, type) => sum + bytesOf(type, none), 0) ?? 0)
  return tags.length === 0 ? 0 : payload.reduce((most, bytes) => Math.max(most, bytes), TAG_BYTES) + TAG_BYTES
}
