// The copy that is being made of a running cell, one at a time: how it begins, is stopped, and is given up.
import { abortable } from '../../core/lifecycle.ts'
import type { Shape } from '../../core/shape.ts'
import type { LiveCopy, StoppedCopy } from '../types.ts'
import { answers, type CellCommand } from './messages.ts'
import { PeerCopy } from './peer-copy.ts'

/** What of the cell a copy needs. */
export interface CopiedCell {
  ask<T>(command: CellCommand, shape: Shape<T>): Promise<T>
  /** Puts the program, in mid-run, into the build that notes its writes. */
  track(): Promise<unknown>
  /** Stops the program for good or until it is resumed; throws when it does not run. */
  stop(signal: AbortSignal | undefined): Promise<StoppedCopy>
  /** What to say of a failure: that the cell has ended, if that is why. */
  failure(error: unknown): unknown
}

export class LiveCopies {
  readonly #cell: CopiedCell
  #copy: PeerCopy | undefined

  constructor(cell: CopiedCell) {
    this.#cell = cell
  }

  get isUnderWay(): boolean {
    return this.#copy !== undefined
  }

  /** Of a running cell of which no copy is made; an aborted `signal` cancels it at any time. */
  async begin(signal: AbortSignal | undefined): Promise<LiveCopy> {
    const cell = this.#cell
    const copy: PeerCopy = new PeerCopy(
      {
        slice: async (round) => (await cell.ask({ kind: 'slice', round }, answers.slice)).part,
        rehearse: async () => (await cell.ask({ kind: 'rehearse' }, answers.rehearsal)).part,
        dirtyBytes: async () => (await cell.ask({ kind: 'dirty' }, answers.dirty)).bytes,
        stop: () => {
          signal?.removeEventListener('abort', cancel)
          return this.#stop(copy, signal)
        },
        end: () => {
          signal?.removeEventListener('abort', cancel)
          return this.#end(copy)
        },
      },
      signal,
    )
    this.#copy = copy
    const cancel = (): void => void copy.cancel()
    const tracked = cell.track()
    try {
      await abortable(tracked, signal)
    } catch (error) {
      // The program answers at its polls, for which nobody who gave up waits.
      void this.#end(copy)
      // It may still go over to the tracking build: back then, unless the next copy wants it there.
      tracked.then(() => (this.#copy === undefined ? this.#leaveTracking() : undefined)).catch(() => undefined)
      throw cell.failure(error)
    }
    signal?.addEventListener('abort', cancel, { once: true })
    return copy
  }

  /** Nobody waits for the answer: commands reach the program in order. */
  cancel(): void {
    void this.#copy?.cancel()
  }

  async #stop(copy: PeerCopy, signal: AbortSignal | undefined): Promise<StoppedCopy> {
    try {
      signal?.throwIfAborted()
      const stopped = await this.#cell.stop(signal)
      if (this.#copy === copy) this.#copy = undefined
      return stopped
    } catch (error) {
      void this.#end(copy)
      throw error
    }
  }

  /** A cell that ended meanwhile is copied no more either. */
  async #end(copy: PeerCopy): Promise<void> {
    if (this.#copy !== copy) return
    this.#copy = undefined
    await this.#leaveTracking()
  }

  async #leaveTracking(): Promise<void> {
    await this.#cell.ask({ kind: 'end-copy' }, answers.nothing).catch(() => undefined)
  }
}
