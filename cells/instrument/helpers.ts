// The functions that every instrumented module gets: slow poll, room for frames, run, rewind, globals out and in.
import { ByteWriter } from '../wasm/byte-writer.ts'
import type { FunctionType } from '../wasm/module.ts'
import { EMPTY_BLOCK, OP, TYPE } from '../wasm/opcodes.ts'
import { ABI, FAULT, FRAME_BASE } from './abi.ts'
import { emitAccess, HEADER, HEADER_BYTES, valueBytes } from './frame.ts'
import { emitDelivery, emitTaking, exceptionHelpers, LANDED } from './landing.ts'
import type { Accessor, Output } from './output.ts'
import { bytesOf } from './slots.ts'

export interface Helper {
  /** Undefined when only the module itself calls it. */
  readonly exportName: string | undefined
  readonly type: FunctionType
  readonly body: Uint8Array
}

const { i32 } = TYPE

const OP_MEMORY_COPY = [0xfc, 10] as const

/** In the order of their indices, from `output.helpers.first`. */
export function helpersOf(output: Output): Helper[] {
  const none = { params: [], results: [] }
  const answer = { params: [], results: [i32] }
  return [
    { exportName: undefined, type: answer, body: slowPoll(output) },
    { exportName: undefined, type: { params: [i32, i32, i32], results: [i32] }, body: reserve(output) },
    { exportName: undefined, type: { params: [i32, i32, i32], results: [i32, i32] }, body: reopen(output) },
    { exportName: undefined, type: { params: [i32], results: [] }, body: room(output) },
    { exportName: undefined, type: { params: [i32], results: [] }, body: settle(output) },
    { exportName: undefined, type: none, body: fail(output, FAULT.malformed).op(OP.end).view() },
    ...output.groups.flatMap(({ results }) => [
      {
        exportName: undefined,
        type: { params: results, results: [] },
        body: emitDelivery(results, LANDED.results, output),
      },
      { exportName: undefined, type: { params: [], results: [...results, i32] }, body: emitTaking(results, output) },
    ]),
    ...exceptionHelpers(output),
    ...(output.use.catches ? [{ exportName: ABI.trap, type: none, body: trap() }] : []),
    { exportName: ABI.run, type: answer, body: run(output) },
    { exportName: ABI.rewind, type: answer, body: rewind(output) },
    { exportName: ABI.saveGlobals, type: answer, body: saveGlobals(output) },
    { exportName: ABI.loadGlobals, type: none, body: loadGlobals(output) },
    ...output.accessors.map((accessor) => accessorOf(accessor, output)),
  ]
}

/** Indices and types of the globals that belong to the program's state. */
export function savedGlobals(output: Output): { index: number; type: number }[] {
  const { module, use } = output
  const own = module.globals.flatMap(({ type, mutable }, index) => (mutable ? [{ index, type }] : []))
  return own.concat(use.dropped.map(({ op, segment }) => ({ index: output.droppedGlobal(op, segment), type: i32 })))
}

/** `() -> fuel`: calls out, and takes over what it is granted; throws the unwinding tag when told to. */
function slowPoll(output: Output): Uint8Array {
  const w = new ByteWriter().op(1, 1, i32)
  w.op(OP.call).u32(output.poll).op(OP.localTee, 0, OP.i32Const, 0, OP.i32LtS, OP.if, EMPTY_BLOCK)
  w.op(OP.throw).u32(output.tag).op(OP.end, OP.localGet, 0)
  return w.op(OP.globalSet).u32(output.globals.fuel).op(OP.localGet, 0, OP.end).view()
}

/** `(size, ordinal, site) -> address`: room for a frame at `top`, header written. */
function reserve(output: Output): Uint8Array {
  const { globals } = output
  const end = 3
  const w = new ByteWriter().op(1, 1, i32)
  w.op(OP.globalGet).u32(globals.top).op(OP.localGet, 0, OP.i32Add, OP.localTee, end)
  w.op(OP.call).u32(output.helpers.room)
  for (const [field, value] of [
    [HEADER.ordinal, 1],
    [HEADER.site, 2],
    [HEADER.size, 0],
  ] as const) {
    w.op(OP.localGet, end, OP.i32Const).s33(field).op(OP.i32Add, OP.localGet, value)
    emitAccess(w, 'store', i32, 0, output)
  }
  w.op(OP.globalGet).u32(globals.top)
  return w.op(OP.localGet, end, OP.globalSet).u32(globals.top).op(OP.end).view()
}

