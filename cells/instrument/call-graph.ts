// Which functions poll at their entry, and which may be on the stack when a poll unwinds it.
import type { FunctionType, WasmModule } from '../wasm/module.ts'
import type { FunctionScan } from './scan.ts'
import type { Program } from './source.ts'

export interface Suspendability {
  /** By source index. */
  readonly pollsAtEntry: ReadonlySet<number>
  readonly maySuspend: ReadonlySet<number>
  /** An indirect call through this type index may reach a function that may suspend. */
  indirectMaySuspend(typeIndex: number): boolean
}

/**
 * Nodes are functions (0 …) and one per signature of indirect calls, which leads to every function of that signature
 * whose address is taken. Calls inside loops pass a poll each turn, so only cycles of the other calls need entry polls:
 * one at every back edge of a depth-first walk cuts them all.
 */
export function suspendability(
  program: Program,
  scans: readonly FunctionScan[],
  addressTaken: ReadonlySet<number>,
): Suspendability {
  const { functions, module } = program
  const base = module.importedFunctions
  const signatures = signatureIds(module)
  const nodes = functions.length + signatures.count
  const signatureNode = (typeIndex: number): number => functions.length + (signatures.ids[typeIndex] ?? 0)
  const all: number[][] = Array.from({ length: nodes }, () => [])
  const unpolled: number[][] = Array.from({ length: nodes }, () => [])
  for (const [from, scan] of scans.entries())
    for (const call of scan.calls) {
      const to = call.indirect ? signatureNode(call.target) : call.target - base
      if (to < 0) continue
      all[from]?.push(to)
      if (!call.inLoop) unpolled[from]?.push(to)
    }
  for (const index of [...addressTaken].sort((a, b) => a - b)) {
    const target = functions[index - base]
    if (target === undefined) continue
    all[signatureNode(target.typeIndex)]?.push(index - base)
    unpolled[signatureNode(target.typeIndex)]?.push(index - base)
  }
  const entryPolls = backEdgeFunctions(unpolled, functions.length)
  const polling = scans.flatMap((scan, i) => (scan.loops || entryPolls.has(i) ? [i] : []))
  const reaching = nodesReaching(all, polling)
  const shifted = (nodeSet: Iterable<number>): Set<number> => {
    const out = new Set<number>()
    for (const node of nodeSet) if (node < functions.length) out.add(node + base)
    return out
  }
  return {
    pollsAtEntry: shifted(entryPolls),
    maySuspend: shifted(reaching),
    indirectMaySuspend: (typeIndex) => reaching.has(signatureNode(typeIndex)),
  }
}

/** Equal signatures get equal ids: indirect calls compare structure, not index. */
function signatureIds(module: WasmModule): { ids: number[]; count: number } {
  const known = new Map<string, number>()
  const ids = module.types.map((type) => {
    const key = signatureKey(type)
    const id = known.get(key) ?? known.size
    known.set(key, id)
    return id
  })
  return { ids, count: known.size }
}

export function signatureKey(type: FunctionType): string {
  return `${type.params.join()}:${type.results.join()}`
}

const NEW = 0
const OPEN = 1
const DONE = 2

/** The functions at which back edges of a depth-first walk arrive; signature nodes cannot poll: their callers do. */
function backEdgeFunctions(edges: readonly (readonly number[])[], functionCount: number): Set<number> {
  const state = new Uint8Array(edges.length)
  const next = new Uint32Array(edges.length)
  const found = new Set<number>()
  for (let root = 0; root < edges.length; root++) {
    if (state[root] !== NEW) continue
    const path = [root]
    state[root] = OPEN
    while (path.length > 0) {
      const node = path[path.length - 1] as number
      const target = edges[node]?.[next[node] as number]
      if (target === undefined) {
        state[node] = DONE
        path.pop()
        continue
      }
      next[node] = (next[node] as number) + 1
      if (state[target] === OPEN) found.add(target < functionCount ? target : node)
      else if (state[target] === NEW) {
        state[target] = OPEN
        path.push(target)
      }
    }
  }
  return found
}

function nodesReaching(edges: readonly (readonly number[])[], goals: readonly number[]): Set<number> {
  const callers: number[][] = edges.map(() => [])
  for (const [from, targets] of edges.entries()) for (const to of targets) callers[to]?.push(from)
  const reached = new Set(goals)
  const work = [...goals]
  for (let node = work.pop(); node !== undefined; node = work.pop())
    for (const caller of callers[node] ?? [])
      if (!reached.has(caller)) {
        reached.add(caller)
        work.push(caller)
      }
  return reached
}
