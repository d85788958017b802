// Sends one cell's events to its authority over a stream that stays open while there is something to say.
import type { Logger } from '@libp2p/interface'
import { type Clock, sleep } from '../../core/clock.ts'
import { isCoded, messageOf } from '../../core/errors.ts'
import { abortable, Tasks } from '../../core/lifecycle.ts'
import type { Random } from '../../core/random.ts'
import { toCbor } from '../../core/shape.ts'
import { readReply } from '../kit/request.ts'
import type { MessageStream, Network } from '../kit/types.ts'
import type { PlacementErrorCode } from './errors.ts'
import { ackShape, type CellEvent, type ReportAck, type ReportBatch } from './events.ts'
import { acknowledge, append, nextBatch, type Outbox } from './outbox.ts'
import { REPORT, REPORT_IDLE_MS, REPORT_INTERVAL_MS, REPORT_RETRY_MAX_MS, REPORT_RETRY_MS } from './protocol.ts'
import type { Reporter, ReporterInit } from './types.ts'

export interface ReportPumpPorts {
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Told when it will send no more, for whatever reason. */
  readonly onEnd: () => void
}

export class ReportPump implements Reporter {
  readonly #init: ReporterInit
  readonly #ports: ReportPumpPorts
  readonly #tasks: Tasks
  readonly #waiting = new Set<() => void>()
  #outbox: Outbox
  #ring: (() => void) | undefined
  #stream: MessageStream | undefined
  /** Turns without progress in a row. */
  #failures = 0

  constructor(init: ReporterInit, ports: ReportPumpPorts) {
    this.#init = init
    this.#ports = ports
    this.#outbox = init.outbox
    this.#tasks = new Tasks({ onError: (error) => ports.log.error('reporter failed: %s', messageOf(error)) })
  }

  get outbox(): Outbox {
    return this.#outbox
  }

  /** Once. */
  run(): void {
    const { network } = this.#ports
    const unsubscribe = network.onChange((peer, connected) => {
      // an authority that is back is told at once, not after the rest of a long pause
      if (connected && peer === this.#init.authority) this.#ring?.()
    })
    this.#tasks.run('reports', async (signal) => {
      try {
        while (!signal.aborted && this.#outbox.closed === undefined) if (!(await this.#turn(signal))) return
      } finally {
        unsubscribe()
        this.#drop(new Error('the reporter ended'))
        this.#ports.onEnd()
      }
    })
  }

  append(event: CellEvent): void {
    this.#outbox = append(this.#outbox, event, this.#ports.clock.now())
    if (this.#failures === 0) this.#ring?.()
  }

  async drained(init: { readonly signal: AbortSignal }): Promise<void> {
    const signal = AbortSignal.any([init.signal, this.#tasks.signal])
    while (this.#outbox.entries.length > 0)
      await abortable(new Promise<void>((resolve) => this.#waiting.add(resolve)), signal)
  }

  async stop(): Promise<void> {
    await this.#tasks.stop()
    this.#ports.onEnd()
  }

  /** One batch, or one rest. False when nothing will ever be wanted. */
  async #turn(signal: AbortSignal): Promise<boolean> {
    const next = nextBatch(this.#outbox)
    if (next === undefined) {
      await this.#rest(signal)
      return true
    }
    this.#outbox = next.outbox
    try {
      const ack = await this.#exchange(next.batch, signal)
      const before = this.#outbox
      this.#outbox = acknowledge(before, ack)
      if (this.#outbox !== before) this.#progressed()
      else this.#failures++
    } catch (error) {
      this.#drop(error instanceof Error ? error : new Error(messageOf(error)))
      if (signal.aborted) return false
      const unknown: PlacementErrorCode = 'CELL_UNKNOWN'
      if (isCoded(error, 'REMOTE_REFUSED') && error.facts.remoteCode === unknown) {
        this.#told(() => this.#init.onRefused?.(unknown, error.message))
        return false
      }
      this.#ports.log.trace('report of %s not taken: %s', this.#init.cell, messageOf(error))
      this.#failures++
    }
    // after progress a short pause gathers what a program prints; nothing cuts it short
    if (this.#failures === 0) await sleep(this.#ports.clock, REPORT_INTERVAL_MS, signal)
    else await this.#pause(this.#retryMs(), signal)
    return true
  }

  async #exchange(batch: ReportBatch, signal: AbortSignal): Promise<ReportAck> {
    const { authority } = this.#init
    this.#stream ??= await this.#ports.network.open(authority, REPORT, { signal })
    await this.#stream.send(toCbor(batch), { signal })
    const reply = await this.#stream.receive({ signal })
    if (reply === undefined) throw new Error(`${authority} closed the stream of reports`)
    return readReply(reply, ackShape, authority, REPORT)
  }

  /** Until something is appended; a stream that was not needed for a while is closed. */
  async #rest(signal: AbortSignal): Promise<void> {
    if (this.#stream === undefined) return this.#pause(undefined, signal)
    await this.#pause(REPORT_IDLE_MS, signal)
    if (this.#outbox.entries.length > 0) return
    const stream = this.#stream
    this.#stream = undefined
    await stream.close()
  }

  /** Ends with the bell or, when there is one, the time. */
  async #pause(ms: number | undefined, signal: AbortSignal): Promise<void> {
    const over = new AbortController()
    const rung = new Promise<void>((resolve) => (this.#ring = resolve))
    const bell = abortable(rung, signal)
    const time = ms === undefined ? bell : sleep(this.#ports.clock, ms, AbortSignal.any([signal, over.signal]))
    try {
      await Promise.race([bell, time])
    } finally {
      this.#ring = undefined
      over.abort()
      await Promise.allSettled([time])
    }
  }

  #retryMs(): number {
    const ms = Math.min(REPORT_RETRY_MAX_MS, REPORT_RETRY_MS * 2 ** Math.min(16, this.#failures - 1))
    return ms * (0.75 + this.#ports.random.next() / 2)
  }

  #progressed(): void {
    this.#failures = 0
    this.#told(() => this.#init.onProgress?.(this.#outbox))
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }

  #told(listener: () => void): void {
    try {
      listener()
    } catch (error) {
      this.#ports.log.error('a listener of the reporter of %s threw: %s', this.#init.cell, messageOf(error))
    }
  }

  #drop(reason: Error): void {
    this.#stream?.abort(reason)
    this.#stream = undefined
  }
}
