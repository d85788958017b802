// One move away from here: performs the effects of the source's machine on streams, ports, journal and timers.
import type { Timer } from '../../core/clock.ts'
import { CodedError, messageOf } from '../../core/errors.ts'
import type { Tasks } from '../../core/lifecycle.ts'
import { request } from '../kit/request.ts'
import type { PeerKey } from '../kit/types.ts'
import type { MigrationErrorCode } from './errors.ts'
import { failureOf, Machine } from './machine.ts'
import { answerShape } from './messages.ts'
import { MoveTimes } from './move-times.ts'
import { OutgoingCopy } from './outgoing-copy.ts'
import { RESOLVE } from './protocol.ts'
import type { SourceRecord } from './records.ts'
import { newSource, recoverSource, stepSource } from './source.ts'
import type { SourceEffect, SourceEvent, SourceLimits, SourceState } from './source-events.ts'
import { SourceStore } from './source-store.ts'
import { SourceStream } from './source-stream.ts'
import type { MigrationInit, MigrationResult, MoveOffer } from './types.ts'

/** What ends as an event, and as which when it went well. */
const DONE = { stop: 'stopped', store: 'stored', resume: 'resumed', discard: 'discarded' } as const
type Work = keyof typeof DONE

export interface OutgoingInit {
  readonly ports: MigrationInit
  readonly limits: SourceLimits
  readonly tasks: Tasks
  readonly cell: string
  readonly attempt: string
  readonly to: PeerKey
  readonly epoch: number
  /** Absent for a move found in the journal: nothing is offered again. */
  readonly offer?: MoveOffer
  /** Durably ends what this peer still holds from arrivals of the cell up to `epoch`. */
  readonly letGo: (cell: string, epoch: number) => Promise<void>
  /** Every outcome, the first as the others. */
  readonly onOutcome: (move: OutgoingMove, result: MigrationResult) => void
  /** Called once, when nothing of this move has to be remembered any more. */
  readonly onDone: (move: OutgoingMove) => void
}

export class OutgoingMove {
  readonly init: OutgoingInit
  readonly #machine: Machine<SourceState, SourceEvent, SourceEffect>
  readonly #store: SourceStore
  readonly #times: MoveTimes
  readonly #stream: SourceStream
  readonly #copy: OutgoingCopy
  /** What of the copy is at work. */
  #copying: Promise<void> = Promise.resolve()
  #waiters: PromiseWithResolvers<MigrationResult>[] = []
  #timer: Timer | undefined
  #over = false
  #isStopped = false
  #isCommitted = false