/** `(size, ordinal, sites) -> (address, site)`: takes the last frame, of that function with so many sites, off again. */
function reopen(output: Output): Uint8Array {
  const { globals, helpers } = output
  const [size, ordinal, sites, frame, site] = [0, 1, 2, 3, 4]
  const w = new ByteWriter().op(1, 2, i32)
  const header = (offset: number): void => {
    w.op(OP.globalGet).u32(globals.top).op(OP.i32Const).s33(offset).op(OP.i32Add)
    emitAccess(w, 'load', i32, 0, output)
  }
  // The size too: an unwinding goes from frame to frame by it.
  for (const [offset, expected] of [
    [HEADER.ordinal, ordinal],
    [HEADER.size, size],
  ] as const) {
    header(offset)
    w.op(OP.localGet, expected, OP.i32Ne, OP.if, EMPTY_BLOCK, OP.call).u32(helpers.malformed).op(OP.end)
  }
  header(HEADER.site)
  w.op(OP.localTee, site, OP.i32Const, 1, OP.i32Sub, OP.localGet, sites)
  w.op(OP.i32GeU, OP.if, EMPTY_BLOCK, OP.call).u32(helpers.malformed).op(OP.end)
  w.op(OP.globalGet).u32(globals.top).op(OP.localGet, size, OP.i32Sub, OP.localTee, frame)
  w.op(OP.globalSet).u32(globals.top)
  return w.op(OP.localGet, frame, OP.localGet, site, OP.end).view()
}

function accessorOf(accessor: Accessor, output: Output): Helper {
  const { kind, types, size } = accessor
  const w = new ByteWriter()
  // There is more in the frame than these values: whoever asks goes on with its address.
  const address = size > HEADER_BYTES + valueBytes(types, output) ? [i32] : []
  switch (kind) {
    case 'save': {
      const frame = types.length + 2
      w.op(1, 1, i32, OP.i32Const).s33(size).op(OP.localGet, 0, OP.localGet, 1, OP.call).u32(output.helpers.reserve)
      w.op(OP.localSet).u32(frame)
      emitValues(w, 'store', types, frame, 2, output)
      if (address.length > 0) w.op(OP.localGet).u32(frame)
      return helper([i32, i32, ...types], address, w)
    }
    case 'restore': {
      const [frame, site] = [2, 3]
      w.op(1, 2, i32, OP.i32Const).s33(size).op(OP.localGet, 0, OP.localGet, 1, OP.call).u32(output.helpers.reopen)
      w.op(OP.localSet, site, OP.localSet, frame)
      if (address.length > 0) w.op(OP.localGet, frame)
      emitValues(w, 'load', types, frame, 0, output)
      w.op(OP.localGet, site)
      return helper([i32, i32], [...address, ...types, i32], w)
    }
    default:
      emitValues(w.op(0), kind, types, 0, 1, output)
      return kind === 'store' ? helper([i32, ...types], [], w) : helper([i32], types, w)
  }
}

function helper(params: readonly number[], results: readonly number[], w: ByteWriter): Helper {
  return { exportName: undefined, type: { params: [...params], results: [...results] }, body: w.op(OP.end).view() }
}

/** Values one behind the other from the address in the local `frame` on; those to store are in the locals from `first` on. */
function emitValues(
  w: ByteWriter,
  kind: 'store' | 'load',
  types: readonly number[],
  frame: number,
  first: number,
  output: Output,
): void {
  let offset = 0
  for (const [k, type] of types.entries()) {
    w.op(OP.localGet).u32(frame)
    if (kind === 'store') w.op(OP.localGet).u32(first + k)
    emitAccess(w, kind, type, offset, output)
    offset += bytesOf(type, output)
  }
}

/** Declares nothing, notes the fault, and traps. */
function fail(output: Output, fault: number, w = new ByteWriter().op(0)): ByteWriter {
  return w.op(OP.i32Const, fault, OP.globalSet).u32(output.globals.fault).op(OP.unreachable)
}

/** `(end) -> ()`: the frame memory reaches to `end`; a fault when it cannot grow so far. */
function room(output: Output): Uint8Array {
  const { frameMemory } = output
  const w = new ByteWriter().op(0, OP.localGet, 0)
  w.op(OP.memorySize).u32(frameMemory).op(OP.i32Const, 16, OP.i32Shl, OP.i32GtU, OP.if, EMPTY_BLOCK)
  w.op(OP.localGet, 0, OP.i32Const).s33(65535).op(OP.i32Add, OP.i32Const, 16, OP.i32ShrU)
  w.op(OP.memorySize).u32(frameMemory).op(OP.i32Sub, OP.memoryGrow).u32(frameMemory)
  w.op(OP.i32Const).s33(-1).op(OP.i32Eq, OP.if, EMPTY_BLOCK)
  return fail(output, FAULT.tooDeep, w).op(OP.end, OP.end, OP.end).view()
}

/**
 * `(from) -> ()`: turns the order of the frames from `from` to `top`. Handlers write the deepest first; it must be last,
 * for it goes on first.
 */
