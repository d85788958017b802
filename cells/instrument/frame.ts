// The frame of a suspended function in the frame memory: its needed locals and operands, then its header.
// Little-endian and packed in a fixed order: the same bytes on every host.
import type { ByteWriter } from '../wasm/byte-writer.ts'
import { EMPTY_BLOCK, OP, TYPE } from '../wasm/opcodes.ts'
import type { Output } from './output.ts'
import { access, alwaysNull, bytesOf } from './slots.ts'

/** Function ordinal, site and size, three i32 at the frame's end: it is popped from there. */
export const HEADER_BYTES = 12
/** Where they lie, from the end of the frame. */
export const HEADER = { ordinal: -12, site: -8, size: -4 } as const

/** `load` or `store` of the frame memory; the address (and value) are on the stack. */
export function emitAccess(w: ByteWriter, kind: 'load' | 'store', type: number, offset: number, output: Output): void {
  if (type === TYPE.exnref && output.exceptionBytes > 0) {
    w.op(OP.i32Const).s33(offset)
    if (kind === 'store') w.op(OP.call).u32(output.saveException)
    else w.op(OP.i32Add, OP.call).u32(output.loadException)
    return
  }
  if (alwaysNull(type, output.exceptionBytes)) {
    w.op(OP.drop, ...(kind === 'load' ? [OP.refNull, type] : [OP.drop]))
    return
  }
  const how = access(type)
  if (type === TYPE.funcref && kind === 'store') w.op(OP.call).u32(output.reference)
  w.op(...how[kind])
    .u8(how.align | 64)
    .u32(output.frameMemory)
    .u32(offset)
  if (type === TYPE.funcref && kind === 'load') w.op(OP.tableGet).u32(output.functionTable)
}

/** An operand that was on the stack at a site: its height from the function's bottom, and its type. */
export interface Operand {
  readonly height: number
  readonly type: number
}

export interface FrameLayout {
  /** Locals of the source function that are saved, then operands. */
  readonly locals: readonly number[]
  readonly operands: readonly Operand[]
  /** Bytes, a multiple of 4, header included. */
  readonly size: number
}

export function frameLayout(
  output: Output,
  localTypes: readonly number[],
  locals: readonly number[],
  operands: readonly Operand[],
): FrameLayout {
  let size = HEADER_BYTES
  for (const local of locals) size += bytesOf(localTypes[local] ?? 0, output)
  for (const { type } of operands) size += bytesOf(type, output)
  return { locals, operands, size }
}

/** Calls `each` with every saved value's local in the copy at hand, its type, and its offset in the frame. */
export function eachSlot(
  layout: FrameLayout,
  localTypes: readonly number[],
  localOf: (operand: Operand) => number,
  output: Output,
  each: (local: number, type: number, offset: number) => void,
): void {
  let offset = 0
  const slot = (local: number, type: number): void => {
    each(local, type, offset)
    offset += bytesOf(type, output)
  }
  for (const local of layout.locals) slot(local, localTypes[local] ?? 0)
  for (const operand of layout.operands) slot(localOf(operand), operand.type)
}

/**
 * The handler of an unwinding: reserves a frame (the helper writes its header), fills it, and goes on to the caller.
 * Inside `catch` of the function's own `try`.
 */
export function emitSave(
  w: ByteWriter,
  layout: FrameLayout,
  localTypes: readonly number[],
  at: { readonly ordinal: number; readonly site: number; readonly frame: number },
  localOf: (operand: Operand) => number,
  output: Output,
): void {
  w.op(OP.i32Const).s33(layout.size).op(OP.i32Const).s33(at.ordinal).op(OP.localGet).u32(at.site)
  w.op(OP.call).u32(output.helpers.reserve).op(OP.localSet).u32(at.frame)
  eachSlot(layout, localTypes, localOf, output, (local, type, offset) => {
    w.op(OP.localGet).u32(at.frame).op(OP.localGet).u32(local)
    emitAccess(w, 'store', type, offset, output)
  })
  w.op(OP.rethrow, 0)
}

/** The start of a rewind copy: pops the frame, checks that it is this function's, and sets locals and `pc`. */
export function emitRestore(
  w: ByteWriter,
  layout: FrameLayout,
  localTypes: readonly number[],
  at: { readonly ordinal: number; readonly sites: number; readonly frame: number; readonly pc: number },
  localOf: (operand: Operand) => number,
  output: Output,
): void {
  const { top } = output.globals
  w.op(OP.globalGet).u32(top).op(OP.i32Const).s33(layout.size).op(OP.i32Sub).op(OP.localTee).u32(at.frame)
  w.op(OP.globalSet).u32(top)
  w.op(OP.localGet).u32(at.frame)
  emitAccess(w, 'load', TYPE.i32, layout.size + HEADER.ordinal, output)
  w.op(OP.i32Const).s33(at.ordinal).op(OP.i32Ne, OP.if, EMPTY_BLOCK, OP.call).u32(output.helpers.malformed).op(OP.end)
  eachSlot(layout, localTypes, localOf, output, (local, type, offset) => {
    w.op(OP.localGet).u32(at.frame)
    emitAccess(w, 'load', type, offset, output)
    w.op(OP.localSet).u32(local)
  })
  w.op(OP.localGet).u32(at.frame)
  emitAccess(w, 'load', TYPE.i32, layout.size + HEADER.site, output)
  w.op(OP.localTee).u32(at.pc).op(OP.i32Const, 1, OP.i32Sub).op(OP.i32Const).s33(at.sites)
  w.op(OP.i32GeU, OP.if, EMPTY_BLOCK, OP.call).u32(output.helpers.malformed).op(OP.end)
}
