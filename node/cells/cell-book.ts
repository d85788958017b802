// The cells that this peer submitted: durable records, output logs, and who waits for news of them.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { decode, encode } from 'cborg'
import { CodedError } from '../../core/errors.ts'
import type { DecisionRecord } from '../decide/index.ts'
import { type CellRecord, hasEnded } from './cell-record.ts'
import type { CellsErrorCode } from './errors.ts'
import { OutputLog } from './output-log.ts'
import type { RecordStore } from './types.ts'

/**
 * Cells that are over and still listed, with output and decisions: what a long-lived peer keeps in memory is bounded by them.
 * As many again that are lost, since their hosts may be back one day.
 */
export const KEEP_ENDED = 1000

/** The record and the decisions that led to it, as they are kept. */
export interface CellEntry {
  readonly record: CellRecord
  readonly decisions: readonly DecisionRecord[]
}

export class CellBook {
  readonly #store: RecordStore
  readonly #folder: string
  readonly #entries = new Map<string, CellEntry>()
  readonly #logs = new Map<string, Promise<OutputLog>>()
  readonly #turns = new Map<string, Promise<unknown>>()
  readonly #waiting = new Map<string, Set<() => void>>()

  /** `folder` holds the output logs. */
  constructor(store: RecordStore, folder: string) {
    this.#store = store
    this.#folder = folder
  }

  async load(): Promise<void> {
    for (const [cell, bytes] of await this.#store.list()) this.#entries.set(cell, decodeEntry(cell, bytes))
  }

  entries(): readonly CellEntry[] {
    return [...this.#entries.values()].sort((a, b) => b.record.submittedAt - a.record.submittedAt)
  }

  get(cell: string): CellEntry | undefined {
    return this.#entries.get(cell)
  }

  /** The one cell whose id begins with `prefix`. */
  find(prefix: string): CellEntry | undefined {
    const found = [...this.#entries.values()].filter(({ record }) => record.cell.startsWith(prefix))
    if (found.length > 1) {
      throw new CodedError<CellsErrorCode>(
        'CELL_AMBIGUOUS',
        `${found.length} cells begin with ${prefix}; give more digits`,
      )
    }
    return found[0]
  }

  /** Makes room for it among the cells that are over: those that ended longest ago are dropped, with their output. */
  async add(record: CellRecord): Promise<void> {
    await this.#save(record.cell, { record, decisions: [] })
    const over = [...this.#entries.values()].map((entry) => entry.record).filter(hasEnded)
    over.sort((a, b) => (b.endedAt ?? b.submittedAt) - (a.endedAt ?? a.submittedAt))
    const mayReturn = ({ phase, inbox }: CellRecord): boolean => phase === 'lost' && inbox?.ended !== true
    const kinds = [over.filter(mayReturn), over.filter((old) => !mayReturn(old))]
    for (const { cell } of kinds.flatMap((kind) => kind.slice(KEEP_ENDED))) {
      // What cannot be dropped now is dropped after the next one: the new cell is here all the same.
      await this.remove(cell).catch(() => undefined)
    }
  }

  /**
   * Changes a cell, one change at a time, and resolves once it is durable. `change` may do slow things first; it gets
   * the newest entry and returns the next, or undefined for no change. Unknown cells resolve with undefined.
   */
  update(
    cell: string,
    change: (entry: CellEntry) => Promise<CellEntry | undefined> | CellEntry | undefined,
  ): Promise<CellEntry | undefined> {
    return this.#inTurn(cell, async () => {
      const entry = this.#entries.get(cell)
      if (entry === undefined) return undefined
      const next = await change(entry)
      if (next !== undefined) await this.#save(cell, next)
      if (next !== undefined && hasEnded(next.record)) await this.#closeLog(cell)
      return next ?? entry
    })
  }

  log(cell: string): Promise<OutputLog> {
    let log = this.#logs.get(cell)
    if (log === undefined) {
      const opened = new OutputLog(join(this.#folder, cell, 'output'))
      log = opened.open().then(() => opened)
      this.#logs.set(cell, log)
      // What could not be read now may be read the next time.
      log.catch(() => this.#logs.delete(cell))
    }
    return log
  }

  /** Wakes those who follow `cell`. */
  notify(cell: string): void {
    for (const wake of this.#waiting.get(cell) ?? []) wake()
    this.#waiting.delete(cell)
  }

  /** Resolves at the next change of `cell`, or rejects when `signal` aborts. */
  changed(cell: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting = this.#waiting.get(cell) ?? new Set()
      this.#waiting.set(cell, waiting)
      const done = (): void => {
        signal.removeEventListener('abort', abort)
        resolve()
      }
      const abort = (): void => {
        waiting.delete(done)
        reject(signal.reason)
      }
      if (signal.aborted) return reject(signal.reason)
      waiting.add(done)
      signal.addEventListener('abort', abort, { once: true })
    })
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#turns.values())
    for (const cell of this.#logs.keys()) await this.#closeLog(cell)
    this.#logs.clear()
  }

  /** Drops a cell and its output, in its turn: what is being written about the cell does not bring it back. */
  remove(cell: string): Promise<void> {
    return this.#inTurn(cell, async () => {
      await this.#store.remove(cell)
      this.#entries.delete(cell)
      await this.#closeLog(cell)
      this.#logs.delete(cell)
      await rm(join(this.#folder, cell), { recursive: true, force: true })
    })
  }

  /** One thing at a time about each cell. */
  async #inTurn<T>(cell: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(cell) ?? Promise.resolve()
    const turn = before.catch(() => undefined).then(work)
    this.#turns.set(cell, turn)
    try {
      return await turn
    } finally {
      if (this.#turns.get(cell) === turn) this.#turns.delete(cell)
    }
  }

  async #closeLog(cell: string): Promise<void> {
    await (await this.#logs.get(cell)?.catch(() => undefined))?.close()
  }

  async #save(cell: string, entry: CellEntry): Promise<void> {
    await this.#store.put(cell, encode(entry, { ignoreUndefinedProperties: true }))
    this.#entries.set(cell, entry)
    this.notify(cell)
  }
}

/** The home is the peer's own: what stands there was written by this program. */
function decodeEntry(cell: string, bytes: Uint8Array): CellEntry {
  try {
    return decode(bytes) as CellEntry
  } catch (error) {
    throw new CodedError<CellsErrorCode>(
      'CELL_RECORD_CORRUPT',
      `the record of cell ${cell} in the home cannot be read`,
      {
        facts: { cell },
        cause: error,
      },
    )
  }
}
