// Random structured programs: typed, always ending, with calls, blocks, loops and branches everywhere.

import { OP } from '../../cells/wasm/opcodes.ts'
import type { Random } from '../../core/random.ts'
import { type BodyParts, EXNREF, exceptionStatement, randomTags, type Tags } from './random-exceptions.ts'
import { asm, type Code, f32, f64, i32, i64, VOID, v128, WasmBuilder } from './wasm-builder.ts'

const TYPES = [i32, i32, i64, f32, f64, v128]
/** Loop turns and calls until the program gives up and returns. */
const GAS = 120

interface Signature {
  readonly params: readonly number[]
  readonly results: readonly number[]
}

const zero: Readonly<Record<number, Code>> = {
  [i32]: asm.i32(0),
  [i64]: asm.i64(0),
  [f32]: asm.f32(0),
  [f64]: asm.f64(0),
  [v128]: asm.v128(0),
  [EXNREF]: [OP.refNull, EXNREF],
}

/** Instructions from two operands of a type to one of the same: nothing that traps. */
const binary: Readonly<Record<number, readonly Code[]>> = {
  [i32]: [[OP.i32Add], [OP.i32Sub], [0x6c], [0x71], [0x73]],
  [i64]: [[0x7c], [0x7d], [0x7e], [0x85]],
  [f32]: [[0x92], [0x96], [0x98]],
  [f64]: [[0xa0], [0xa4], [0xa6]],
  [v128]: [
    [0xfd, 0xae, 1],
    [0xfd, 81],
  ],
}

/** From another type: source, instruction. */
const convert: Readonly<Record<number, readonly (readonly [number, Code])[]>> = {
  [i32]: [
    [i64, [0xa7]],
    [f32, [0xfc, 0]],
    [f64, [0xfc, 2]],
    [v128, [0xfd, 27, 2]],
  ],
  [i64]: [[i32, [0xac]]],
  [f32]: [[i32, [0xb2]]],
  [f64]: [[i32, [0xb7]]],
  [v128]: [
    [i32, [0xfd, 17]],
    [f64, [0xfd, 20]],
  ],
}

/** A program of a few functions that may all call each other; with `exceptions` they also throw, catch and tail-call. */
export function randomProgram(random: Random, exceptions = false): Uint8Array {
  const b = new WasmBuilder().memory({ min: 1, max: 4 })
  const memories = 1 + random.int(3)
  for (let k = 1; k < memories; k++) b.anotherMemory({ min: k, max: 4 })
  const trace = b.import('trace', [i32], [])
  const gas = b.global(i32, asm.i32(GAS))
  const kept = Object.fromEntries([i32, i64, f32, f64, v128].map((type) => [type, b.global(type, zero[type] ?? [])]))
  const tags = exceptions ? randomTags(b) : undefined
  const signatures: Signature[] = Array.from({ length: 2 + random.int(4) }, () => ({
    params: pickMany(random, 3),
    results: pickMany(random, 2),
  }))
  const first = b.nextFunction
  b.table(signatures.length).elements(
    0,
    signatures.map((_, i) => first + i),
  )
  for (const signature of signatures) {
    const locals = [...pickMany(random, 5), ...(exceptions ? [EXNREF] : [])]
    const body = new Body({ random, b, memories, trace, gas, kept, first, signatures, tags }, signature, locals)
    b.func({ ...signature, locals, code: body.code() })
  }
  const args = (signature: Signature): Code => signature.params.flatMap((type) => [...(zero[type] ?? [])])
  const starts = signatures.flatMap((signature, i) => {
    const call = [...args(signature), ...asm.call(first + i), ...signature.results.map(() => OP.drop)]
    return exceptions ? [...asm.try(VOID, call, [-1, [...asm.i32(-1), ...asm.call(trace)]])] : call
  })
  b.func({
    export: '_start',
    code: [...starts, ...storesOf(kept), ...asm.globalGet(gas), ...asm.call(trace)],
  })
  return b.build()
}

