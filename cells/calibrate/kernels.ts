// Six tiny WASI commands, assembled here, each a kind of work that hosts differ in. A kernel is a function that is
// called many times from `_start`, so that the engine optimises it as it would a program's hot function.
import { concat, utf8 } from '../../core/bytes.ts'

export interface Kernel {
  readonly name: string
  readonly module: Uint8Array
}

const I32 = 0x7f
const I64 = 0x7e
const F64 = 0x7c

/** Opcodes of the WebAssembly core specification, 5.4, as far as they are used here. */
const op = {
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  brIf: 0x0d,
  call: 0x10,
  drop: 0x1a,
  get: 0x20,
  set: 0x21,
  tee: 0x22,
  i64Load: 0x29,
  i64Store: 0x37,
  i32Const: 0x41,
  i64Const: 0x42,
  f64Const: 0x44,
  i32LtS: 0x48,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32Mul: 0x6c,
  i32And: 0x71,
  i32Xor: 0x73,
  i32Shl: 0x74,
  i32ShrU: 0x76,
  i64Add: 0x7c,
  i64Mul: 0x7e,
  i64Xor: 0x85,
  i64Rotl: 0x89,
  f64Sqrt: 0x9f,
  f64Add: 0xa0,
  f64Mul: 0xa2,
  f64Div: 0xa3,
  i64ExtendI32U: 0xad,
} as const

const VOID = 0x40

/** Signed LEB128; non-negative values below 64 read the same unsigned. */
function leb(value: bigint | number): number[] {
  const out: number[] = []
  for (let rest = BigInt(value); ; ) {
    const low = Number(rest & 0x7fn)
    rest >>= 7n
    if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) return [...out, low]
    out.push(low | 0x80)
  }
}

function size(length: number): number[] {
  return length < 128 ? [length] : [(length & 0x7f) | 0x80, ...size(length >>> 7)]
}

const i32 = (value: number): number[] => [op.i32Const, ...leb(value)]
const i64 = (value: bigint): number[] => [op.i64Const, ...leb(value)]
const f64 = (value: number): number[] => [op.f64Const, ...new Uint8Array(Float64Array.of(value).buffer)]
const get = (local: number): number[] => [op.get, local]
const set = (local: number): number[] => [op.set, local]

/** `for (counter = 0; counter < turns; counter += step) body` */
function repeat(counter: number, turns: number, step: number, body: readonly number[]): number[] {
  const next = [...get(counter), ...i32(step), op.i32Add, op.tee, counter, ...i32(turns), op.i32LtS]
  return [...i32(0), ...set(counter), op.loop, VOID, ...body, ...next, op.brIf, 0, op.end]
}

const vector = (items: readonly (readonly number[])[]): number[] => [...size(items.length), ...items.flat()]
const section = (id: number, content: readonly number[]): number[] => [id, ...size(content.length), ...content]
const named = (name: string, kind: number, index: number): number[] => [
  ...size(name.length),
  ...utf8(name),
  kind,
  index,
]

/** A command whose `_start` calls function 1 `calls` times. `locals` and `body` are of that function: (i32) -> i32. */
function command(calls: number, argument: number, locals: readonly number[], body: readonly number[]): Uint8Array {
  const code = (types: readonly number[], instructions: readonly number[]): number[] => {
    const bytes = [...vector(types.map((type) => [1, type])), ...instructions, op.end]
    return [...size(bytes.length), ...bytes]
  }
  const start = repeat(0, calls, 1, [...i32(argument), op.call, 1, op.drop])
  const types = vector([
    [0x60, 0, 0],
    [0x60, 1, I32, 1, I32],
  ])
  return concat([
    Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0),
    Uint8Array.from(section(1, types)),
    Uint8Array.from(section(3, vector([[0], [1]]))),
    // One memory of 17 pages: the stream kernel walks the first MiB.
    Uint8Array.from(section(5, vector([[0, 17]]))),
    Uint8Array.from(section(7, vector([named('memory', 2, 0), named('_start', 0, 0)]))),
    Uint8Array.from(section(10, vector([code([I32], start), code(locals, body)]))),
  ])
}

// Locals of the functions below: 0 is the argument, 1 the counter, 2 the accumulator.
const integer = [
  ...repeat(1, 20_000, 1, [...get(2), ...i32(1_664_525), op.i32Mul, ...i32(1_013_904_223), op.i32Add, ...set(2)]),
  ...get(2),
]
const float = [
  ...repeat(1, 10_000, 1, [
    ...[...get(2), ...f64(1.000001), op.f64Mul, ...f64(0.5), op.f64Add, op.f64Sqrt, ...f64(3), op.f64Div, ...set(2)],
  ]),
  ...get(1),
]
const stream = [
  ...repeat(1, 1 << 20, 8, [...get(1), ...get(1), op.i64Load, 3, 0, ...i64(1n), op.i64Add, op.i64Store, 3, 0]),
  ...get(1),
]
const fibonacci = [
  ...[...get(0), ...i32(2), op.i32LtS, op.if, I32, ...get(0), op.else],
  ...[...get(0), ...i32(1), op.i32Sub, op.call, 1, ...get(0), ...i32(2), op.i32Sub, op.call, 1, op.i32Add, op.end],
]
const hash = [
  ...repeat(1, 20_000, 1, [
    ...[...get(2), ...get(1), op.i64ExtendI32U, op.i64Xor, ...i64(1_099_511_628_211n), op.i64Mul],
    ...[...i64(29n), op.i64Rotl, ...set(2)],
  ]),
  ...get(1),
]
/** xorshift32 (Marsaglia 2003) decides between two ways that the predictor cannot guess. */
const branchy = [
  ...i32(2_463_534_242 | 0),
  ...set(2),
  ...repeat(1, 10_000, 1, [
    ...[...get(2), ...get(2), ...i32(13), op.i32Shl, op.i32Xor, ...set(2)],
    ...[...get(2), ...get(2), ...i32(17), op.i32ShrU, op.i32Xor, ...set(2)],
    ...[...get(2), ...get(2), ...i32(5), op.i32Shl, op.i32Xor, ...set(2)],
    ...[...get(2), ...i32(1), op.i32And, op.if, VOID, ...get(3), ...i32(3), op.i32Mul, ...i32(1), op.i32Add, ...set(3)],
    ...[op.else, ...get(3), ...i32(1), op.i32ShrU, ...set(3), op.end],
  ]),
  ...get(3),
]

/** Sized for 40 to 80 ms each on a core of 2020: long enough for a throttled cell to show its share. */
export const KERNELS: readonly Kernel[] = [
  { name: 'integer', module: command(1_500, 0, [I32, I32], integer) },
  { name: 'float', module: command(500, 0, [I32, F64], float) },
  { name: 'stream', module: command(450, 0, [I32], stream) },
  { name: 'calls', module: command(200, 24, [], fibonacci) },
  { name: 'hash', module: command(1_500, 0, [I32, I64], hash) },
  { name: 'branches', module: command(2_400, 0, [I32, I32, I32], branchy) },
]
