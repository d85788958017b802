// Statements of random programs that throw and catch, in both encodings, and that call in tail position.
import { OP } from '../../cells/wasm/opcodes.ts'
import type { Random } from '../../core/random.ts'
import { asm, type Code, i32, i64, VOID, type WasmBuilder } from './wasm-builder.ts'

export const EXNREF = 0x69
const ALL = -1

/** What a statement is made of: more of the body that it is in. */
export interface BodyParts {
  readonly random: Random
  readonly trace: number
  /** A local of type exnref. */
  readonly exception: number
  /** Labels that are open. */
  readonly depth: number
  statements(depth: number): Code
  value(type: number, depth: number): Code
  /** What `make` gives, with a label open round it that takes `label`. */
  within(label: readonly number[], make: () => Code): Code
  /** A tail call of a function with the same results, where there is one. */
  tailCall(depth: number): Code
}

export interface Tags {
  readonly number: number
  readonly pair: number
}

/** One tag carries an i32, the other an i64 and an i32. */
export function randomTags(b: WasmBuilder): Tags {
  return { number: b.tag([i32]), pair: b.tag([i64, i32]) }
}

export function exceptionStatement(body: BodyParts, tags: Tags, d: number): Code {
  const { random, trace } = body
  const traced = (code: Code): Code => [...code, ...asm.call(trace)]
  /** Of `tag`, its values on the stack: to the trace. */
  const taken = (tag: number): Code =>
    tag === tags.number ? asm.call(trace) : [...asm.call(trace), 0xa7, ...asm.call(trace)]
  const maybe = (code: () => Code): Code => [...body.value(i32, d), ...asm.if(VOID, body.within([], code))]
  const thrown = (): Code =>
    random.int(2)
      ? [...body.value(i32, d), ...asm.throw(tags.number)]
      : [...body.value(i64, d), ...asm.i32(5), ...asm.throw(tags.pair)]
  const handlers = (label: readonly number[], result: () => Code): [number, Code][] => {
    const tag = random.int(2) ? tags.number : tags.pair
    const again = (): Code => (random.int(2) ? maybe(() => asm.rethrow(1)) : [])
    const handle = (of: number): Code =>
      body.within(label, () => [...(of === ALL ? [] : taken(of)), ...body.statements(d), ...again(), ...result()])
    const all: [number, Code][] = random.int(2) ? [[ALL, handle(ALL)]] : []
    return random.int(4) === 0 && all.length > 0 ? all : [[tag, handle(tag)], ...all]
  }
  switch (random.int(8)) {
    case 0:
      return maybe(thrown)
    case 1:
    case 2: {
      const inner = body.within([], () => [...body.statements(d), ...(random.int(2) ? maybe(thrown) : [])])
      return asm.try(VOID, inner, ...handlers([], () => []))
    }
    case 3: {
      const inner = body.within([i32], () => [...body.statements(d), ...maybe(thrown), ...body.value(i32, d)])
      return traced([
        ...body.value(i32, d),
        ...asm.try(i32, inner, ...handlers([i32], () => body.value(i32, d))),
        OP.i32Add,
      ])
    }
    case 4: {
      const inner = body.within([], () => [...body.statements(d), ...maybe(thrown)])
      return asm.tryDelegate(VOID, inner, random.int(body.depth))
    }
    case 5: {
      const clauses = random.int(2)
        ? [
            [0, tags.number, 0],
            [2, 1],
          ]
        : [[0, tags.number, 0]]
      const inner = (): Code =>
        asm.tryTable(
          VOID,
          clauses,
          body.within([], () => [...body.statements(d), ...maybe(thrown)]),
        )
      const caught = body.within([], () => [
        ...traced(
          asm.block(
            i32,
            body.within([i32], () => [...inner(), ...body.value(i32, d)]),
          ),
        ),
        ...body.statements(d),
      ])
      return asm.block(VOID, caught)
    }
    case 6: {
      const inner = (): Code => [
        ...asm.tryTable(
          VOID,
          [[3, 0]],
          body.within([], () => [...body.statements(d), ...maybe(thrown)]),
        ),
        ...[OP.refNull, EXNREF],
      ]
      return [...asm.block(EXNREF, body.within([EXNREF], inner)), ...asm.set(body.exception), ...body.statements(d)]
    }
    default: {
      if (random.int(2)) return maybe(() => body.tailCall(d))
      const held = [...asm.get(body.exception), OP.refIsNull]
      const drop = [OP.refNull, EXNREF, ...asm.set(body.exception)]
      return [...held, OP.i32Eqz, ...asm.if(VOID, [...traced(held), ...asm.get(body.exception), ...drop, OP.throwRef])]
    }
  }
}
