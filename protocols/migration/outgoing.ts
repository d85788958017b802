// One move away from here: performs the effects of the source's machine on streams, ports, journal and timers.
import type { Timer } from '../../core/clock.ts'
import { CodedError, messageOf } from '../../core/errors.ts'
import type { Tasks } from '../../core/lifecycle.ts'
import { request } from '../kit/request.ts'
import type { MessageStream, PeerKey } from '../kit/types.ts'
import type { MigrationErrorCode } from './errors.ts'
import { cut, imageRoot, rootOf, sizesOf } from './image.ts'
import { Chain, Machine } from './machine.ts'
import { answerShape, decodeToSource, encodeMessage, type ToDestination, type ToSource } from './messages.ts'
import { MIGRATE, RESOLVE } from './protocol.ts'
import { encodeRecord, recordKey, type SourceRecord, type SourceRecordPhase } from './records.ts'
import { newSource, recoverSource, stepSource } from './source.ts'
import type { SourceEffect, SourceEvent, SourceState } from './source-events.ts'
import type { CellImage, Deadlines, MigrationInit, MigrationResult, MoveOffer } from './types.ts'

type PlainKind = 'suspended' | 'kept' | 'stored' | 'resumed' | 'discarded'
type FailedKind = 'suspend-failed' | 'keep-failed' | 'store-failed' | 'resume-failed' | 'discard-failed'

export interface OutgoingInit {
  readonly ports: MigrationInit
  readonly deadlines: Deadlines
  readonly tasks: Tasks
  readonly cell: string
  readonly attempt: string
  readonly to: PeerKey
  readonly epoch: number
  /** Absent for a move found in the journal: nothing is offered again. */
  readonly offer?: MoveOffer
  /** Durably ends what this peer still holds from an earlier arrival of the cell. */
  readonly letGo: (cell: string) => Promise<void>
  /** Every outcome, the first as the others. */
  readonly onOutcome: (move: OutgoingMove, result: MigrationResult) => void
}

export class OutgoingMove {
  readonly init: OutgoingInit
  readonly #machine: Machine<SourceState, SourceEvent, SourceEffect>
  /** Journal and image store, in the order of the effects. */
  readonly #writes = new Chain()
  /** The stream, in the order of the effects. */
  readonly #sends = new Chain()
  readonly #suspending = new AbortController()
  readonly #key: string
  #waiters: PromiseWithResolvers<MigrationResult>[] = []
  #stream: MessageStream | undefined
  #image: CellImage | undefined
  #timer: Timer | undefined
  #root = ''
  readonly #times = { begun: 0, ready: 0, stopped: 0, sending: 0, received: 0, going: 0, snapshotBytes: 0 }

  constructor(init: OutgoingInit) {
    this.init = init
    this.#key = recordKey('source', init.cell, init.attempt)
    const state = newSource(init.cell, init.attempt, init.epoch, init.deadlines)
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
  }

  begin(): void {
    this.#times.begun = this.init.ports.clock.mono()
    this.dispatch({ kind: 'begin' })
  }

  /** A move found in the journal: what the machine says a restart may do. */
  static recover(record: SourceRecord, init: Omit<OutgoingInit, 'cell' | 'attempt' | 'to' | 'epoch'>): OutgoingMove {
    const { cell, attempt, to, epoch } = record
    const move = new OutgoingMove({ ...init, cell, attempt, to, epoch })
    const { state, effects } = recoverSource(record, init.deadlines)
    move.#root = record.root
    move.wasInDoubt = true
    move.#machine.recover(state, effects)
    return move
  }

  /** Nothing moves any more; the journal says how to go on. */
  async halt(reason: Error): Promise<void> {
    this.#machine.halt()
    this.#timer?.cancel()
    this.#suspending.abort(reason)
    this.#stream?.abort(reason)
    this.#settleWaiters((waiter) => waiter.reject(reason))
    await this.#writes.idle()
  }

