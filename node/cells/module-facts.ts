// Facts about modules, inspected once in a cell host process and remembered by hash.
import type { CellEngine, ModuleFacts } from '../../cells/index.ts'
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

  /** Throws the module's refusal (`CELL_*`), or `BLOB_UNKNOWN` when it was not uploaded. */
  async of(cid: string): Promise<ModuleFacts> {
    const known = this.#known.get(cid)
    if (known !== undefined) return known
    const module = await this.#store.readWhole(cid)
    if (module === undefined) throw blobUnknown(cid)
    const facts = await this.#engine.inspect(module)
    this.#known.set(cid, facts)
    const oldest = this.#known.keys().next().value
    if (this.#known.size > MAX_KNOWN && oldest !== undefined) this.#known.delete(oldest)
    return facts
  }

  /** Without inspecting: what is known already. */
  peek(cid: string): ModuleFacts | undefined {
    return this.#known.get(cid)
  }

  get hashes(): readonly string[] {
    return [...this.#known.keys()]
  }
}

export function blobUnknown(cid: string): CodedError<CellsErrorCode> {
  return new CodedError('BLOB_UNKNOWN', `no object ${cid} has been uploaded to this peer`, { facts: { cid } })
}
