// The functions that every instrumented module gets: slow poll, frame reservation, run, rewind, globals out and in.
import { ByteWriter } from '../wasm/byte-writer.ts'
import type { FunctionType } from '../wasm/module.ts'
import { EMPTY_BLOCK, OP, TYPE } from '../wasm/opcodes.ts'
import { ABI } from './abi.ts'
import { bytesOf, emitAccess, HEADER_BYTES } from './frame.ts'
import type { Output } from './output.ts'
import { isReference } from './refusals.ts'

export interface Helper {
  /** Undefined when only the module itself calls it. */
  readonly exportName: string | undefined
  readonly type: FunctionType
  readonly body: Uint8Array
}

const { i32 } = TYPE

/** In the order of their indices, from `output.helpers.first`. */
export function helpersOf(output: Output): Helper[] {
  const none = { params: [], results: [] }
  const answer = { params: [], results: [i32] }
  return [
    { exportName: undefined, type: { params: [i32], results: [i32] }, body: slowPoll(output) },
    { exportName: undefined, type: { params: [i32, i32, i32], results: [i32] }, body: reserve(output) },
    { exportName: ABI.run, type: answer, body: run(output) },
    { exportName: ABI.rewind, type: answer, body: rewind(output) },
    { exportName: ABI.saveGlobals, type: answer, body: saveGlobals(output) },
    { exportName: ABI.loadGlobals, type: none, body: loadGlobals(output) },
  ]
}

/** Indices and types of the globals that belong to the program's state. */
export function savedGlobals(output: Output): { index: number; type: number }[] {
  return output.module.globals.flatMap(({ type, mutable }, index) =>
    mutable && !isReference(type) ? [{ index, type }] : [],
  )
}

/** `(site) -> fuel`: calls out; throws the unwinding tag, with the site noted for `reserve`, when told to. */
function slowPoll(output: Output): Uint8Array {
  const w = new ByteWriter().op(1, 1, i32)
  w.op(OP.localGet, 0, OP.globalSet).u32(output.globals.site)
  w.op(OP.call).u32(output.poll).op(OP.localTee, 1, OP.i32Const, 0, OP.i32LtS, OP.if, EMPTY_BLOCK)
  w.op(OP.throw).u32(output.tag).op(OP.end)
  w.op(OP.i32Const, 0, OP.globalSet).u32(output.globals.site)
  return w.op(OP.localGet, 1, OP.end).view()
}

/**
 * `(size, ordinal, site) -> address`: room for a frame at `top`, header written. In the deepest frame the site is that
 * of the poll. Sets `overflow` and traps when the frame memory cannot grow.
 */
function reserve(output: Output): Uint8Array {
  const { globals, frameMemory } = output
  const end = 3
  const w = new ByteWriter().op(1, 1, i32)
  w.op(OP.globalGet).u32(globals.top).op(OP.localGet, 0, OP.i32Add, OP.localTee, end)
  w.op(OP.memorySize).u32(frameMemory).op(OP.i32Const, 16, OP.i32Shl, OP.i32GtU, OP.if, EMPTY_BLOCK)
  w.op(OP.localGet, end, OP.i32Const).s33(65535).op(OP.i32Add, OP.i32Const, 16, OP.i32ShrU)
  w.op(OP.memorySize).u32(frameMemory).op(OP.i32Sub, OP.memoryGrow).u32(frameMemory)
  w.op(OP.i32Const).s33(-1).op(OP.i32Eq, OP.if, EMPTY_BLOCK)
  w.op(OP.i32Const, 1, OP.globalSet).u32(globals.overflow).op(OP.unreachable, OP.end, OP.end)
  const header = (offset: number): ByteWriter =>
    w
      .op(OP.localGet, end, OP.i32Const)
      .s33(offset - HEADER_BYTES)
      .op(OP.i32Add)
  header(0).op(OP.localGet, 1)
  emitAccess(w, 'store', i32, 0, output)
  header(4).op(OP.globalGet).u32(globals.site).op(OP.localGet, 2).op(OP.globalGet).u32(globals.site).op(OP.select)
  emitAccess(w, 'store', i32, 0, output)
  w.op(OP.i32Const, 0, OP.globalSet).u32(globals.site)
  w.op(OP.globalGet).u32(globals.top)
  return w.op(OP.localGet, end, OP.globalSet).u32(globals.top).op(OP.end).view()
}

/** Calls `target`; 1 when it was unwound, 0 when it returned. */
function guarded(target: number, output: Output): Uint8Array {
  const w = new ByteWriter().op(0, OP.try, i32, OP.call).u32(target).op(OP.i32Const, 0)
  return w.op(OP.catch).u32(output.tag).op(OP.i32Const, 1, OP.end, OP.end).view()
}

function run(output: Output): Uint8Array {
  return guarded(output.functionId(output.program.entry), output)
}

function rewind(output: Output): Uint8Array {
  const { entry } = output.program
  if (output.ordinal(entry) === undefined) return new ByteWriter().op(0, OP.unreachable, OP.end).view()
  return guarded(output.rewindId(entry), output)
}

function saveGlobals(output: Output): Uint8Array {
  const { top } = output.globals
  const saved = savedGlobals(output)
  const size = saved.reduce((sum, { type }) => sum + bytesOf(type), 0)
  const w = new ByteWriter().op(1, 1, i32)
  // A frame that is given back at once: it only makes the room.
  w.op(OP.i32Const)
    .s33(size + HEADER_BYTES)
    .op(OP.i32Const, 0, OP.i32Const, 0, OP.call)
    .u32(output.helpers.reserve)
  w.op(OP.localTee, 0, OP.globalSet).u32(top)
  let offset = 0
  for (const { index, type } of saved) {
    w.op(OP.localGet, 0, OP.globalGet).u32(index)
    emitAccess(w, 'store', type, offset, output)
    offset += bytesOf(type)
  }
  return w.op(OP.i32Const).s33(size).op(OP.end).view()
}

function loadGlobals(output: Output): Uint8Array {
  const w = new ByteWriter().op(0)
  let offset = 0
  for (const { index, type } of savedGlobals(output)) {
    w.op(OP.globalGet).u32(output.globals.top)
    emitAccess(w, 'load', type, offset, output)
    w.op(OP.globalSet).u32(index)
    offset += bytesOf(type)
  }
  return w.op(OP.end).view()
}
