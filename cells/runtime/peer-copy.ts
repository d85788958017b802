// The peer's end of a live copy: asks for slices ahead of their use, and keeps the order of its steps.
import { CodedError } from '../../core/errors.ts'
import type { CellErrorCode } from '../errors.ts'
import type { LiveCopy, StoppedCopy } from '../types.ts'
import { SLICES_AHEAD } from './limits.ts'

/** What only the cell's handle can do. */
export interface CopyPort {
  /** A piece of that round; undefined when it is over. */
  slice(round: number): Promise<Uint8Array | undefined>
  rehearse(): Promise<Uint8Array>
  dirtyBytes(): Promise<number>
  stop(): Promise<StoppedCopy>
  /** The program goes on in the fast build. */
  end(): Promise<void>
}

export class PeerCopy implements LiveCopy {
  readonly #port: CopyPort
  readonly #signal: AbortSignal | undefined
  #rounds = 0
  #state: 'open' | 'in round' | 'spoiled' | 'over' = 'open'

  /** @param signal when it aborts, the copy is cancelled by whoever made it */
  constructor(port: CopyPort, signal: AbortSignal | undefined) {
    this.#port = port
    this.#signal = signal
  }

  async *round(): AsyncGenerator<Uint8Array, void, void> {
    this.#mustBeOpen()
    this.#state = 'in round'
    this.#rounds += 1
    const round = this.#rounds
    const asked: Promise<Uint8Array | undefined>[] = []
    const ask = (): void => {
      const slice = this.#port.slice(round)
      // Whoever awaits it hears of it.
      slice.catch(() => undefined)
      asked.push(slice)
    }
    try {
      for (let i = 0; i < SLICES_AHEAD; i++) ask()
      for (let part = await asked.shift(); part !== undefined; part = await asked.shift()) {
        yield part
        this.#mustBeInRound()
        ask()
      }
      await Promise.all(asked)
      yield await this.#port.rehearse()
      this.#mustBeInRound()
      this.#state = 'open'
    } finally {
      // What was not taken is in no copy: later parts would not fit.
      if (this.#state === 'in round') this.#state = 'spoiled'
    }
  }

  dirtyBytes(): Promise<number> {
    return this.#port.dirtyBytes()
  }

  async stop(): Promise<StoppedCopy> {
    this.#mustBeOpen()
    this.#state = 'over'
    return this.#port.stop()
  }

  async cancel(): Promise<void> {
    if (this.#state === 'over') return
    this.#state = 'over'
    await this.#port.end()
  }

  /** It may have been cancelled while the part that was yielded was used. */
  #mustBeInRound(): void {
    this.#signal?.throwIfAborted()
    if (this.#state !== 'in round') this.#mustBeOpen()
  }

  #mustBeOpen(): void {
    this.#signal?.throwIfAborted()
    if (this.#state === 'open') return
    const message = `the copy of the cell is ${this.#state}: cancel it and begin another`
    throw new CodedError<CellErrorCode>('CELL_STATE_NOT_SERIALIZABLE', message)
  }
}
