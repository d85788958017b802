// What a function leaves for a caller that is yet to be entered, below the frames: its results, or what it threw.
// And how exceptions are taken apart and put together again, for frames.
import { ByteWriter } from '../wasm/byte-writer.ts'
import type { FunctionType } from '../wasm/module.ts'
import { EMPTY_BLOCK, OP, TYPE } from '../wasm/opcodes.ts'
import { FRAME_BASE } from './abi.ts'
import { emitAccess } from './frame.ts'
import { CATCH } from './function-code.ts'
import type { Output } from './output.ts'
import { unsupported } from './refusals.ts'
import { bytesOf, TAG_BYTES } from './slots.ts'

/** The values of the global `landed`; from `thrown` on by tag. */
export const LANDED = { nothing: 0, results: 1, thrown: 2 } as const

const { i32, exnref } = TYPE

/** `(...values) -> ()`: leaves them, and `landed` as it says. */
export function emitDelivery(values: readonly number[], landed: number, output: Output): Uint8Array {
  const bytes = values.reduce((sum, type) => sum + bytesOf(type, output), 0)
  if (bytes > FRAME_BASE) throw unsupported(`${values.length} results`, -1, -1)
  const w = new ByteWriter().op(0)
  let offset = 0
  for (const [k, type] of values.entries()) {
    w.op(OP.i32Const, 0, OP.localGet).u32(k)
    emitAccess(w, 'store', type, offset, output)
    offset += bytesOf(type, output)
  }
  return w.op(OP.i32Const).s33(landed).op(OP.globalSet).u32(output.globals.landed).op(OP.end).view()
}

/** `() -> (...results, 0)`: throws what the callee threw; a fault when nothing was left. */
export function emitTaking(results: readonly number[], output: Output): Uint8Array {
  const { globals, helpers } = output
  const w = new ByteWriter().op(0, OP.globalGet).u32(globals.landed)
  w.op(OP.i32Eqz, OP.if, EMPTY_BLOCK, OP.call).u32(helpers.malformed).op(OP.end)
  if (output.exceptionBytes > 0) w.op(OP.call).u32(output.throwLanded)
  w.op(OP.i32Const, LANDED.nothing, OP.globalSet).u32(globals.landed)
  emitLoads(w, results, (offset) => w.op(OP.i32Const).s33(offset), output)
  return w.op(OP.i32Const, 0, OP.end).view()
}

function emitLoads(w: ByteWriter, types: readonly number[], address: (offset: number) => void, output: Output): void {
  let offset = 0
  for (const type of types) {
    address(offset)
    emitAccess(w, 'load', type, 0, output)
    offset += bytesOf(type, output)
  }
}

/** In the order of `output.thrown`, `throwLanded`, `saveException`, `loadException`; none without tags. */
export function exceptionHelpers(output: Output): { exportName: undefined; type: FunctionType; body: Uint8Array }[] {
  const { tags } = output.module
  if (tags.length === 0) return []
  const helper = (params: readonly number[], results: readonly number[], body: Uint8Array) => {
    return { exportName: undefined, type: { params, results }, body }
  }
  const thrown = tags.map((_, tag) => {
    const params = output.tagParams(tag)
    return helper(params, [], emitDelivery(params, LANDED.thrown + tag, output))
  })
  const frames = output.use.exceptionReferences
    ? [helper([i32, exnref, i32], [], saveException(output)), helper([i32], [exnref], loadException(output))]
    : []
  return [...thrown, helper([], [], throwLanded(output)), ...frames]
}

/** `() -> ()`: throws what was thrown last, when that is what landed. */
function throwLanded(output: Output): Uint8Array {
  const { landed } = output.globals
  const w = new ByteWriter().op(0)
  for (const tag of output.module.tags.keys()) {
    w.op(OP.globalGet)
      .u32(landed)
      .op(OP.i32Const)
      .s33(LANDED.thrown + tag)
      .op(OP.i32Eq, OP.if, EMPTY_BLOCK)
    w.op(OP.i32Const, LANDED.nothing, OP.globalSet).u32(landed)
    emitLoads(w, output.tagParams(tag), (offset) => w.op(OP.i32Const).s33(offset), output)
    w.op(OP.throw).u32(tag).op(OP.end)
  }
  return w.op(OP.end).view()
}

/** `(address, exception, offset) -> ()`: writes its tag and what it carries, found by throwing it. */
function saveException(output: Output): Uint8Array {
  const [address, exception, offset] = [0, 1, 2]
  const w = new ByteWriter()
  const locals: number[] = []
  const local = (type: number): number => 2 + locals.push(type)
  w.op(OP.localGet, address, OP.localGet, offset, OP.i32Add, OP.localTee, address, OP.i32Const, 0)
  emitAccess(w, 'store', i32, 0, output)
  w.op(OP.localGet, exception, OP.refIsNull, OP.if, EMPTY_BLOCK, OP.return, OP.end)
  for (const tag of output.module.tags.keys()) {
    const params = output.tagParams(tag)
    w.op(OP.block, EMPTY_BLOCK, OP.block)
    output.blockType(w, [], params)
    w.op(OP.tryTable, EMPTY_BLOCK, 2, CATCH.one).u32(tag).op(0, CATCH.all, 1)
    w.op(OP.localGet, exception, OP.throwRef, OP.end, OP.unreachable, OP.end)
    const values = params.map(local)
    for (const value of values.toReversed()) w.op(OP.localSet).u32(value)
    w.op(OP.localGet, address, OP.i32Const).s33(tag + 1)
    emitAccess(w, 'store', i32, 0, output)
    let at = TAG_BYTES
    for (const [k, value] of values.entries()) {
      const type = params[k] ?? 0
      w.op(OP.localGet, address, OP.localGet).u32(value)
      emitAccess(w, 'store', type, at, output)
      at += bytesOf(type, output)
    }
    w.op(OP.return, OP.end)
  }
  const head = new ByteWriter().u32(locals.length)
  for (const type of locals) head.op(1, type)
  return head.bytes(w.view()).op(OP.unreachable, OP.end).view()
}

/** `(address) -> exception`: throws one like it, and catches that. */
function loadException(output: Output): Uint8Array {
  const address = 0
  const w = new ByteWriter().op(0, OP.block, exnref, OP.tryTable, EMPTY_BLOCK, 1, CATCH.allRef, 0)
  for (const tag of output.module.tags.keys()) {
    w.op(OP.localGet, address)
    emitAccess(w, 'load', i32, 0, output)
    w.op(OP.i32Const)
      .s33(tag + 1)
      .op(OP.i32Eq, OP.if, EMPTY_BLOCK)
    const from = (offset: number): void =>
      void w
        .op(OP.localGet, address, OP.i32Const)
        .s33(TAG_BYTES + offset)
        .op(OP.i32Add)
    emitLoads(w, output.tagParams(tag), from, output)
    w.op(OP.throw).u32(tag).op(OP.end)
  }
  return w.op(OP.end, OP.refNull, exnref, OP.end, OP.end).view()
}
