// The peer's own finished runs: a bounded replay buffer. Nothing here is ever sent anywhere.
import { sha256, utf8 } from '../core/bytes.ts'
import { CodedError } from '../core/errors.ts'
import type { FlErrorCode } from './errors.ts'
import type { CellFeatures, PeerFeatures } from './features.ts'

/** One finished run, as the peer that ran it knows it. */
export interface Run {
  readonly cell: CellFeatures
  /** The peer as it was when the cell started. */
  readonly peer: PeerFeatures
  /** What it took, milliseconds. */
  readonly ms: number
  /** What the heuristic said before, when it was asked. */
  readonly heuristicMs?: number
  /** Wall clock at the end, milliseconds. */
  readonly at: number
}

export interface Sample extends Run {
  /** Counts the peer's runs, from 0, across restarts. */
  readonly index: number
  /** What the model said when the run ended, before it could learn from it. */
  readonly modelMs: number
}

/** Keeps samples across restarts, on this device. */
export interface SampleStore {
  /** All that is kept, in any order. */
  load(): Promise<readonly Sample[]>
  put(sample: Sample): Promise<void>
  /** Forgets the sample with this index. */
  delete(index: number): Promise<void>
}

/** A store that forgets at exit. */
export function memorySampleStore(): SampleStore {
  const kept = new Map<number, Sample>()
  return {
    load: async () => [...kept.values()],
    put: async (sample) => void kept.set(sample.index, sample),
    delete: async (index) => void kept.delete(index),
  }
}

/** Newest runs kept: the replay buffer of the measured design; about 1 MB on disk. */
export const MAX_SAMPLES = 1_500
/** One run in this many is held out: never trained on, only used to judge. */
const HELD_OUT_ONE_IN = 5

/**
 * True for one of every five consecutive runs, chosen by the hash of their block: the same on every start, never none of
 * five, and in no step with a workload that repeats every five cells.
 */
export function heldOut(index: number): boolean {
  const block = Math.floor(index / HELD_OUT_ONE_IN)
  return (sha256(utf8(`held-out ${block}`))[0] ?? 0) % HELD_OUT_ONE_IN === index % HELD_OUT_ONE_IN
}

/** The newest {@link MAX_SAMPLES} runs, oldest first. */
export class Samples {
  readonly #store: SampleStore
  #kept: Sample[] = []
  #next = 0

  constructor(store: SampleStore) {
    this.#store = store
  }

  async load(): Promise<void> {
    const all = [...(await this.#store.load())].sort((a, b) => a.index - b.index)
    this.#kept = all.slice(-MAX_SAMPLES)
    this.#next = Math.max(this.#next, (all.at(-1)?.index ?? -1) + 1)
    for (const { index } of all.slice(0, -MAX_SAMPLES)) await this.#store.delete(index)
  }

  /** Durable when it resolves. Rejects with `FL_SAMPLE_INVALID` for a time that cannot be learned from. */
  async add(run: Run, modelMs: number): Promise<Sample> {
    if (!Number.isFinite(run.ms) || run.ms <= 0)
      throw new CodedError<FlErrorCode>('FL_SAMPLE_INVALID', `a run of ${run.ms} ms was not kept: its clock was wrong`)
    const sample: Sample = { ...run, index: this.#next++, modelMs }
    this.#kept.push(sample)
    await this.#store.put(sample)
    const dropped = this.#kept.length > MAX_SAMPLES ? this.#kept.shift() : undefined
    if (dropped !== undefined) await this.#store.delete(dropped.index)
    return sample
  }

  get all(): readonly Sample[] {
    return this.#kept
  }

  /** What training may see. */
  get training(): readonly Sample[] {
    return this.#kept.filter(({ index }) => !heldOut(index))
  }

  /** What only judges. */
  get validation(): readonly Sample[] {
    return this.#kept.filter(({ index }) => heldOut(index))
  }

  /** Runs so far, forgotten ones included. */
  get count(): number {
    return this.#next
  }
}
