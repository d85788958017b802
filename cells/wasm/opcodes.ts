// The instruction set as data: names of the opcodes that are treated one by one, immediates, and stack effects.
// Source: WebAssembly core specification 3.0, appendix "Index of Instructions"; legacy exceptions: the archived proposal.

/** Value types by their byte. */
export const TYPE = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
  funcref: 0x70,
  externref: 0x6f,
  exnref: 0x69,
} as const

const NULL_OF: ReadonlyMap<number, number> = new Map([
  [0x72, TYPE.externref],
  [0x73, TYPE.funcref],
  [0x74, TYPE.exnref],
])

/** What `ref.null` pushes for a heap type as its reader gives it: a bottom type as that of `TYPE` which takes it. */
export function typeOfNull(heapType: number): number {
  return NULL_OF.get(heapType + 128) ?? heapType + 128
}

/** Block type of a block without parameters and results. */
export const EMPTY_BLOCK = 0x40

/** A prefixed instruction is numbered `prefix << 16 | number`. */
export const PREFIX_FC = 0xfc0000
export const PREFIX_FD = 0xfd0000

export const OP = {
  unreachable: 0x00,
  nop: 0x01,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  try: 0x06,
  catch: 0x07,
  throw: 0x08,
  rethrow: 0x09,
  throwRef: 0x0a,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  brTable: 0x0e,
  return: 0x0f,
  call: 0x10,
  callIndirect: 0x11,
  returnCall: 0x12,
  returnCallIndirect: 0x13,
  callRef: 0x14,
  returnCallRef: 0x15,
  delegate: 0x18,
  catchAll: 0x19,
  drop: 0x1a,
  select: 0x1b,
  selectTyped: 0x1c,
  tryTable: 0x1f,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  tableGet: 0x25,
  tableSet: 0x26,
  i32Load8U: 0x2d,
  i32Store8: 0x3a,
  memorySize: 0x3f,
  memoryGrow: 0x40,
  i32Const: 0x41,
  i64Const: 0x42,
  f32Const: 0x43,
  f64Const: 0x44,
  i32Eqz: 0x45,
  i32Eq: 0x46,
  i32Ne: 0x47,
  i32LtS: 0x48,
  i32LtU: 0x49,
  i32GtU: 0x4b,
  i32LeU: 0x4d,
  i32GeU: 0x4f,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32Shl: 0x74,
  i32ShrU: 0x76,
  refNull: 0xd0,
  refIsNull: 0xd1,
  refFunc: 0xd2,
  memoryInit: PREFIX_FC | 8,
  dataDrop: PREFIX_FC | 9,
  memoryCopy: PREFIX_FC | 10,
  memoryFill: PREFIX_FC | 11,
  tableInit: PREFIX_FC | 12,
  elemDrop: PREFIX_FC | 13,
  tableCopy: PREFIX_FC | 14,
  tableGrow: PREFIX_FC | 15,
  tableSize: PREFIX_FC | 16,
  tableFill: PREFIX_FC | 17,
} as const

/** What follows an opcode. `lane` is one byte, `v128` sixteen. */
export type Immediate =
  | 'none'
  | 'block'
  | 'heap-type'
  | 'index'
  | 'two-indices'
  | 'leb'
  | 'f32'
  | 'f64'
  | 'v128'
  | 'types'
  | 'table'
  | 'block-catches'
  | 'memarg'
  | 'memarg-lane'
  | 'lane'

/** Operands taken and type pushed (0: none) of an instruction whose effect depends on nothing but its opcode. */
export interface Effect {
  readonly immediate: Immediate
  readonly pops: number
  readonly push: number
}

const one: (Effect | undefined)[] = new Array(256)
const misc: (Effect | undefined)[] = new Array(32)
const simd: (Effect | undefined)[] = new Array(288)

function fill(
  table: (Effect | undefined)[],
  from: number,
  to: number,
  pops: number,
  push: number,
  immediate: Immediate = 'none',
): void {
  for (let op = from; op <= to; op++) table[op] = { immediate, pops, push }
}

const { i32, i64, f32, f64, v128 } = TYPE

/** Instructions whose effect needs the module or the context: only the immediate is told here. */
function contextual(immediate: Immediate, ...ops: readonly number[]): void {
  for (const op of ops) (op >= PREFIX_FC ? misc : one)[op & 0xffff] = { immediate, pops: 0, push: 0 }
}
contextual('none', OP.unreachable, OP.nop, OP.else, OP.end, OP.return, OP.throwRef, OP.catchAll)
contextual('none', OP.drop, OP.select, OP.refIsNull)
contextual('block', OP.block, OP.loop, OP.if, OP.try)
contextual('block-catches', OP.tryTable)
contextual('index', OP.catch, OP.throw, OP.rethrow, OP.delegate, OP.br, OP.brIf, OP.call, OP.returnCall)
contextual('index', OP.localGet, OP.localSet, OP.localTee, OP.globalGet, OP.globalSet, OP.refFunc)
contextual('index', OP.tableGet, OP.tableSet)
contextual('two-indices', OP.callIndirect, OP.returnCallIndirect)
contextual('types', OP.selectTyped)
contextual('table', OP.brTable)
contextual('heap-type', OP.refNull)

