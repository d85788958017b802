// Stores of the tracking build: each also notes the page that it wrote to, a byte per page in a memory of its own.
// The note follows the store, so whatever traps has noted nothing, and nothing else can trap.
import { ByteReader } from '../wasm/byte-reader.ts'
import type { ByteWriter } from '../wasm/byte-writer.ts'
import { EMPTY_BLOCK, OP, TYPE } from '../wasm/opcodes.ts'
import { DIRTY_MAP_SHIFT, DIRTY_PAGE_SHIFT } from './abi.ts'
import type { Output } from './output.ts'
import { STORES } from './stores.ts'

/** Bit 6 of the alignment of a memory argument: a memory index follows. */
const HAS_MEMORY_INDEX = 64

/** Locals that a function gets for its notes at most: an address, a length, and a value of each type. */
export const MAX_BARRIER_LOCALS = 7
/** Bytes that a note takes at most. */
export const MAX_NOTE_BYTES = 80

export class StoreBarrier {
  readonly #output: Output
  readonly #w: ByteWriter
  readonly #addLocal: (type: number) => number
  /** Locals for moments, by position and type. */
  readonly #locals = new Map<string, number>()

  constructor(output: Output, w: ByteWriter, addLocal: (type: number) => number) {
    this.#output = output
    this.#w = w
    this.#addLocal = addLocal
  }

  /** Writes the instruction `op` that lies at `start..end` of `bytes`, with its note; `writesMemory(op)` holds. */
  emit(op: number, bytes: Uint8Array, start: number, end: number): void {
    const reader = new ByteReader(bytes, start, end)
    if (reader.u8() > 0xfb) reader.u32()
    const store = STORES.get(op)
    if (store === undefined) {
      // `memory.init` names its segment first; of two memories, `memory.copy` names the target's first.
      if (op === OP.memoryInit) reader.u32()
      this.#bulk(reader.u32(), bytes, start, end)
      return
    }
    const hasIndex = (reader.u32() & HAS_MEMORY_INDEX) !== 0
    const memory = hasIndex ? reader.u32() : 0
    this.#single(store, memory, reader.u32(), bytes.subarray(start, end))
  }

  #single(store: { bytes: number; type: number }, memory: number, offset: number, instruction: Uint8Array): void {
    const w = this.#w
    const address = this.#local(0, TYPE.i32)
    const value = this.#local(1, store.type)
    w.op(OP.localSet).u32(value).op(OP.localTee).u32(address).op(OP.localGet).u32(value).bytes(instruction)
    this.#note(address, offset, memory)
    // It may lie across two pages, whatever alignment it claims.
    if (store.bytes > 1) this.#note(address, offset + store.bytes - 1, memory)
  }

  /** Notes the page of `address + offset`, which lies in the memory, so the sum does not wrap. */
  #note(address: number, offset: number, memory: number): void {
    const w = this.#w.op(OP.localGet).u32(address)
    if (offset > 0)
      w.op(OP.i32Const)
        .s33(offset | 0)
        .op(OP.i32Add)
    w.op(OP.i32Const).s33(DIRTY_PAGE_SHIFT).op(OP.i32ShrU, OP.i32Const, 1, OP.i32Store8, HAS_MEMORY_INDEX)
    w.u32(this.#output.dirtyMemory).u32(memory << DIRTY_MAP_SHIFT)
  }

  #bulk(memory: number, bytes: Uint8Array, start: number, end: number): void {
    const w = this.#w
    const [to, other, length] = [this.#local(0, TYPE.i32), this.#local(1, TYPE.i32), this.#local(2, TYPE.i32)]
    w.op(OP.localSet).u32(length).op(OP.localSet).u32(other).op(OP.localTee).u32(to)
    w.op(OP.localGet).u32(other).op(OP.localGet).u32(length).bytes(bytes, start, end)
    w.op(OP.localGet).u32(length).op(OP.if, EMPTY_BLOCK)
    const shifted = (): ByteWriter => w.op(OP.i32Const).s33(DIRTY_PAGE_SHIFT).op(OP.i32ShrU)
    w.op(OP.localGet).u32(to)
    shifted().op(OP.localTee).u32(other)
    if (memory > 0)
      w.op(OP.i32Const)
        .s33(memory << DIRTY_MAP_SHIFT)
        .op(OP.i32Add)
    w.op(OP.i32Const, 1, OP.localGet).u32(to).op(OP.localGet).u32(length)
    w.op(OP.i32Add, OP.i32Const, 1, OP.i32Sub)
    shifted().op(OP.localGet).u32(other).op(OP.i32Sub, OP.i32Const, 1, OP.i32Add)
    w.op(0xfc, OP.memoryFill & 0xff)
      .u32(this.#output.dirtyMemory)
      .op(OP.end)
  }

  #local(position: number, type: number): number {
    const key = `${position}:${type}`
    const known = this.#locals.get(key)
    if (known !== undefined) return known
    const local = this.#addLocal(type)
    this.#locals.set(key, local)
    return local
  }
}