  #perform(effect: SourceEffect): void {
    const { source, clock } = this.init.ports
    const { cell } = this.init
    switch (effect.kind) {
      case 'prepare':
        this.#background('prepare', (signal) => this.#converse(signal))
        break
      case 'send':
        this.#send((stream) => this.#write(stream, effect.message))
        break
      case 'suspend':
        void this.#attempt(this.#suspend(), 'suspended', 'suspend-failed')
        break
      case 'stop-suspending':
        this.#suspending.abort(new Error('the move was given up'))
        break
      case 'send-image':
        this.#send((stream) => this.#sendImage(stream))
        break
      case 'keep':
        this.#keep()
        break
      case 'store':
        this.#store(effect.phase, effect.root, effect.resumeEpoch)
        break
      case 'close-stream':
        this.#closeStream(effect.reason)
        break
      case 'ask':
        this.#background('ask', (signal) => this.#ask(signal))
        break
      case 'settle':
        this.#settle()
        break
      case 'resume':
        void this.#attempt(
          source.resume(cell, effect.epoch, () => this.#readImage()),
          'resumed',
          'resume-failed',
        )
        break
      case 'discard':
        void this.#attempt(this.#discard(effect.fate), 'discarded', 'discard-failed')
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

  /** Opens the stream, offers the cell, and hears the destination until either side ends it. */
  async #converse(signal: AbortSignal): Promise<void> {
    const { ports, to, offer } = this.init
    let stream: MessageStream | undefined
    try {
      if (offer === undefined) throw new Error('a recovered move has no offer')
      stream = await ports.network.open(to, MIGRATE, { signal })
      if (this.state.phase !== 'preparing') return stream.abort(new Error('the move was given up'))
      this.#stream = stream
      await stream.send(encodeMessage({ kind: 'prepare', offer }), { signal })
      for (;;) {
        const bytes = await stream.receive({ signal })
        if (bytes === undefined) throw new Error('the destination closed the stream')
        const message = decodeToSource(bytes)
        this.#clockMessage(message)
        this.dispatch({ kind: 'message', message })
      }
    } catch (error) {
      this.#lose(error, stream)
    }
  }