  constructor(init: OutgoingInit) {
    this.init = init
    this.#store = new SourceStore(init.ports, init)
    this.#times = new MoveTimes(init.ports.clock)
    this.#stream = new SourceStream({
      network: init.ports.network,
      to: init.to,
      onMessage: (message) => {
        this.#times.heard(message)
        this.dispatch({ kind: 'message', message })
      },
      onLost: (reason) => this.dispatch({ kind: 'stream-lost', reason }),
    })
    const { source } = init.ports
    this.#copy = new OutgoingCopy({ cell: init.cell, source, store: this.#store, stream: this.#stream })
    const state = newSource(init.cell, init.attempt, init.epoch, init.limits)
    this.#machine = new Machine(state, stepSource, (effect) => this.#perform(effect))
  }

  /** Nobody who asked for the move heard of its end: it was in doubt, or comes from the journal. */
  wasInDoubt = false

  get state(): SourceState {
    return this.#machine.state
  }

  /** The next outcome. Rejects with `MIGRATION_RESUME_FAILED`, or when the service stops. */
  outcome(): Promise<MigrationResult> {
    const waiter = Promise.withResolvers<MigrationResult>()
    this.#waiters.push(waiter)
    return waiter.promise
  }

  dispatch(event: SourceEvent): void {
    this.#machine.dispatch(event)
    if (this.state.phase !== 'done' || this.#over) return
    this.#over = true
    void this.idle().then(() => this.init.onDone(this))
  }

  /** What was asked for so far is done: all writes, and the end of a copy that was given up. */
  async idle(): Promise<void> {
    await this.#copy.idle()
    await this.#store.idle()
  }

  begin(): void {
    this.#times.mark('begun')
    this.dispatch({ kind: 'begin' })
  }

  /** A move found in the journal: what the machine says a restart may do. */
  static recover(record: SourceRecord, init: Omit<OutgoingInit, 'cell' | 'attempt' | 'to' | 'epoch'>): OutgoingMove {
    const { cell, attempt, to, epoch } = record
    const move = new OutgoingMove({ ...init, cell, attempt, to, epoch })
    const { state, effects } = recoverSource(record, init.limits)
    move.#store.root = record.root
    move.wasInDoubt = true
    move.#machine.recover(state, effects)
    return move
  }

  /** Nothing moves any more; the journal says how to go on. */
  async halt(reason: Error): Promise<void> {
    this.#machine.halt()
    this.#timer?.cancel()
    const { phase } = this.state
    if (phase === 'copying' || phase === 'stopping') this.#copy.cancel()
    this.#stream.close(reason.message)
    this.#settleWaiters((waiter) => waiter.reject(reason))
    await this.#copying
    await this.idle()
    if (phase === 'stopping' || phase === 'sending') await this.#goOn()
    await this.#store.close()
  }

  /** A cell that stands still when everything is halted, and has no record yet that would let it go on. */
  async #goOn(): Promise<void> {
    if (!this.#isStopped || this.#isCommitted) return
    const { cell, epoch, ports } = this.init
    const failure = await failureOf(() => ports.source.resume(cell, epoch, () => this.#store.read()))
    if (failure !== undefined) this.#report(new Error(failure), 'resume')
  }

  #perform(effect: SourceEffect): void {
    const { source, clock } = this.init.ports
    const { cell } = this.init
    switch (effect.kind) {
      case 'prepare':
        this.#prepare()
        break
      case 'send':
        this.#stream.say(effect.message)
        break
      case 'copy':
        this.#copying = this.#ofCopy(() => this.#copy.begin().then((isLive) => ({ kind: 'copying', isLive })))
        break
      case 'round':
        this.#copying = this.#ofCopy(() => this.#round(effect.round))
        break
      case 'measure':
        this.#copying = this.#ofCopy(() => this.#measure())
        break
      case 'stop':
        this.#copying = this.#attempt('stop', () => this.#stop())
        break
      case 'cancel-copy':
        this.#copy.cancel()
        break
      case 'seal':
        this.#copying = this.#seal()
        break
      case 'store':
        void this.#write('store', this.#store.store(effect))
        break
      case 'close-stream':
        this.#stream.close(effect.reason)
        break
      case 'ask':
        this.#background('ask', (signal) => this.#ask(signal))
        break
      case 'settle':
        this.#settle()
        break
      case 'resume':
        void this.#attempt('resume', () => source.resume(cell, effect.epoch, () => this.#store.read()))
        break
      case 'discard':
        void this.#attempt('discard', () => this.#discard(effect.fate))
        break
      case 'clean':
        this.#clean()
        break
      case 'arm':
        this.#timer?.cancel()
        this.#timer = clock.after(effect.afterMs, () => this.dispatch({ kind: 'timeout', serial: effect.serial }))
        break
      case 'outcome':
        this.#tell(effect)
        break
    }
  }

  #prepare(): void {
    const { offer } = this.init
    if (offer === undefined) throw new Error('a move found in the journal is not offered again')
    this.#background('prepare', (signal) => this.#stream.converse({ kind: 'prepare', offer }, signal))
  }

  async #round(round: number): Promise<SourceEvent> {
    const bytes = await this.#copy.round(round)
    this.init.ports.beforeStop?.()
    this.#times.rounded(bytes)
    return { kind: 'round-sent', bytes }
  }

  async #measure(): Promise<SourceEvent> {
    const dirtyBytes = await this.#copy.dirtyBytes()
    return { kind: 'measured', dirtyBytes, elapsedMs: this.#times.copyingMs }
  }

  async #stop(): Promise<void> {
    this.#times.stopped(await this.#copy.stop())
    this.#isStopped = true
  }

  async #seal(): Promise<void> {
    const failure = await this.#copy
      .seal((root, lastBytes) => {
        this.#times.sealed(lastBytes)
        this.dispatch({ kind: 'sealed', root, bytes: lastBytes })
      })
      .catch(messageOf)
    this.#isCommitted = failure === undefined
    this.dispatch(failure === undefined ? { kind: 'committed' } : { kind: 'commit-failed', reason: failure })
  }

  /** Whatever breaks the copy ends it; never rejects. */
  async #ofCopy(work: () => Promise<SourceEvent>): Promise<void> {
    try {
      this.dispatch(await work())
    } catch (error) {
      this.dispatch({ kind: 'copy-failed', reason: messageOf(error) })
    }
  }

  #clean(): void {
    const cleaned = async (): Promise<void> => {
      const failure = await this.#store.clean()
      if (failure !== undefined) this.#report(new Error(failure), 'clean')
    }
    void cleaned()
  }

  async #discard(kind: 'moved' | 'dropped'): Promise<void> {
    const { cell, to, epoch, letGo, ports } = this.init
    await letGo(cell, epoch)
    await ports.source.discard(cell, { kind, to, epoch: epoch + 1 })
  }

  async #ask(signal: AbortSignal): Promise<void> {
    const { ports, cell, attempt, to } = this.init
    try {
      const body = { kind: 'ask', cell, attempt }
      const { answer } = await request(ports.network, to, RESOLVE, body, answerShape, { signal })
      this.#times.mark('going')
      this.dispatch({ kind: 'answer', answer })
    } catch (error) {
      this.dispatch({ kind: 'answer', answer: 'no-answer', reason: messageOf(error) })
    }
  }

  #settle(): void {
    const { ports, cell, attempt, to } = this.init
    if (this.#stream.isOpen) {
      this.#stream.say({ kind: 'settled' })
      return
    }
    // A courtesy: a destination that misses it forgets the move by age.
    this.#background('settle', async (signal) => {
      const body = { kind: 'settled', cell, attempt }
      await request(ports.network, to, RESOLVE, body, answerShape, { signal }).catch(() => undefined)
    })
  }

  #tell(effect: Extract<SourceEffect, { kind: 'outcome' }>): void {
    const { outcome, epoch, reason, byDestination } = effect
    if (outcome === 'stuck') {
      const message = `cell ${this.init.cell} could not be resumed here (${reason}); its snapshot is kept and it is tried again`
      const error = new CodedError<MigrationErrorCode>('MIGRATION_RESUME_FAILED', message)
      if (this.#waiters.length === 0) this.#report(error, 'resume')
      this.wasInDoubt = true
      this.#settleWaiters((waiter) => waiter.reject(error))
      return
    }
    const figures = this.#times.figures(outcome === 'moved')
    const by = byDestination === undefined ? {} : { byDestination }
    const result = { outcome, epoch, figures, ...(reason === undefined ? {} : { reason }), ...by }
    this.init.onOutcome(this, result)
    if (outcome === 'in-doubt') this.wasInDoubt = true
    this.#settleWaiters((waiter) => waiter.resolve(result))
  }

  #settleWaiters(settle: (waiter: PromiseWithResolvers<MigrationResult>) => void): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) settle(waiter)
  }

  /** Turns the end of some work into an event; never rejects. */
  async #attempt(work: Work, task: () => Promise<void>): Promise<void> {
    this.#ended(work, await failureOf(task))
  }

  async #write(work: Work, written: Promise<string | undefined>): Promise<void> {
    this.#ended(work, await written)
  }

  #ended(work: Work, failure: string | undefined): void {
    if (failure === undefined) this.dispatch({ kind: DONE[work] })
    else this.dispatch({ kind: `${work}-failed`, reason: failure })
  }

  #background(what: string, work: (signal: AbortSignal) => Promise<void>): void {
    this.init.tasks.run(`${what} for the move of ${this.init.cell}`, work)
  }

  #report(error: unknown, what: string): void {
    this.init.ports.onError(error, `${what} for the move of ${this.init.cell}`)
  }
}
