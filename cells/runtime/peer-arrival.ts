// The peer's end of a cell that comes in parts.
import { hex } from '../../core/bytes.ts'
import type { SnapshotUsage } from '../snapshot/format.ts'
import { malformed } from '../snapshot/part.ts'
import { moduleMismatch, stateHeaderOf } from '../snapshot/snapshot.ts'
import type { ArrivingCell, CellHandle } from '../types.ts'
import type { RunningCell } from './running-cell.ts'

export class PeerArrival implements ArrivingCell {
  readonly #cell: RunningCell
  readonly #moduleHash: string
  #usage: SnapshotUsage | undefined
  #isComplete = false
  #isOver = false

  constructor(cell: RunningCell, moduleHash: string) {
    this.#cell = cell
    this.#moduleHash = moduleHash
  }

  async add(parts: Uint8Array): Promise<void> {
    try {
      // Of the host process only what stands in the snapshot's own header is believed. Hashes are checked there.
      const state = stateHeaderOf(parts)
      if (state !== undefined) {
        const module = hex(state.module)
        if (module !== this.#moduleHash) throw moduleMismatch(module, this.#moduleHash)
        this.#usage = state.usage
      }
      this.#isComplete = await this.#cell.add(parts)
    } catch (error) {
      await this.abandon()
      throw error
    }
  }

  async finish(): Promise<CellHandle> {
    if (!this.#isComplete || this.#usage === undefined) throw malformed('its state has not come')
    this.#isOver = true
    this.#cell.arrived(this.#usage)
    return this.#cell
  }

  async abandon(): Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    await this.#cell.kill()
  }
}
