// Which functions poll at their entry, and which may be on the stack when a poll unwinds it.
import type { FunctionType, WasmModule } from '../wasm/module.ts'
import { CALL, type FunctionScan } from './scan.ts'
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
  const addressed = [...addressTaken].filter((index) => functions[index - base] !== undefined).sort((a, b) => a - b)
  /** Every edge; or those that no poll lies on, so that cycles of them need polls of their own. */
  const graphOf = (withPolled: boolean): Graph =>
    new Graph(nodes, (edge) => {
      for (const [from, scan] of scans.entries())
        for (const call of scan.calls) {
          const target = call >> CALL.targetShift
          const to = call & CALL.indirect ? signatureNode(target) : target - base
          if (to >= 0 && (withPolled || !(call & CALL.inLoop))) edge(from, to)
        }
      for (const index of addressed) edge(signatureNode(functions[index - base]?.typeIndex ?? 0), index - base)
    })
  const entryPolls = backEdgeFunctions(graphOf(false), functions.length)
  const polling = scans.flatMap((scan, i) => (scan.loops || entryPolls.has(i) ? [i] : []))
  const reaching = nodesReaching(graphOf(true), polling)
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

/** Edges by the node that they leave, in two flat arrays: large modules have millions. */
class Graph {
  readonly nodes: number
  readonly #first: Uint32Array
  readonly #to: Uint32Array

  /** `visit` names every edge, and is called twice. */
  constructor(nodes: number, visit: (edge: (from: number, to: number) => void) => void) {
    this.nodes = nodes
    const first = new Uint32Array(nodes + 1)
    visit((from) => {
      first[from + 1] = (first[from + 1] ?? 0) + 1
    })
    for (let node = 0; node < nodes; node++) first[node + 1] = (first[node + 1] ?? 0) + (first[node] ?? 0)
    const to = new Uint32Array(first[nodes] ?? 0)
    const next = first.slice()
    visit((from, target) => {
      const at = next[from] ?? 0
      to[at] = target
      next[from] = at + 1
    })
    this.#first = first
    this.#to = to
  }

  /** The `k`-th edge of `node`; undefined behind the last. */
  target(node: number, k: number): number | undefined {
    const at = (this.#first[node] ?? 0) + k
    return at < (this.#first[node + 1] ?? 0) ? this.#to[at] : undefined
  }

  reversed(): Graph {
    return new Graph(this.nodes, (edge) => {
      for (let from = 0; from < this.nodes; from++)
        for (let at = this.#first[from] ?? 0; at < (this.#first[from + 1] ?? 0); at++) edge(this.#to[at] ?? 0, from)
    })
  }
}

/** The functions at which back edges of a depth-first walk arrive; signature nodes cannot poll: their callers do. */
function backEdgeFunctions(edges: Graph, functionCount: number): Set<number> {
  const state = new Uint8Array(edges.nodes)
  const next = new Uint32Array(edges.nodes)
  const found = new Set<number>()
  for (let root = 0; root < edges.nodes; root++) {
    if (state[root] !== NEW) continue
    const path = [root]
    state[root] = OPEN
    while (path.length > 0) {
      const node = path[path.length - 1] as number
      const target = edges.target(node, next[node] as number)
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

function nodesReaching(edges: Graph, goals: readonly number[]): Set<number> {
  const callers = edges.reversed()
  const reached = new Set(goals)
  const work = [...goals]
  for (let node = work.pop(); node !== undefined; node = work.pop())
    for (let k = 0, caller = callers.target(node, 0); caller !== undefined; caller = callers.target(node, ++k))
      if (!reached.has(caller)) {
        reached.add(caller)
        work.push(caller)
      }
  return reached
}
