// When the steps of one move away from here happened, and what is told of it.
import type { Clock } from '../../core/clock.ts'
import type { ToSource } from './messages.ts'
import type { MigrationTimings, SuspendedCell } from './types.ts'

export class MoveTimes {
  readonly #clock: Clock
  readonly #at = { begun: 0, ready: 0, stopped: 0, sending: 0, received: 0, going: 0 }
  #snapshotBytes = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** `going`: it is known to run at the destination. */
  mark(step: 'begun' | 'sending' | 'going'): void {
    this.#at[step] = this.#clock.mono()
  }

  suspended({ snapshot, stoppedAt }: SuspendedCell): void {
    this.#at.stopped = stoppedAt ?? this.#clock.mono()
    this.#snapshotBytes = snapshot.length
  }

  heard({ kind }: ToSource): void {
    if (kind === 'running' || kind === 'owned') this.mark('going')
    else if (kind === 'ready' || kind === 'received') this.#at[kind] = this.#clock.mono()
  }

  /** A step that never happened takes no time. */
  timings(moved: boolean): MigrationTimings {
    const { begun, ready, stopped, sending, received, going } = this.#at
    const end = moved ? going : this.#clock.mono()
    const span = (from: number, until: number): number => (from === 0 || until === 0 ? 0 : Math.max(0, until - from))
    return {
      prepareMs: span(begun, ready),
      stopMs: span(stopped, end),
      transferMs: span(sending, received),
      snapshotBytes: this.#snapshotBytes,
    }
  }
}