function settle(output: Output): Uint8Array {
  const { frameMemory, globals } = output
  const [from, at, to, size] = [0, 1, 2, 3]
  const copy = [...OP_MEMORY_COPY, frameMemory, frameMemory]
  const w = new ByteWriter().op(1, 3, i32)
  w.op(OP.globalGet).u32(globals.top).op(OP.localTee, at, OP.localTee, to, OP.localGet, to, OP.localGet, from)
  w.op(OP.i32Sub, OP.i32Add, OP.call).u32(output.helpers.room)
  w.op(OP.loop, EMPTY_BLOCK)
  w.op(OP.localGet, to, OP.localGet, at, OP.localGet, at, OP.i32Const).s33(HEADER.size).op(OP.i32Add)
  emitAccess(w, 'load', i32, 0, output)
  w.op(OP.localTee, size, OP.i32Sub, OP.localTee, at, OP.localGet, size, ...copy)
  w.op(OP.localGet, to, OP.localGet, size, OP.i32Add, OP.localSet, to)
  w.op(OP.localGet, at, OP.localGet, from, OP.i32GtU, OP.brIf, 0, OP.end)
  w.op(OP.localGet, from).op(OP.globalGet).u32(globals.top).op(OP.localGet, to)
  w.op(OP.globalGet)
    .u32(globals.top)
    .op(OP.i32Sub, ...copy)
  return w.op(OP.end).view()
}

function trap(): Uint8Array {
  return new ByteWriter().op(0, OP.unreachable, OP.end).view()
}

/** Closes a `try` that leaves 0; on an unwinding it leaves 1, the frames from the local `base` on in their order. */
function emitUnwound(w: ByteWriter, base: number, output: Output): Uint8Array {
  w.op(OP.catch).u32(output.tag).op(OP.localGet, base, OP.call).u32(output.helpers.settle)
  return w.op(OP.i32Const, 1, OP.end, OP.end).view()
}

function run(output: Output): Uint8Array {
  const base = 0
  const w = new ByteWriter().op(1, 1, i32, OP.i32Const).s33(FRAME_BASE).op(OP.localSet, base)
  w.op(OP.try, i32, OP.call).u32(output.functionId(output.program.entry)).op(OP.i32Const, 0)
  return emitUnwound(w, base, output)
}

/**
 * Enters the frames one by one, the deepest first, each when the one before has returned: however deep the stack was, it
 * takes no room on the engine's.
 */
function rewind(output: Output): Uint8Array {
  const { globals, helpers } = output
  const ending = output.groups.find(({ results }) => results.length === 0)
  if (ending === undefined) return new ByteWriter().op(0, OP.unreachable, OP.end).view()
  const [base, ordinal] = [0, 1]
  const top = (w: ByteWriter): ByteWriter => w.op(OP.globalGet).u32(globals.top)
  const w = new ByteWriter().op(1, 2, i32, OP.try, i32, OP.loop, EMPTY_BLOCK)
  top(w).op(OP.i32Const).s33(FRAME_BASE).op(OP.i32LeU, OP.if, EMPTY_BLOCK, OP.call).u32(helpers.malformed).op(OP.end)
  top(w)
  for (const field of ['size', 'ordinal'] as const) {
    top(w).op(OP.i32Const).s33(HEADER[field]).op(OP.i32Add)
    emitAccess(w, 'load', i32, 0, output)
  }
  w.op(OP.localSet, ordinal, OP.i32Sub, OP.localSet, base, OP.block, EMPTY_BLOCK)
  const guarded = output.exceptionBytes > 0
  if (guarded) w.op(OP.try, EMPTY_BLOCK)
  for (const [k, { results, end }] of output.groups.entries()) {
    w.op(OP.block, EMPTY_BLOCK, OP.localGet, ordinal, OP.i32Const).s33(end).op(OP.i32GeU, OP.brIf, 0)
    w.op(OP.localGet, ordinal, OP.callIndirect).u32(output.typeId([], results)).u32(output.rewindTable)
    w.op(OP.call)
      .u32(output.deliver(k))
      .op(OP.br, guarded ? 2 : 1, OP.end)
  }
  w.op(OP.call).u32(helpers.malformed)
  // What the guest throws is kept for the caller like a result: it may catch it.
  if (guarded) {
    for (const tag of output.module.tags.keys()) w.op(OP.catch).u32(tag).op(OP.call).u32(output.thrown(tag))
    w.op(OP.end)
  }
  w.op(OP.end)
  top(w).op(OP.i32Const).s33(FRAME_BASE).op(OP.i32Ne, OP.brIf, 0, OP.end)
  // The last frame is that of the entry, or of what it left its place to by tail calls: either has no results.
  w.op(OP.localGet, ordinal, OP.i32Const).s33(ending.first).op(OP.i32Sub, OP.i32Const)
  w.s33(ending.end - ending.first)
    .op(OP.i32GeU, OP.if, EMPTY_BLOCK, OP.call)
    .u32(helpers.malformed)
    .op(OP.end)
  if (guarded) w.op(OP.call).u32(output.throwLanded)
  w.op(OP.i32Const, 0)
  return emitUnwound(w, base, output)
}

function saveGlobals(output: Output): Uint8Array {
  const { top } = output.globals
  const saved = savedGlobals(output)
  const size = saved.reduce((sum, { type }) => sum + bytesOf(type, output), 0)
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
    offset += bytesOf(type, output)
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
    offset += bytesOf(type, output)
  }
  for (const { op, segment } of output.use.dropped) {
    w.op(OP.globalGet).u32(output.droppedGlobal(op, segment)).op(OP.if, EMPTY_BLOCK)
    w.op(0xfc, op & 0xff)
      .u32(segment)
      .op(OP.end)
  }
  return w.op(OP.end).view()
}
