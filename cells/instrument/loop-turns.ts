// How many turns of a loop share one poll: a short loop without calls is written out several times.
import { OP, opensBlock } from '../wasm/opcodes.ts'
import type { FunctionCode } from './function-code.ts'

/** Loops whose body has at most so many bytes are written out four times, or twice, for each poll. */
const FOURFOLD_BYTES = 40
const TWOFOLD_BYTES = 100

/** The `end` of the loop at instruction `i`, and how often its body is to be written; once when something is tried in it. */
export function turnsOf(code: FunctionCode, i: number): { readonly end: number; readonly turns: 1 | 2 | 4 } {
  const end = endOf(code, i)
  if (end === undefined) return { end: i, turns: 1 }
  const bytes = (code.at[end] ?? 0) - (code.at[i] ?? 0)
  return { end, turns: bytes <= FOURFOLD_BYTES ? 4 : bytes <= TWOFOLD_BYTES ? 2 : 1 }
}

/** The `end` of the block that opens at instruction `i`; undefined when something is tried in it. */
function endOf(code: FunctionCode, i: number): number | undefined {
  let depth = 0
  for (let at = i; ; at++) {
    if (code.dead[at]) continue
    const op = code.op[at] ?? 0
    if (op === OP.try || op === OP.tryTable) return undefined
    if (opensBlock(op)) depth++
    else if (op === OP.end && --depth === 0) return at
  }
}