fill(one, OP.memorySize, OP.memorySize, 0, i32, 'index')
fill(one, OP.memoryGrow, OP.memoryGrow, 1, i32, 'index')
fill(one, OP.i32Const, OP.i32Const, 0, i32, 'leb')
fill(one, OP.i64Const, OP.i64Const, 0, i64, 'leb')
fill(one, OP.f32Const, OP.f32Const, 0, f32, 'f32')
fill(one, OP.f64Const, OP.f64Const, 0, f64, 'f64')
for (const [from, to, type] of [
  [0x28, 0x28, i32],
  [0x29, 0x29, i64],
  [0x2a, 0x2a, f32],
  [0x2b, 0x2b, f64],
  [0x2c, 0x2f, i32],
  [0x30, 0x35, i64],
] as const)
  fill(one, from, to, 1, type, 'memarg')
fill(one, 0x36, 0x3e, 2, 0, 'memarg')
fill(one, 0x45, 0x45, 1, i32)
fill(one, 0x46, 0x4f, 2, i32)
fill(one, 0x50, 0x50, 1, i32)
fill(one, 0x51, 0x66, 2, i32)
fill(one, 0x67, 0x69, 1, i32)
fill(one, 0x6a, 0x78, 2, i32)
fill(one, 0x79, 0x7b, 1, i64)
fill(one, 0x7c, 0x8a, 2, i64)
fill(one, 0x8b, 0x91, 1, f32)
fill(one, 0x92, 0x98, 2, f32)
fill(one, 0x99, 0x9f, 1, f64)
fill(one, 0xa0, 0xa6, 2, f64)
fill(one, 0xa7, 0xab, 1, i32)
fill(one, 0xac, 0xb1, 1, i64)
fill(one, 0xb2, 0xb6, 1, f32)
fill(one, 0xb7, 0xbb, 1, f64)
fill(one, 0xbc, 0xbc, 1, i32)
fill(one, 0xbd, 0xbd, 1, i64)
fill(one, 0xbe, 0xbe, 1, f32)
fill(one, 0xbf, 0xbf, 1, f64)
fill(one, 0xc0, 0xc1, 1, i32)
fill(one, 0xc2, 0xc4, 1, i64)

fill(misc, 0, 3, 1, i32)
fill(misc, 4, 7, 1, i64)
fill(misc, 8, 8, 3, 0, 'two-indices')
fill(misc, 9, 9, 0, 0, 'index')
fill(misc, 10, 10, 3, 0, 'two-indices')
fill(misc, 11, 11, 3, 0, 'index')
fill(misc, 12, 12, 3, 0, 'two-indices')
fill(misc, 13, 13, 0, 0, 'index')
fill(misc, 14, 14, 3, 0, 'two-indices')
fill(misc, 15, 15, 2, i32, 'index')
fill(misc, 16, 16, 0, i32, 'index')
fill(misc, 17, 17, 3, 0, 'index')

// SIMD: binary unless said otherwise below.
fill(simd, 14, 255, 2, v128)
for (const unused of [
  154, 162, 165, 166, 175, 176, 178, 179, 180, 187, 194, 197, 198, 207, 208, 210, 211, 212, 226, 238,
])
  simd[unused] = undefined
fill(simd, 0, 10, 1, v128, 'memarg')
fill(simd, 11, 11, 2, 0, 'memarg')
fill(simd, 12, 12, 0, v128, 'v128')
fill(simd, 13, 13, 2, v128, 'v128')
fill(simd, 15, 20, 1, v128)
for (const lane of [21, 22, 24, 25, 27]) fill(simd, lane, lane, 1, i32, 'lane')
fill(simd, 29, 29, 1, i64, 'lane')
fill(simd, 31, 31, 1, f32, 'lane')
fill(simd, 33, 33, 1, f64, 'lane')
for (const lane of [23, 26, 28, 30, 32, 34]) fill(simd, lane, lane, 2, v128, 'lane')
fill(simd, 82, 82, 3, v128)
for (const test of [83, 99, 100, 131, 132, 163, 164, 195, 196]) fill(simd, test, test, 1, i32)
fill(simd, 84, 87, 2, v128, 'memarg-lane')
fill(simd, 88, 91, 2, 0, 'memarg-lane')
fill(simd, 92, 93, 1, v128, 'memarg')
for (const [from, to] of [
  [77, 77],
  [94, 98],
  [103, 106],
  [116, 117],
  [122, 122],
  [124, 129],
  [135, 138],
  [148, 148],
  [160, 161],
  [167, 170],
  [192, 193],
  [199, 202],
  [224, 225],
  [227, 227],
  [236, 237],
  [239, 239],
  [248, 255],
] as const)
  fill(simd, from, to, 1, v128)
// Relaxed SIMD.
fill(simd, 256, 256, 2, v128)
fill(simd, 257, 260, 1, v128)
fill(simd, 261, 268, 3, v128)
fill(simd, 269, 274, 2, v128)
fill(simd, 275, 275, 3, v128)

/** Undefined for an opcode that this decoder does not know. */
export function effectOf(op: number): Effect | undefined {
  if (op < 256) return one[op]
  return (op >= PREFIX_FD ? simd : misc)[op & 0xffff]
}

/** True for the instructions after which nothing is reached. */
export function endsPath(op: number): boolean {
  return (
    op === OP.br ||
    op === OP.brTable ||
    op === OP.return ||
    op === OP.unreachable ||
    op === OP.throw ||
    op === OP.rethrow ||
    op === OP.throwRef ||
    op === OP.returnCall ||
    op === OP.returnCallIndirect
  )
}

export function opensBlock(op: number): boolean {
  return op === OP.block || op === OP.loop || op === OP.if || op === OP.try || op === OP.tryTable
}

/** True for the instructions behind which control arrives from elsewhere, as far as blocks go. */
export function closesArm(op: number): boolean {
  return op === OP.else || op === OP.end || op === OP.catch || op === OP.catchAll || op === OP.delegate
}
