// Value types in the binary format. Those of more than one byte are refused: whoever reads on would be out of step.
import { CodedError } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import type { ByteReader } from './byte-reader.ts'
import { EMPTY_BLOCK, TYPE } from './opcodes.ts'

const KNOWN: ReadonlySet<number> = new Set(Object.values(TYPE))

/** The first and the last of the abstract heap types, `exn` and `noexn`: all that `ref.null` can name by one byte. */
const HEAP_TYPES = { first: TYPE.exnref, last: 0x74 } as const

/** One of `TYPE`. Throws `CELL_UNSUPPORTED_OPCODE` for any other, with `functionIndex` (-1 outside functions). */
export function readValueType(reader: ByteReader, functionIndex = -1): number {
  const type = reader.u8()
  if (KNOWN.has(type)) return type
  throw unsupportedType(type, functionIndex, reader.at - 1)
}

/**
 * A block type as a signed number: a type index, or below zero the byte of `EMPTY_BLOCK` or of one of `TYPE`, less 128.
 * Throws as `readValueType`.
 */
export function readBlockType(reader: ByteReader, functionIndex: number): number {
  const start = reader.at
  const type = reader.s33()
  if (type >= 0 || type === EMPTY_BLOCK - 128 || KNOWN.has(type + 128)) return type
  throw unsupportedType(type & 127, functionIndex, start)
}

/** What `ref.null` names, as a block type has it: an abstract heap type. Throws as `readValueType`. */
export function readHeapType(reader: ByteReader, functionIndex: number): number {
  const start = reader.at
  const type = reader.s33()
  if (type + 128 >= HEAP_TYPES.first && type + 128 <= HEAP_TYPES.last) return type
  throw unsupportedType(type < 0 ? type & 127 : type, functionIndex, start)
}

/** `type` is its first byte, or its index. */
export function unsupportedType(type: number, functionIndex: number, offset: number): CodedError<CellErrorCode> {
  const op = `type 0x${type.toString(16)}`
  const whose = functionIndex < 0 ? 'The module declares' : `Function ${functionIndex} uses`
  return new CodedError(
    'CELL_UNSUPPORTED_OPCODE',
    `${whose} ${op} (garbage collection or typed function references): compile it without, or run it where it starts with --migratable=false.`,
    { facts: { op, function: functionIndex, offset } },
  )
}