  #clockMessage(message: ToSource): void {
    const now = this.init.ports.clock.mono()
    if (message.kind === 'ready') this.#times.ready = now
    if (message.kind === 'received') this.#times.received = now
    if (message.kind === 'running' || message.kind === 'owned') this.#times.going = now
  }

  #send(work: (stream: MessageStream) => Promise<void>): void {
    const stream = this.#stream
    if (stream === undefined) this.dispatch({ kind: 'stream-lost', reason: 'there is no stream' })
    else void this.#sends.add(() => work(stream).catch((error: unknown) => this.#lose(error, stream)))
  }

  async #write(stream: MessageStream, message: ToDestination): Promise<void> {
    await stream.send(encodeMessage(message), { signal: this.init.tasks.signal })
  }

  async #sendImage(stream: MessageStream): Promise<void> {
    const image = this.#image
    if (image === undefined) return
    const sizes = sizesOf(image)
    this.#times.sending = this.init.ports.clock.mono()
    await this.#write(stream, { kind: 'image', ...sizes })
    const hashes: Uint8Array[] = []
    for (const chunk of cut(image)) {
      hashes.push(chunk.sha256)
      await this.#write(stream, chunk)
    }
    const root = rootOf(sizes, hashes)
    await this.#write(stream, { kind: 'complete', root })
    this.dispatch({ kind: 'image-sent', root })
  }

  async #suspend(): Promise<void> {
    const { source, clock } = this.init.ports
    const { snapshot, context, stoppedAt } = await source.suspend(this.init.cell, { signal: this.#suspending.signal })
    this.#image = { snapshot, context }
    this.#times.stopped = stoppedAt ?? clock.mono()
    this.#times.snapshotBytes = snapshot.length
  }

  #keep(): void {
    const image = this.#image
    if (image === undefined) return
    const { images, journal } = this.init.ports
    const record = this.#record('kept', '')
    const work = async (): Promise<void> => {
      await images.keep(this.#key, image)
      await journal.put(this.#key, encodeRecord(record))
    }
    this.#inOrder(work, 'kept', 'keep-failed')
  }

  #store(phase: SourceRecordPhase, root: string, resumeEpoch: number | undefined): void {
    this.#root = root
    const record = this.#record(phase, root, resumeEpoch)
    this.#inOrder(() => this.init.ports.journal.put(this.#key, encodeRecord(record)), 'stored', 'store-failed')
  }

  #clean(): void {
    const { journal, images } = this.init.ports
    const work = async (): Promise<void> => {
      await journal.remove(this.#key)
      await images.drop(this.#key)
    }
    void this.#writes.add(() => work().catch((error: unknown) => this.#report(error, 'clean')))
  }

  #record(phase: SourceRecordPhase, root: string, resumeEpoch?: number): SourceRecord {
    const { cell, attempt, to, epoch, ports } = this.init
    const back = resumeEpoch === undefined ? {} : { resumeEpoch }
    return { kind: 'source', phase, cell, attempt, to, epoch, root, at: ports.clock.now(), ...back }
  }

  async #readImage(): Promise<CellImage> {
    const image = this.#image ?? (await this.init.ports.images.read(this.#key))
    if (image !== undefined && (this.#root === '' || imageRoot(image) === this.#root)) return image
    const facts = { cell: this.init.cell, attempt: this.init.attempt }
    throw new CodedError<MigrationErrorCode>(
      'MIGRATION_IMAGE_LOST',
      `the kept snapshot of cell ${this.init.cell} is ${image === undefined ? 'gone' : 'damaged'}; run the cell again`,
      { facts },
    )
  }

  async #discard(kind: 'moved' | 'dropped'): Promise<void> {
    const { cell, to, epoch, letGo, ports } = this.init
    await letGo(cell)
    await ports.source.discard(cell, { kind, to, epoch: epoch + 1 })
  }

  async #ask(signal: AbortSignal): Promise<void> {
    const { ports, cell, attempt, to } = this.init
    try {
      const body = { kind: 'ask', cell, attempt }
      const { answer } = await request(ports.network, to, RESOLVE, body, answerShape, { signal })
      this.#times.going = ports.clock.mono()
      this.dispatch({ kind: 'answer', answer })
    } catch (error) {
      this.dispatch({ kind: 'answer', answer: 'no-answer', reason: messageOf(error) })
    }
  }

  #settle(): void {
    const { ports, cell, attempt, to } = this.init
    if (this.#stream !== undefined) {
      this.#send((stream) => this.#write(stream, { kind: 'settled' }))
      return
    }
    // A courtesy: a destination that misses it forgets the move by age.
    this.#background('settle', async (signal) => {
      const body = { kind: 'settled', cell, attempt }
      await request(ports.network, to, RESOLVE, body, answerShape, { signal }).catch(() => undefined)
    })
  }

  #closeStream(reason: string | undefined): void {
    const stream = this.#stream
    this.#stream = undefined
    if (stream === undefined) return
    if (reason !== undefined) stream.abort(new Error(reason))
    else void this.#sends.add(() => stream.close().catch((error: unknown) => this.#report(error, 'close')))
  }

  #lose(error: unknown, stream: MessageStream | undefined): void {
    if (this.#stream === stream) this.#stream = undefined
    stream?.abort(error instanceof Error ? error : new Error(messageOf(error)))
    this.dispatch({ kind: 'stream-lost', reason: messageOf(error) })
  }

  #tell(effect: Extract<SourceEffect, { kind: 'outcome' }>): void {
    const { outcome, epoch, reason } = effect
    if (outcome === 'stuck') {
      const message = `cell ${this.init.cell} could not be resumed here (${reason}); its snapshot is kept and it is tried again`
      const error = new CodedError<MigrationErrorCode>('MIGRATION_RESUME_FAILED', message)
      if (this.#waiters.length === 0) this.#report(error, 'resume')
      this.#settleWaiters((waiter) => waiter.reject(error))
      return
    }
    const { begun, ready, stopped, sending, received, snapshotBytes } = this.#times
    const end = outcome === 'moved' ? this.#times.going : this.init.ports.clock.mono()
    const span = (from: number, until: number): number => (from === 0 || until === 0 ? 0 : Math.max(0, until - from))
    const stopMs = span(stopped, end)
    const timings = { prepareMs: span(begun, ready), stopMs, transferMs: span(sending, received), snapshotBytes }
    const result = { outcome, epoch, timings, ...(reason === undefined ? {} : { reason }) }
    if (outcome !== 'in-doubt') this.#image = undefined
    this.init.onOutcome(this, result)
    if (outcome === 'in-doubt') this.wasInDoubt = true
    this.#settleWaiters((waiter) => waiter.resolve(result))
  }

  #settleWaiters(settle: (waiter: PromiseWithResolvers<MigrationResult>) => void): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) settle(waiter)
  }

  #inOrder(work: () => Promise<void>, done: PlainKind, failed: FailedKind): void {
    void this.#writes.add(() => this.#attempt(work(), done, failed))
  }

  /** Turns the end of some work into an event; never rejects. */
  async #attempt(work: Promise<void>, done: PlainKind, failed: FailedKind): Promise<void> {
    try {
      await work
    } catch (error) {
      this.dispatch({ kind: failed, reason: messageOf(error) })
      return
    }
    this.dispatch({ kind: done })
  }

  #background(what: string, work: (signal: AbortSignal) => Promise<void>): void {
    this.init.tasks.run(`${what} for the move of ${this.init.cell}`, work)
  }

  #report(error: unknown, what: string): void {
    this.init.ports.onError(error, `${what} for the move of ${this.init.cell}`)
  }
}
