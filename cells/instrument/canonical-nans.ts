// Makes a program's floats the same on every processor. The only thing that the specification leaves open about them is which NaN
// an operation gives (https://webassembly.github.io/spec/core/exec/numerics.html#nan-propagation): x86-64 gives negative ones,
// arm64 positive ones, and which operand's payload survives differs too. Here each becomes the canonical one, 0x7fc00000 or
// 0x7ff8000000000000.
import { ByteWriter } from '../wasm/byte-writer.ts'
import { decodeModule } from '../wasm/module.ts'
import { OP, PREFIX_FC, PREFIX_FD, TYPE } from '../wasm/opcodes.ts'
import { SECTION } from '../wasm/sections.ts'
import { join } from './assemble.ts'
import { MAX_BODY_BYTES, MAX_CODE_BYTES, MAX_LOCALS } from './engine-limits.ts'
import { relaxedSimd, unsupported } from './refusals.ts'
import { bodyWith, instructionsOf, localsOf } from './scan.ts'
import { programOf, type SourceFunction } from './source.ts'

/** Type of the result, and whose lanes it has. */
interface Result {
  readonly type: number
  /** Leaves 1, or all bits of a lane, where a value is itself. */
  readonly equal: readonly number[]
  readonly nan: readonly number[]
  /** Takes the value, the NaN, and what `equal` left. */
  readonly choose: readonly number[]
}

const NAN_32 = [0, 0, 0xc0, 0x7f]
const NAN_64 = [0, 0, 0, 0, 0, 0, 0xf8, 0x7f]
const BITSELECT = [0xfd, 0x52]
const vector = (nan: readonly number[]): number[] => [
  0xfd,
  0x0c,
  ...Array.from({ length: 16 / nan.length }, () => nan).flat(),
]

const F32: Result = { type: TYPE.f32, equal: [0x5b], nan: [OP.f32Const, ...NAN_32], choose: [OP.select] }
const F64: Result = { type: TYPE.f64, equal: [0x61], nan: [OP.f64Const, ...NAN_64], choose: [OP.select] }
const F32X4: Result = { type: TYPE.v128, equal: [0xfd, 0x41], nan: vector(NAN_32), choose: BITSELECT }
const F64X2: Result = { type: TYPE.v128, equal: [0xfd, 0x47], nan: vector(NAN_64), choose: BITSELECT }

/** What gives a NaN of its own choice: not `abs`, `neg`, `copysign`, `pmin`, `pmax`, which are operations on bits. */
const RESULTS = new Map<number, Result>()
/** What takes no notice of which NaN is on top of the stack: all of those, comparisons, and conversions to integers. */
const INDIFFERENT = new Set<number>()

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, k) => from + k)
}

for (const [result, ops] of [
  [F32, [...range(0x8d, 0x97), 0xb6]],
  [F64, [...range(0x9b, 0xa5), 0xbb]],
  [F32X4, [...range(0x67, 0x6a), 0xe3, ...range(0xe4, 0xe9), 0x5e].map((op) => PREFIX_FD | op)],
  [F64X2, [0x74, 0x75, 0x7a, 0x94, 0xef, ...range(0xf0, 0xf5), 0x5f].map((op) => PREFIX_FD | op)],
] as const)
  for (const op of ops) RESULTS.set(op, result)

for (const op of [...RESULTS.keys()].filter((op) => op < 256)) INDIFFERENT.add(op)
// Comparisons, truncations with traps and without.
for (const op of [...range(0x5b, 0x66), ...range(0xa8, 0xab), ...range(0xae, 0xb1)]) INDIFFERENT.add(op)
for (const op of range(0, 7)) INDIFFERENT.add(PREFIX_FC | op)

/** Relaxed SIMD: results that differ between processors, and not only in their NaNs. */
const FIRST_RELAXED = PREFIX_FD | 0x100

/**
 * The same program, each NaN that an operation makes being the canonical one; custom sections are left out. Throws as
 * `instrument` for what it cannot read, and `CELL_UNSUPPORTED_OPCODE` for relaxed SIMD.
 */
export function canonicalNans(bytes: Uint8Array): Uint8Array {
  const module = decodeModule(bytes)
  const { functions } = programOf(module)
  const code = new ByteWriter((module.sections.get(SECTION.code)?.end ?? 0) + 1024).u32(module.bodies.length)
  for (const source of functions.slice(0, module.bodies.length)) {
    const body = canonicalBody(source)
    code.u32(body.length).bytes(body)
    if (code.length > MAX_CODE_BYTES) throw unsupported('so much code', source.index, source.body.start)
  }
  return join(
    [...module.sections].map(([id, { start, end }]) => {
      return { id, content: id === SECTION.code ? code.view() : bytes.subarray(start, end) }
    }),
  )
}

function canonicalBody(source: SourceFunction): Uint8Array {
  const { groups } = localsOf(source)
  const { bytes, type } = source
  const first = groups.reduce((sum, { count }) => sum + count, type.params.length)
  const added: number[] = []
  const localFor = (type: number): number => {
    const known = added.indexOf(type)
    return first + (known >= 0 ? known : added.push(type) - 1)
  }
  const reader = instructionsOf(source)
  const w = new ByteWriter((source.body.end - source.body.start) * 2)
  let copied = reader.at
  /** Of the instruction before, where it is still to be seen whether anybody notices. */
  let pending: Result | undefined
  while (!reader.done) {
    reader.next()
    const { op } = reader
    if (op >= FIRST_RELAXED) throw relaxedSimd(source.index, reader.start)
    if (pending !== undefined && !INDIFFERENT.has(op)) {
      w.bytes(bytes, copied, reader.start)
      copied = reader.start
      const local = localFor(pending.type)
      w.op(OP.localTee)
        .u32(local)
        .op(...pending.nan)
        .op(OP.localGet)
        .u32(local)
        .op(OP.localGet)
        .u32(local)
      w.op(...pending.equal, ...pending.choose)
    }
    pending = RESULTS.get(op)
  }
  if (added.length === 0) return bytes.subarray(source.body.start, source.body.end)
  w.bytes(bytes, copied, source.body.end)
  if (first + added.length > MAX_LOCALS) throw unsupported('so many values', source.index, source.body.start)
  const body = bodyWith(groups, added, w.view())
  if (body.length > MAX_BODY_BYTES) throw unsupported('so much code', source.index, source.body.start)
  return body
}
