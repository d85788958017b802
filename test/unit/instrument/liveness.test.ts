// What a look at the locals of a function may cost, counted, not timed.
import { expect, it } from 'vitest'
import { FunctionCode } from '../../../cells/instrument/function-code.ts'
import { liveLocals } from '../../../cells/instrument/liveness.ts'
import type { Site, SiteTree } from '../../../cells/instrument/site-tree.ts'
import { programOf } from '../../../cells/instrument/source.ts'
import { decodeModule } from '../../../cells/wasm/module.ts'
import { OP } from '../../../cells/wasm/opcodes.ts'
import { asm, type Code, i32, VOID, WasmBuilder } from '../../support/wasm-builder.ts'

function codeOf(code: Code, locals = 0): FunctionCode {
  const b = new WasmBuilder()
  b.func({ export: '_start', locals: new Array<number>(locals).fill(i32), code })
  const module = decodeModule(b.build())
  const [source] = programOf(module).functions
  if (source === undefined) throw new Error('no function')
  return new FunctionCode(source, module)
}

/** No sites, and how often it was looked whether there are. */
function countingSites(): { tree: SiteTree; looks: () => number } {
  let looks = 0
  const at = new Map<number, Site>()
  at.has = () => {
    looks++
    return false
  }
  const root: Site = { kind: 'block', low: 1, high: 0, arms: [[]], catches: [], rethrown: false, calls: false }
  return { tree: { root, at, count: 0, polls: 0 }, looks: () => looks }
}

/** As many nested handlers as calls inside: an exception of each may reach all. */
const nested = (depth: number): Code => [
  ...new Array<Code>(depth).fill([OP.try, 0x40]).flat(),
  ...new Array<Code>(depth).fill(asm.call(0)).flat(),
  ...new Array<Code>(depth).fill([OP.end]).flat(),
]

it('a function without locals is not walked', () => {
  const { tree, looks } = countingSites()
  expect(liveLocals(codeOf(nested(1_000)), tree)).toEqual([])
  expect(looks()).toBe(0)
})

it('a walk that would join too many sets is not made: handlers round calls, and clauses, count', () => {
  const walked = countingSites()
  expect(liveLocals(codeOf(nested(1_000), 40), walked.tree)).toEqual([])
  expect(walked.looks()).toBeGreaterThan(999)
  const clauses = (count: number): Code =>
    asm.tryTable(VOID, new Array<readonly number[]>(count).fill([2, 0]), asm.call(0))
  for (const code of [nested(4_000), clauses(30_000)]) {
    const spared = countingSites()
    const locals = 40_000
    expect(liveLocals(codeOf(code, locals), spared.tree)).toHaveLength(locals)
    expect(spared.looks()).toBe(0)
  }
})
