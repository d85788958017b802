// The frame of a suspended function in the frame memory: its needed locals and operands, then its header.
// Little-endian and packed in a fixed order: the same bytes on every host.
import type { ByteWriter } from '../wasm/byte-writer.ts'
import { OP, TYPE } from '../wasm/opcodes.ts'
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

/** A value of a frame: a local of the source function, or an operand that was on its stack at a site. */
export interface Slot {
  readonly kind: 'local' | 'operand'
  /** Index of the local, or height of the operand from the function's bottom. */
  readonly index: number
  readonly type: number
}

export interface FrameLayout {
  /** By type, so that functions that save alike share the code for it. */
  readonly slots: readonly Slot[]
  /** Bytes, a multiple of 4, header included. */
  readonly size: number
}

/** Null references take no room: they are null again without being saved. */
export function frameLayout(values: readonly Slot[], output: Output): FrameLayout {
  const slots = values.filter(({ type }) => bytesOf(type, output) > 0).sort((a, b) => a.type - b.type)
  const types = slots.map(({ type }) => type)
  return { slots, size: HEADER_BYTES + valueBytes(types, output) }
}

/** What values of these types take in a frame. */
export function valueBytes(types: readonly number[], output: Output): number {
  return types.reduce((sum, type) => sum + bytesOf(type, output), 0)
}

/** Values that one call takes to the frame memory or back: V8 allows 1,000 parameters and as many results. */
const MAX_VALUES = 200

interface Chunk {
  readonly slots: readonly Slot[]
  readonly types: readonly number[]
  readonly offset: number
}

/** One at least, which is empty when there are no values. */
function chunksOf({ slots }: FrameLayout, output: Output): [Chunk, ...Chunk[]] {
  const chunkAt = (from: number, offset: number): Chunk => {
    const some = slots.slice(from, from + MAX_VALUES)
    return { slots: some, types: some.map(({ type }) => type), offset }
  }
  const chunks: [Chunk, ...Chunk[]] = [chunkAt(0, 0)]
  for (let from = MAX_VALUES; from < slots.length; from += MAX_VALUES) {
    const { offset, types } = chunks.at(-1) ?? chunks[0]
    chunks.push(chunkAt(from, offset + valueBytes(types, output)))
  }
  return chunks
}

/** Locals of a copy by what is in them; `ordinal` names its function. */
export interface FrameAccess {
  readonly ordinal: number
  readonly frame: number
  localOf(slot: Slot): number
}

/**
 * The handler of an unwinding: reserves a frame, fills it, and goes on to the caller. Inside `catch` of the function's
 * own `try`. Short, since V8 inlines a function into another by its size: one call, of a function that all frames of
 * such values share.
 */
export function emitSave(w: ByteWriter, layout: FrameLayout, at: FrameAccess & { site: number }, output: Output): void {
  const [first, ...more] = chunksOf(layout, output)
  w.op(OP.i32Const).s33(at.ordinal).op(OP.localGet).u32(at.site)
  for (const slot of first.slots) w.op(OP.localGet).u32(at.localOf(slot))
  w.op(OP.call).u32(output.accessor('save', first.types, layout.size))
  if (more.length > 0) w.op(OP.localSet).u32(at.frame)
  for (const { slots, types, offset } of more) {
    emitAddress(w, at.frame, offset)
    for (const slot of slots) w.op(OP.localGet).u32(at.localOf(slot))
    w.op(OP.call).u32(output.accessor('store', types, 0))
  }
  w.op(OP.rethrow, 0)
}

/** The start of a rewind copy: pops the frame, checks that it is this function's, and sets locals and `pc`. */
export function emitRestore(
  w: ByteWriter,
  layout: FrameLayout,
  at: FrameAccess & { readonly sites: number; readonly pc: number },
  output: Output,
): void {
  const [first, ...more] = chunksOf(layout, output)
  const take = (slots: readonly Slot[]): void => {
    for (const slot of slots.toReversed()) w.op(OP.localSet).u32(at.localOf(slot))
  }
  w.op(OP.i32Const).s33(at.ordinal).op(OP.i32Const).s33(at.sites)
  w.op(OP.call)
    .u32(output.accessor('restore', first.types, layout.size))
    .op(OP.localSet)
    .u32(at.pc)
  take(first.slots)
  if (more.length > 0) w.op(OP.localSet).u32(at.frame)
  for (const { slots, types, offset } of more) {
    emitAddress(w, at.frame, offset)
    w.op(OP.call).u32(output.accessor('load', types, 0))
    take(slots)
  }
}

function emitAddress(w: ByteWriter, frame: number, offset: number): void {
  w.op(OP.localGet).u32(frame)
  if (offset > 0) w.op(OP.i32Const).s33(offset).op(OP.i32Add)
}
