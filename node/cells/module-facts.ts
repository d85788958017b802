// Facts about modules, inspected once in a cell host process and remembered by hash.
import type { CellEngine, CellMode, ModuleFacts } from '../../cells/index.ts'
import { CodedError } from '../../core/errors.ts'
import type { BlobStore } from '../../protocols/blobs/index.ts'
import type { CellsErrorCode } from './errors.ts'

/** Modules whose facts are kept: a few kB each. */
const MAX_KNOWN = 256

export class ModuleFactsCache {
  readonly #engine: CellEngine
  readonly #store: BlobStore
  readonly #known = new Map<string, ModuleFacts>()

  constructor(engine: CellEngine, store: BlobStore) {
    this.#engine = engine
    this.#store = store
  }

  /** Throws the module's refusal (`CELL_*`) to be run so, or `BLOB_UNKNOWN` when it was not uploaded. */
  async of(cid: string, mode: CellMode = {}): Promise<ModuleFacts> {
    const key = keyOf(cid, mode)
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const module = await this.#store.readWhole(cid)
    if (module === undefined) throw blobUnknown(cid)
    const facts = await this.#engine.inspect(module, modeOf(mode))
    this.#known.set(key, facts)
    const oldest = this.#known.keys().next().value
    if (this.#known.size > MAX_KNOWN && oldest !== undefined) this.#known.delete(oldest)
    return facts
  }

  /** Without inspecting: what is known already. */
  peek(cid: string): ModuleFacts | undefined {
    return [...this.#known.values()].find(({ hash }) => hash === cid)
  }

  get hashes(): readonly string[] {
    return [...new Set([...this.#known.values()].map(({ hash }) => hash))]
  }
}

/** How a program is to run, with nothing else of whatever says so. */
export function modeOf(mode: CellMode): Required<CellMode> {
  const { engine = 'wasi', migratable = engine === 'wasi', nan = 'native' } = mode
  return { engine, migratable, nan }
}

function keyOf(cid: string, mode: CellMode): string {
  const { engine, migratable, nan } = modeOf(mode)
  return `${cid} ${engine} ${migratable} ${nan}`
}

export function blobUnknown(cid: string): CodedError<CellsErrorCode> {
  return new CodedError('BLOB_UNKNOWN', `no object ${cid} has been uploaded to this peer`, { facts: { cid } })
}
