// When the steps of one move away from here happened, and what is told of it.
import type { Clock } from '../../core/clock.ts'
import type { ToSource } from './messages.ts'
import type { MigrationFigures, StoppedCell } from './types.ts'

export class MoveTimes {
  readonly #clock: Clock
  readonly #at = { begun: 0, ready: 0, stopped: 0, going: 0 }
  #rounds = 0
  #movedBytes = 0
  #lastBytes = 0
  #hosts: { hostStoppedAt?: number; hostStartedAt?: number } = {}

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** `going`: it is known to run at the destination. */
  mark(step: 'begun' | 'going'): void {
    this.#at[step] = this.#clock.mono()
  }

  /** Since the destination was ready, milliseconds. */
  get copyingMs(): number {
    return this.#clock.mono() - this.#at.ready
  }

  rounded(bytes: number): void {
    this.#rounds++
    this.#movedBytes += bytes
  }

  stopped({ stoppedAt, hostStoppedAt }: StoppedCell): void {
    this.#at.stopped = stoppedAt ?? this.#clock.mono()
    if (hostStoppedAt !== undefined) this.#hosts = { ...this.#hosts, hostStoppedAt }
  }

  sealed(lastBytes: number): void {
    this.#lastBytes = lastBytes
    this.#movedBytes += lastBytes
  }

  heard(message: ToSource): void {
    if (message.kind === 'ready') this.#at.ready = this.#clock.mono()
    if (message.kind === 'running' || message.kind === 'owned') this.mark('going')
    if (message.kind === 'running' && message.hostStartedAt !== undefined)
      this.#hosts = { ...this.#hosts, hostStartedAt: message.hostStartedAt }
  }

  figures(moved: boolean): MigrationFigures {
    const { begun, ready, stopped, going } = this.#at
    const now = this.#clock.mono()
    const end = moved ? going : now
    const span = (from: number, until: number): number => (from === 0 || until === 0 ? 0 : Math.max(0, until - from))
    return {
      prepareMs: span(begun, ready),
      totalMs: span(begun, end),
      stopMs: span(stopped, end),
      rounds: this.#rounds,
      movedBytes: this.#movedBytes,
      lastBytes: this.#lastBytes,
      ...this.#hosts,
    }
  }
}
