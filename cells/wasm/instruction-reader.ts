// Steps through the instructions of a function body or a constant expression.
import { CodedError } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import { ByteReader, notWasm } from './byte-reader.ts'
import { type Effect, effectOf, PREFIX_FC, PREFIX_FD } from './opcodes.ts'
import { readBlockType, readHeapType, readValueType } from './value-type.ts'

export class InstructionReader extends ByteReader {
  /** Of the instruction that `next` passed: number, offset, and what its opcode alone tells. */
  op = 0
  start = 0
  effect: Effect = { immediate: 'none', pops: 0, push: 0 }
  /** Its index immediates, block type, or (`a`) number of labels of a `br_table`, without the default. */
  a = 0
  b = 0
  /** Named in refusals; -1 outside functions. */
  functionIndex = -1

  /** Offset of the instruction behind the current one is `at`. */
  next(): void {
    this.start = this.at
    const byte = this.u8()
    this.op = byte
    if (byte === 0xfc || byte === 0xfd) {
      const number = this.u32()
      if (number > 0xffff) throw notWasm('an unknown instruction', this.start)
      this.op = (byte === 0xfc ? PREFIX_FC : PREFIX_FD) | number
    }
    const effect = effectOf(this.op)
    if (effect === undefined) throw unknownInstruction(byte, this.op, this.functionIndex, this.start)
    this.effect = effect
    this.a = 0
    this.b = 0
    this.#immediate(effect)
  }

  #immediate(effect: Effect): void {
    switch (effect.immediate) {
      case 'none':
        return
      case 'index':
        this.a = this.u32()
        return
      case 'block':
        this.a = readBlockType(this, this.functionIndex)
        return
      case 'heap-type':
        this.a = readHeapType(this, this.functionIndex)
        return
      case 'two-indices':
        this.a = this.u32()
        this.b = this.u32()
        return
      case 'leb':
        this.skipLeb()
        return
      case 'f32':
        this.skip(4)
        return
      case 'f64':
        this.skip(8)
        return
      case 'v128':
        this.skip(16)
        return
      case 'lane':
        this.skip(1)
        return
      case 'memarg':
        this.#memarg()
        return
      case 'memarg-lane':
        this.#memarg()
        this.skip(1)
        return
      case 'types': {
        const count = this.u32()
        if (count !== 1) throw notWasm('a typed select with other than one type', this.start)
        this.a = readValueType(this, this.functionIndex)
        return
      }
      case 'block-catches': {
        this.a = readBlockType(this, this.functionIndex)
        for (let left = this.u32(); left > 0; left--) {
          const kind = this.u8()
          if (kind > 3) throw notWasm('an unknown catch clause', this.start)
          // Only two of the four kinds name a tag; all have a label.
          if (kind < 2) this.u32()
          this.u32()
        }
        return
      }
      case 'table': {
        this.a = this.u32()
        for (let i = 0; i <= this.a; i++) this.skipLeb()
      }
    }
  }

  #memarg(): void {
    // Bit 6 of the alignment says that a memory index follows (multi-memory).
    if (this.u32() & 64) this.skipLeb()
    this.skipLeb()
  }
}

function unknownInstruction(
  prefix: number,
  op: number,
  functionIndex: number,
  offset: number,
): CodedError<CellErrorCode> {
  if (prefix === 0xfe)
    return new CodedError(
      'CELL_THREADS_UNSUPPORTED',
      'The module uses atomic instructions: compile it for a single thread.',
      { facts: { function: functionIndex, offset } },
    )
  const name = `0x${(op > 255 ? (op >> 16) * 256 + (op & 0xffff) : op).toString(16)}`
  return new CodedError(
    'CELL_UNSUPPORTED_OPCODE',
    `The module uses instruction ${name}, which is not supported: compile it for WebAssembly 2.0 (no GC, no typed function references).`,
    { facts: { op: name, function: functionIndex, offset } },
  )
}