/** Writes the globals to memory, bit for bit. */
function storesOf(kept: Readonly<Record<number, number>>): Code {
  const stores: readonly (readonly [number, Code])[] = [
    [i32, asm.access(0x36, 0)],
    [i64, asm.access(0x37, 0)],
    [f32, asm.access(0x38, 0)],
    [f64, asm.access(0x39, 0)],
    [v128, asm.v128Store(0)],
  ]
  return stores.flatMap(([type, store], k) => [...asm.i32(1024 + 16 * k), ...asm.globalGet(kept[type] ?? 0), ...store])
}

function pickMany(random: Random, most: number): number[] {
  return Array.from({ length: random.int(most + 1) }, () => pick(random, TYPES))
}

function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.int(items.length)] as T
}

interface Program {
  readonly random: Random
  readonly b: WasmBuilder
  readonly memories: number
  readonly trace: number
  readonly gas: number
  /** A global of each type. */
  readonly kept: Readonly<Record<number, number>>
  readonly first: number
  readonly signatures: readonly Signature[]
  readonly tags: Tags | undefined
}

class Body {
  readonly #p: Program
  readonly #signature: Signature
  readonly #locals: readonly number[]
  /** What a branch to each open label carries, innermost last. */
  readonly #labels: (readonly number[])[]
  #size = 70

  constructor(program: Program, signature: Signature, locals: readonly number[]) {
    this.#p = program
    this.#signature = signature
    this.#locals = [...signature.params, ...locals]
    this.#labels = [signature.results]
  }

  code(): Code {
    return [
      ...this.#burn(),
      ...this.#statements(3),
      ...this.#signature.results.flatMap((type) => [...this.#value(type, 3)]),
    ]
  }

