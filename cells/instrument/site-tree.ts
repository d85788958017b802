// The places where a function can be suspended, as a tree that follows its blocks.
import { OP, opensBlock } from '../wasm/opcodes.ts'
import type { Suspendability } from './call-graph.ts'
import type { FunctionCode } from './function-code.ts'
import type { Program } from './source.ts'

/** A poll, a call that may suspend, or a block with such in it. `low..high`: the numbers of the sites in it. */
export interface Site {
  readonly kind: 'poll' | 'call' | 'block'
  low: number
  high: number
  /** It is a call, or a call is in it. */
  calls: boolean
  /** Of a block: its sites in order; of an `if`: those of both arms; of a `try`: of its body, then of its handlers. */
  readonly arms: Site[][]
  /** Of a `try`: the tags of its handlers, -1 for that of all; and whether one of them rethrows what it caught. */
  readonly catches: number[]
  rethrown: boolean
}

export interface SiteTree {
  /** The whole body. */
  readonly root: Site
  /** The call or block at an instruction. */
  readonly at: ReadonlyMap<number, Site>
  /** Sites are numbered from 1 in the order of the code. */
  readonly count: number
  readonly polls: number
}

interface Open {
  readonly site: Site
  readonly instruction: number
}

export function siteTreeOf(code: FunctionCode, program: Program, suspends: Suspendability): SiteTree {
  const { source } = code
  const at = new Map<number, Site>()
  let count = 0
  let polls = 0
  const leaf = (kind: 'poll' | 'call'): Site => {
    count++
    if (kind === 'poll') polls++
    return { kind, low: count, high: count, calls: kind === 'call', arms: [], catches: [], rethrown: false }
  }
  const block = (): Site => {
    return { kind: 'block', low: count + 1, high: 0, calls: false, arms: [[]], catches: [], rethrown: false }
  }
  const root = block()
  const open: Open[] = [{ site: root, instruction: -1 }]
  const here = (): Site[] => open.at(-1)?.site.arms.at(-1) ?? []
  if (suspends.pollsAtEntry.has(source.index)) here().push(leaf('poll'))
  for (let i = 0; i < code.length; i++) {
    if (code.dead[i]) continue
    const op = code.op[i] ?? 0
    if (opensBlock(op)) {
      open.push({ site: block(), instruction: i })
      if (op === OP.loop) here().push(leaf('poll'))
    } else if (op === OP.else) open.at(-1)?.site.arms.push([])
    else if (op === OP.catch || op === OP.catchAll) {
      const site = open.at(-1)?.site
      site?.arms.push([])
      site?.catches.push(op === OP.catch ? (code.a[i] ?? 0) : -1)
    } else if (op === OP.rethrow) {
      const caught = open.at(-1 - (code.a[i] ?? 0))
      if (caught) caught.site.rethrown = true
    } else if (op === OP.end || op === OP.delegate) {
      const { site, instruction } = open.pop() as Open
      site.high = count
      if (site.high < site.low || open.length === 0) continue
      at.set(instruction, site)
      site.calls = site.arms.some((arm) => arm.some(({ calls }) => calls))
      here().push(site)
    } else if (callMaySuspend(code, i, program, suspends)) {
      const site = leaf('call')
      at.set(i, site)
      here().push(site)
    }
  }
  return { root, at, count, polls }
}

function callMaySuspend(code: FunctionCode, i: number, program: Program, suspends: Suspendability): boolean {
  const target = code.a[i] ?? 0
  if (code.op[i] === OP.callIndirect) return suspends.indirectMaySuspend(target)
  if (code.op[i] !== OP.call) return false
  return suspends.maySuspend.has(code.source.callsImports ? target : (program.redirect.get(target) ?? target))
}
