// One copy of a program that may be running: what goes into which round, in slices, and how much of the time they take.
// Pure: memory, files and time are told; whoever carries the pieces away is told nothing here.
import { toCbor } from '../../core/shape.ts'
import { MEMORY_PAGES, PAGE_BYTES } from '../snapshot/format.ts'
import { PageSweep } from '../snapshot/page-sweep.ts'
import { type Baseline, joinPages, type PageSlice } from '../snapshot/pages.ts'
import type { Material } from '../snapshot/snapshot.ts'
import type { ContentDelta } from '../wasi/index.ts'
import { COPY_DUTY, LAST_PAGES_BYTES, SLICE_BYTES } from './limits.ts'

const SLICE_PAGES = SLICE_BYTES / PAGE_BYTES

/** What a copy needs of a `ContentLedger`. */
export interface FileSource {
  next(maxBytes: number): ContentDelta
  readonly unsentBytes: number
}

/** One linear memory at the start of its copy. */
export interface CopiedMemory {
  /** A byte per page of 4 KiB, into which writes are noted: see `PAGE`. */
  readonly map: Uint8Array
  readonly bytes: number
  readonly baseline: Baseline
}

export interface CopySessionInit {
  /** The program's memories, in the order of their indices. */
  readonly memories: readonly CopiedMemory[]
  readonly files: FileSource
}

export class CopySession {
  readonly #sweeps: readonly PageSweep[]
  /** The memory that the round in progress is at. */
  #at = 0
  readonly #files: FileSource
  #round = 0
  /** What the round in progress takes next. */
  #stage: 'pages' | 'files' | 'over' = 'over'
  /** Of the files, in this round: what is written during it belongs to the next, or it would never end. */
  #fileBytes = 0
  #notBefore = 0

  constructor({ memories, files }: CopySessionInit) {
    this.#sweeps = memories.map(({ map, baseline }, index) => new PageSweep(map, baseline, index * MEMORY_PAGES))
    for (const [index, { bytes }] of memories.entries()) this.#sweeps[index]?.markAll(bytes)
    this.#files = files
  }

  /**
   * The next piece of round `round`, which begins when it is asked for the first time; undefined when it is over, and
   * `later` when this turn found nothing to send. `memories` are those of now.
   */
  next(round: number, memories: readonly Uint8Array[]): Material | 'later' | undefined {
    if (round > this.#round) {
      this.#round = round
      this.#stage = 'pages'
      this.#rewind()
    }
    if (round < this.#round) return undefined
    if (this.#stage === 'pages') {
      const slice = this.#nextPages(memories)
      if (slice !== undefined) return slice.runs === 0 ? 'later' : { kind: 'pages', ...slice }
      this.#stage = 'files'
      this.#fileBytes = this.#files.unsentBytes
    }
    if (this.#stage === 'files') {
      if (this.#fileBytes > 0 && this.#files.unsentBytes > 0) return this.#fileDelta()
      this.#stage = 'over'
    }
    return undefined
  }

  /** Bytes that would be left if the program stopped now, its memories as large as these. */
  leftBytes(memories: readonly Uint8Array[]): number {
    return this.#markedBytes(memories) + this.#files.unsentBytes
  }

  /** Of a program that stands still: what is to go ahead of its last part, which holds the rest: `lastPages`. */
  *ahead(memories: readonly Uint8Array[]): Generator<Material, void, void> {
    this.#rewind()
    while (this.#markedBytes(memories) > LAST_PAGES_BYTES) {
      const slice = this.#nextPages(memories)
      if (slice !== undefined && slice.runs > 0) yield { kind: 'pages', ...slice }
    }
    while (this.#files.unsentBytes > LAST_PAGES_BYTES) yield this.#fileDelta()
  }

  lastPages(memories: readonly Uint8Array[]): PageSlice {
    this.#rewind()
    const slices = this.#sweeps.flatMap((sweep, index) => {
      const memory = memories[index]
      return (memory && sweep.next(memory, Number.POSITIVE_INFINITY)) ?? []
    })
    return joinPages(slices)
  }

  #rewind(): void {
    this.#at = 0
    for (const sweep of this.#sweeps) sweep.rewind()
  }

  /** Undefined at the end of the last memory. */
  #nextPages(memories: readonly Uint8Array[]): PageSlice | undefined {
    for (; this.#at < memories.length; this.#at++) {
      const memory = memories[this.#at]
      const slice = memory && this.#sweeps[this.#at]?.next(memory, SLICE_PAGES)
      if (slice !== undefined) return slice
    }
    return undefined
  }

  #markedBytes(memories: readonly Uint8Array[]): number {
    return this.#sweeps.reduce((sum, sweep, index) => sum + sweep.markedBytes(memories[index]?.length ?? 0), 0)
  }

  /** Whether a running program may be held up again. */
  isDue(now: number): boolean {
    return now >= this.#notBefore
  }

  /** It was held up from `from` to `to`: it now runs long enough that this was no more than its share of the time. */
  heldUp(from: number, to: number): void {
    this.#notBefore = to + (to - from) * (1 / COPY_DUTY - 1)
  }

  #fileDelta(): Material {
    const delta = this.#files.next(SLICE_BYTES)
    for (const { pieces } of delta.changes) for (const { bytes } of pieces) this.#fileBytes -= bytes.length
    return { kind: 'files', payload: toCbor(delta) }
  }
}