  /** Gives up once the gas is used: every loop and every function starts with it. */
  #burn(): Code {
    const { gas } = this.#p
    const defaults = this.#signature.results.flatMap((type) => [...(zero[type] ?? [])])
    return [
      ...asm.globalGet(gas),
      ...asm.i32(1),
      OP.i32Sub,
      ...asm.globalSet(gas),
      ...asm.globalGet(gas),
      ...asm.i32(0),
      OP.i32LtS,
      ...asm.if(VOID, [...defaults, OP.return]),
    ]
  }

  #statements(depth: number): Code {
    return Array.from({ length: 1 + this.#p.random.int(3) }, () => this.#statement(depth)).flat()
  }

  #statement(depth: number): Code {
    const { random, trace, kept } = this.#p
    if (depth === 0 || this.#size-- < 0) return [...this.#value(i32, 0), ...asm.call(trace)]
    const d = depth - 1
    if (this.#p.tags && random.int(3) === 0) return exceptionStatement(this.#parts(), this.#p.tags, d)
    switch (random.int(12)) {
      case 0: {
        const type = pick(random, TYPES)
        return [...this.#value(type, d), ...asm.globalSet(kept[type] ?? 0)]
      }
      case 1: {
        if (this.#locals.length === 0) return this.#statement(d)
        const local = random.int(this.#locals.length)
        return [...this.#value(this.#locals[local] ?? i32, d), ...asm.set(local)]
      }
      case 2:
        return [...this.#address(d), ...this.#value(i32, d), ...asm.access(0x36, random.int(64), this.#memory())]
      case 3:
        return asm.block(
          VOID,
          this.#within([], () => [...this.#statements(d), ...this.#branch(d), ...this.#statements(d)]),
        )
      case 4:
        return asm.loop(
          VOID,
          this.#within([], () => [...this.#burn(), ...this.#statements(d), ...this.#value(i32, d), ...asm.brIf(0)]),
        )
      case 5:
        return [
          ...this.#value(i32, d),
          ...asm.if(
            VOID,
            this.#within([], () => this.#statements(d)),
            random.int(2) ? this.#within([], () => this.#statements(d)) : undefined,
          ),
        ]
      case 6:
        return this.#branch(d)
      case 7:
        return this.#table(d)
      case 8:
        // What follows a branch is never reached, whatever it nests.
        return asm.block(
          VOID,
          this.#within([], () => [...asm.br(0), ...this.#statements(d), OP.unreachable]),
        )
      case 9:
        return [...asm.i32(random.int(2)), OP.memoryGrow, this.#memory(), ...asm.call(trace)]
      case 10:
        return [...this.#address(d), ...this.#address(d), ...asm.i32(random.int(64)), ...this.#bulk()]
      default:
        return this.#call(random.int(this.#p.signatures.length), d, true)
    }
  }

  #parts(): BodyParts {
    const { random, trace } = this.#p
    return {
      random,
      trace,
      exception: this.#locals.length - 1,
      depth: this.#labels.length,
      statements: (d) => this.#statements(d),
      value: (type, d) => this.#value(type, d),
      within: (label, make) => this.#within(label, make),
      tailCall: (d) => this.#tailCall(d),
    }
  }

  #tailCall(d: number): Code {
    const { b, first, random, signatures } = this.#p
    const results = this.#signature.results.join()
    const able = [...signatures.keys()].filter((i) => signatures[i]?.results.join() === results)
    const target = pick(random, able)
    const { params } = signatures[target] ?? { params: [] }
    const args = params.flatMap((type) => [...this.#value(type, d)])
    if (random.int(2)) return [...args, ...asm.returnCall(first + target)]
    return [...args, ...asm.i32(target), ...asm.returnCallIndirect(b.type(params, this.#signature.results))]
  }

  /** A value of `type`, with whatever it takes to get it. */
  #value(type: number, depth: number): Code {
    const { random } = this.#p
    if (depth <= 0 || this.#size-- < 0 || type === EXNREF) return this.#leaf(type)
    const d = depth - 1
    switch (random.int(13)) {
      case 0:
        return [...this.#value(type, d), ...this.#value(type, d), ...pick(random, binary[type] ?? [])]
      case 1: {
        const [from, op] = pick(random, convert[type] ?? [])
        return [...this.#value(from, d), ...op]
      }
      case 2:
        return asm.block(
          type,
          this.#within([type], () => [
            ...this.#value(type, d),
            ...this.#value(i32, d),
            ...asm.brIf(0),
            ...this.#statement(d),
          ]),
        )
      case 3:
        return [
          ...this.#value(i32, d),
          ...asm.if(
            type,
            this.#within([type], () => this.#value(type, d)),
            this.#within([type], () => [...this.#statement(d), ...this.#value(type, d)]),
          ),
        ]
      case 4:
        return this.#loopWithParameter(type, d)
      case 5: {
        const able = [...this.#p.signatures.keys()].filter((i) => this.#p.signatures[i]?.results.join() === `${type}`)
        return able.length > 0 ? this.#call(pick(random, able), d, false) : this.#leaf(type)
      }
      case 6:
        return [...this.#value(type, d), ...this.#value(type, d), ...this.#value(i32, d), OP.select]
      case 7: {
        const take = this.#p.b.type([type, i32], [type])
        return [
          ...this.#value(type, d),
          ...this.#value(i32, d),
          ...asm.block(
            take,
            this.#within([type], () => [OP.drop, ...this.#statements(d)]),
          ),
        ]
      }
      case 8: {
        const able = [...this.#locals.keys()].filter((local) => this.#locals[local] === type)
        return [...this.#value(type, d), ...(able.length > 0 ? asm.tee(pick(random, able)) : [])]
      }
      case 9:
        return this.#twoResults(type, d)
      case 10:
        return this.#tableWithValue(type, d)
      case 11:
        return asm.globalGet(this.#p.kept[type] ?? 0)
      default:
        return type === i32
          ? [...this.#address(d), ...asm.access(0x28, random.int(64), this.#memory())]
          : this.#leaf(type)
    }
  }

  /** A block or `if` that leaves two values, with a parameter below. */
  #twoResults(type: number, d: number): Code {
    const { b, random, trace } = this.#p
    const shape = b.type([type], [type, i32])
    const body = (): Code => this.#within([type, i32], () => [...this.#statements(d), ...this.#value(i32, d)])
    const made = random.int(2) ? asm.block(shape, body()) : [...this.#value(i32, d), ...asm.if(shape, body(), body())]
    return [...this.#value(type, d), ...made, ...asm.call(trace)]
  }

  #tableWithValue(type: number, d: number): Code {
    const inner = (): Code => [...this.#value(type, d), ...this.#value(i32, d), ...asm.brTable([1, 0, 1], 0)]
    const outer = (): Code => [
      ...asm.block(type, this.#within([type], inner)),
      ...this.#value(type, d),
      ...pick(this.#p.random, binary[type] ?? []),
    ]
    return asm.block(type, this.#within([type], outer))
  }

  #memory(): number {
    return this.#p.random.int(this.#p.memories)
  }

  /** `memory.copy` or `memory.fill`, within what `#address` names. */
  #bulk(): Code {
    return this.#p.random.int(2) ? [0xfc, 10, this.#memory(), this.#memory()] : [0xfc, 11, this.#memory()]
  }

  #loopWithParameter(type: number, d: number): Code {
    const through = this.#p.b.type([type], [type])
    const body = (): Code => [
      ...this.#burn(),
      ...this.#value(type, d),
      ...pick(this.#p.random, binary[type] ?? []),
      ...this.#value(i32, d),
      ...asm.brIf(0),
    ]
    return [...this.#value(type, d), ...asm.loop(through, this.#within([type], body))]
  }

  #leaf(type: number): Code {
    const { random } = this.#p
    if (type === EXNREF) return [OP.refNull, EXNREF]
    const able = [...this.#locals.keys()].filter((local) => this.#locals[local] === type)
    if (able.length > 0 && random.int(3) > 0) return asm.get(pick(random, able))
    const n = random.int(200) - 100
    if (type === i32) return asm.i32(n)
    if (type === i64) return asm.i64(n * 1_000_003)
    if (type === f32) return asm.f32(n / 3)
    return type === f64 ? asm.f64(n / 7) : asm.v128(n & 255)
  }

  /** In the first four pages of 4 KiB, and across their borders. */
  #address(d: number): Code {
    return [...this.#value(i32, d), ...asm.i32(0x3fff), 0x71]
  }

  /** Maybe leaves to some label, with what that one carries. */
  #branch(d: number): Code {
    const depth = this.#p.random.int(this.#labels.length)
    const carried = this.#labels[this.#labels.length - 1 - depth] ?? []
    return [
      ...carried.flatMap((type) => [...this.#value(type, d)]),
      ...this.#value(i32, d),
      ...asm.brIf(depth),
      ...carried.map(() => OP.drop),
    ]
  }

  #table(d: number): Code {
    const inner = (): Code => [...this.#value(i32, d), ...asm.brTable([0, 1, 0], 1)]
    const outer = (): Code => [...asm.block(VOID, this.#within([], inner)), ...this.#statements(d)]
    return asm.block(VOID, this.#within([], outer))
  }

  #call(target: number, d: number, dropped: boolean): Code {
    const { b, first, random, signatures } = this.#p
    const { params, results } = signatures[target] ?? { params: [], results: [] }
    const args = params.flatMap((type) => [...this.#value(type, d)])
    const call = random.int(2)
      ? asm.call(first + target)
      : [...asm.i32(target), ...asm.callIndirect(b.type(params, results))]
    return [...args, ...call, ...(dropped ? results.map(() => OP.drop) : [])]
  }

  #within(label: readonly number[], make: () => Code): Code {
    this.#labels.push(label)
    const code = make()
    this.#labels.pop()
    return code
  }
}
