// What can be said of a module before anything runs: the input of placement and of the predictor.
import { sha256Hex } from '../../core/bytes.ts'
import type { ModuleFacts } from '../types.ts'
import { notWasm } from '../wasm/byte-reader.ts'
import { decodeModule } from '../wasm/module.ts'
import { OP, PREFIX_FC, PREFIX_FD } from '../wasm/opcodes.ts'
import { isValidModule } from '../wasm/validate.ts'
import { refuseModule } from './refusals.ts'
import { scanFunction } from './scan.ts'
import { programOf } from './source.ts'

/** Names of the columns of `ModuleFacts.opcodeFeatures`. Append only: models are trained on the order. */
export const FEATURE_CLASSES: readonly string[] = [
  'i32-arith',
  'i32-muldiv',
  'i64-arith',
  'i64-muldiv',
  'f32',
  'f64',
  'load-8-16',
  'load-32',
  'load-64',
  'store',
  'call',
  'call-indirect',
  'branch',
  'branch-table',
  'loop',
  'local',
  'global',
  'const',
  'conversion',
  'comparison',
  'select',
  'simd',
  'bulk-memory',
  'memory-grow',
]

/** First opcode, last opcode, class. */
const CLASSES: readonly (readonly [number, number, string])[] = [
  [OP.loop, OP.loop, 'loop'],
  [OP.if, OP.if, 'branch'],
  [OP.br, OP.brIf, 'branch'],
  [OP.brTable, OP.brTable, 'branch-table'],
  [OP.return, OP.return, 'branch'],
  [OP.call, OP.call, 'call'],
  [OP.callIndirect, OP.callIndirect, 'call-indirect'],
  [OP.select, OP.selectTyped, 'select'],
  [OP.localGet, OP.localTee, 'local'],
  [OP.globalGet, OP.globalSet, 'global'],
  [0x28, 0x28, 'load-32'],
  [0x29, 0x29, 'load-64'],
  [0x2a, 0x2a, 'load-32'],
  [0x2b, 0x2b, 'load-64'],
  [0x2c, 0x33, 'load-8-16'],
  [0x34, 0x35, 'load-32'],
  [0x36, 0x3e, 'store'],
  [OP.memoryGrow, OP.memoryGrow, 'memory-grow'],
  [OP.i32Const, OP.f64Const, 'const'],
  [0x45, 0x66, 'comparison'],
  [0x67, 0x6b, 'i32-arith'],
  [0x6c, 0x70, 'i32-muldiv'],
  [0x71, 0x78, 'i32-arith'],
  [0x79, 0x7d, 'i64-arith'],
  [0x7e, 0x82, 'i64-muldiv'],
  [0x83, 0x8a, 'i64-arith'],
  [0x8b, 0x98, 'f32'],
  [0x99, 0xa6, 'f64'],
  [0xa7, 0xc4, 'conversion'],
]

const NOT_COUNTED = FEATURE_CLASSES.length
const classOfByte = new Uint8Array(256).fill(NOT_COUNTED)
for (const [from, to, name] of CLASSES) classOfByte.fill(FEATURE_CLASSES.indexOf(name), from, to + 1)
const CONVERSION = FEATURE_CLASSES.indexOf('conversion')
const BULK = FEATURE_CLASSES.indexOf('bulk-memory')
const SIMD = FEATURE_CLASSES.indexOf('simd')

function classOf(op: number): number {
  if (op < 256) return classOfByte[op] ?? NOT_COUNTED
  if (op >= PREFIX_FD) return SIMD
  return op < (PREFIX_FC | 8) ? CONVERSION : BULK
}

/**
 * What can be said of a program that is not instrumented: as `inspectModule` where that can read it, else its size and its
 * imports. Throws `CELL_NOT_WASM` for what is neither a module nor, in the WEBC format, a Wasmer package.
 */
export function describeModule(bytes: Uint8Array): ModuleFacts {
  const isModule = isValidModule(bytes)
  if (!isModule && !isPackage(bytes)) throw notWasm('it is neither a module nor a WEBC package', 0)
  try {
    return inspectModule(bytes)
  } catch {
    return {
      hash: sha256Hex(bytes),
      bytes: bytes.length,
      functions: 0,
      memoryPages: { initial: 0 },
      imports: isModule ? WebAssembly.Module.imports(new WebAssembly.Module(bytes)).map(({ name }) => name) : [],
      opcodeFeatures: FEATURE_CLASSES.map(() => 0),
    }
  }
}

/** In Wasmer's container format, https://github.com/wasmerio/pirita: it begins with a NUL byte and `webc`. */
export function isPackage(bytes: Uint8Array): boolean {
  return [0, 0x77, 0x65, 0x62, 0x63].every((byte, at) => bytes[at] === byte)
}

/** Validates and describes; throws the refusals that do not depend on limits or on which functions may be suspended. */
export function inspectModule(bytes: Uint8Array): ModuleFacts {
  const module = decodeModule(bytes)
  refuseModule(module)
  const counts = new Float64Array(FEATURE_CLASSES.length + 1)
  const program = programOf(module)
  for (const source of program.functions.slice(0, module.bodies.length))
    scanFunction(source, program, (op) => {
      const column = classOf(op)
      counts[column] = (counts[column] ?? 0) + 1
    })
  const { memories } = module
  const maxima = memories.flatMap(({ maximum }) => (maximum === undefined ? [] : [maximum]))
  return {
    hash: sha256Hex(bytes),
    bytes: bytes.length,
    functions: module.bodies.length,
    memoryPages: {
      initial: memories.reduce((sum, { minimum }) => sum + minimum, 0),
      ...(maxima.length === 0 || maxima.length < memories.length
        ? {}
        : { maximum: maxima.reduce((sum, one) => sum + one) }),
    },
    imports: module.imports.map((entry) => entry.name),
    opcodeFeatures: FEATURE_CLASSES.map((_, column) => Math.log1p(counts[column] ?? 0)),
  }
}
