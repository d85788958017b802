// What the hand-made test programs have in common: a trace, a slow function to be suspended in, a counting loop.
import { OP } from '../../cells/wasm/opcodes.ts'
import { asm, type Code, i32, VOID, WasmBuilder } from './wasm-builder.ts'

export const ADD = [OP.i32Add]
export const SUB = [OP.i32Sub]
export const MUL = [0x6c]

export interface Kit {
  readonly b: WasmBuilder
  /** `(i32) -> ()` */
  readonly trace: number
  /** `(i32) -> i32`: loops as often as its argument says, then answers it times 3. */
  readonly slow: number
}

export function kit(): Kit {
  const b = new WasmBuilder()
  const trace = b.import('trace', [i32], [])
  const slow = b.func({
    params: [i32],
    results: [i32],
    locals: [i32],
    // So long that each turn has a poll of its own.
    code: countdown(0, 1, [[...asm.get(0), ...asm.i32(3), ...MUL]], [new Array(100).fill(OP.nop)]),
  })
  return { b, trace, slow }
}

/** `counter = local; while (counter-- > 0) body; after` */
export function countdown(local: number, counter: number, after: readonly Code[], body: readonly Code[] = []): Code {
  return [
    ...asm.get(local),
    ...asm.set(counter),
    ...asm.block(
      VOID,
      asm.loop(
        VOID,
        asm.get(counter),
        [OP.i32Eqz],
        asm.brIf(1),
        ...body,
        asm.get(counter),
        asm.i32(1),
        SUB,
        asm.set(counter),
        asm.br(0),
      ),
    ),
    ...after.flat(),
  ]
}
