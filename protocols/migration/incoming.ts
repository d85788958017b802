// One move to here: performs the effects of the destination's machine on its stream, ports, journal and timers.
import type { Timer } from '../../core/clock.ts'
import { CodedError, messageOf } from '../../core/errors.ts'
import type { MessageStream, PeerKey } from '../kit/types.ts'
import { type DestinationLimits, newDestination, recoverDestination, stepDestination } from './destination.ts'
import type { DestinationEffect, DestinationEvent, DestinationState } from './destination-events.ts'
import type { MigrationErrorCode } from './errors.ts'
import { imageLost, keptImage } from './kept-image.ts'
import { Chain, failureOf, Machine } from './machine.ts'
import { type Answer, decodeToDestination, encodeMessage, type ToSource } from './messages.ts'
import { MAX_UNAPPLIED_BYTES, PIECE_OVERHEAD_BYTES } from './protocol.ts'
import { type DestinationRecord, type DestinationRecordPhase, encodeRecord, recordKey } from './records.ts'
import type { ImagePiece, KeptImage, MigrationInit, MoveOffer, OpenImage } from './types.ts'

/** What ends as an event, and as which when it went well. */
const DONE = { finish: 'finished', commit: 'committed' } as const
type Work = keyof typeof DONE

/** What the source says or does not say any more is of no concern. */
const SETTLED: ReadonlySet<string> = new Set(['activating', 'active', 'leaving', 'left', 'refusing', 'refused', 'gone'])

export interface IncomingInit {
  readonly ports: MigrationInit
  readonly limits: DestinationLimits
  readonly from: PeerKey
  readonly offer: MoveOffer
  /** Called once nothing of this move has to be remembered any more. */
  readonly onGone: (move: IncomingMove) => void
}

export class IncomingMove {
  readonly init: IncomingInit
  readonly #machine: Machine<DestinationState, DestinationEvent, DestinationEffect>
  /** Journal and image store, in the order of the effects. */
  readonly #writes = new Chain()
  readonly #sends = new Chain()
  /** What is asked of the port before the cell is owned: `unload` comes after what it undoes. */
  readonly #calls = new Chain()
  readonly #key: string
  readonly #giveUp = new AbortController()
  readonly #questions = new Map<number, (answer: Answer) => void>()
  #nextQuestion = 0
  #stream: MessageStream | undefined
  #timer: Timer | undefined
  #image: OpenImage | undefined
  #preparing: Promise<void> = Promise.resolve()
  /** Bytes of parts and pieces that are not applied and written yet, and a little for each. */
  #unapplied = 0

  constructor(init: IncomingInit) {
    this.init = init
    this.#key = recordKey('destination', init.offer.cell, init.offer.attempt)
    this.#machine = new Machine(newDestination(init.offer, init.limits), stepDestination, (effect) =>
      this.#perform(effect),
    )
  }

  /** A move found in the journal: what the machine says a restart may do. */
  static recover(
    record: DestinationRecord,
    init: Omit<IncomingInit, 'from' | 'offer'>,
    movingOn: boolean,
  ): IncomingMove {
    const move = new IncomingMove({ ...init, from: record.from, offer: record.offer })
    const { state, effects } = recoverDestination(record, init.limits, movingOn)
    move.#machine.recover(state, effects)
    return move
  }

  get state(): DestinationState {
    return this.#machine.state
  }

  get key(): string {
    return this.#key
  }

  dispatch(event: DestinationEvent): void {
    this.#machine.dispatch(event)
    if (this.state.phase === 'gone') void this.#writes.idle().then(() => this.init.onGone(this))
  }

  /** Hears the source until either side ends the stream. */
  async converse(stream: MessageStream, signal: AbortSignal): Promise<void> {
    this.#stream = stream
    this.dispatch({ kind: 'begin' })
    try {
      for (;;) {
        const bytes = await stream.receive({ signal })
        if (bytes === undefined) throw new Error('the source closed the stream')
        this.dispatch({ kind: 'message', message: decodeToDestination(bytes) })
        // A source that sends faster than this peer applies, writes and answers is held here.
        if (this.#unapplied > MAX_UNAPPLIED_BYTES) await Promise.all([this.#calls.idle(), this.#writes.idle()])
        await this.#sends.idle()
      }
    } catch (error) {
      if (this.#stream === stream) {
        this.#stream = undefined
        stream.abort(error instanceof Error ? error : new Error(messageOf(error)))
        // The source only sees that its stream was reset.
        if (!SETTLED.has(this.state.phase)) this.#report(error, 'hear the source')
      }
      this.dispatch({ kind: 'stream-lost', reason: messageOf(error) })
    }
  }

  /** Who owns the cell, as far as this move is concerned; `never` and `owned` are durable when they are said. */
  ask(): Promise<Answer> {
    const id = this.#nextQuestion++
    return new Promise((resolve) => {
      this.#questions.set(id, resolve)
      this.dispatch({ kind: 'ask', id })
    })
  }

  /** The image with which the cell came here. */
  async image(): Promise<KeptImage> {
    const { cell } = this.init.offer
    const image = await this.init.ports.images.read(this.#key)
    if (image === undefined) throw imageLost(cell, 'gone')
    return keptImage(image, this.state.root, cell)
  }

  /** The cell is gone from here: resolves once that is durable, rejects when it cannot be written (it is tried again). */
  async leave(): Promise<void> {
    this.dispatch({ kind: 'left' })
    await this.#writes.idle()
    if (this.state.phase !== 'leaving') return
    const { cell } = this.init.offer
    throw new CodedError<MigrationErrorCode>(
      'MIGRATION_JOURNAL_FAILED',
      `that cell ${cell} is gone from here could not be written; free some disk space, it is tried again`,
      { facts: { cell } },
    )
  }

  async halt(reason: Error): Promise<void> {
    this.#machine.halt()
    this.#timer?.cancel()
    this.#giveUp.abort(reason)
    this.#stream?.abort(reason)
    for (const answer of this.#questions.values()) answer('pending')
    this.#questions.clear()
    await this.#writes.idle()
    await this.#image?.abandon()
  }

  #perform(effect: DestinationEffect): void {
    const { destination, clock } = this.init.ports
    const { offer } = this.init
    switch (effect.kind) {
      case 'prepare':
        this.#preparing = this.#calls.add(() => this.#prepare())
        break
      case 'send':
        this.#send(effect.message)
        break
      case 'append':
        this.#append(effect.piece)
        break
      case 'add':
        this.#add(effect.part)
        break
      case 'apply':
        void this.#apply()
        break
      case 'finish':
        void this.#calls.add(() => this.#attempt('finish', () => destination.finish(offer, effect.context)))
        break
      case 'commit':
        void this.#writes.add(() => this.#attempt('commit', async () => this.#image?.commit(effect.context)))
        break
      case 'store':
        this.#store(effect.phase, effect.root)
        break
      case 'activate':
        void this.#activate()
        break
      case 'unload':
        this.#giveUp.abort(new Error(this.state.reason ?? 'the move came to nothing'))
        this.#quietly(this.#calls, () => destination.unload(offer), 'unload')
        break
      case 'drop-image':
        this.#quietly(this.#writes, () => this.#drop(), 'drop the image')
        break
      case 'clean':
        this.#quietly(this.#writes, () => this.init.ports.journal.remove(this.#key), 'clean')
        break
      case 'answer':
        this.#questions.get(effect.id)?.(effect.answer)
        this.#questions.delete(effect.id)
        break
      case 'close-stream':
        this.#closeStream()
        break
      case 'arm':
        this.#timer?.cancel()
        this.#timer = clock.after(effect.afterMs, () => this.dispatch({ kind: 'timeout', serial: effect.serial }))
        break
    }
  }

  async #prepare(): Promise<void> {
    const { ports, offer, from } = this.init
    const { signal } = this.#giveUp
    try {
      const { maxImageBytes } = await ports.destination.prepare(offer, from, { signal })
      signal.throwIfAborted()
      this.#image = await ports.images.create(this.#key)
      this.dispatch({ kind: 'prepared', maxImageBytes })
    } catch (error) {
      this.dispatch({ kind: 'prepare-failed', reason: messageOf(error) })
    }
  }

  #append(piece: ImagePiece): void {
    const bytes = piece.bytes.length + PIECE_OVERHEAD_BYTES
    this.#unapplied += bytes
    void this.#writes.add(async () => {
      const failure = await failureOf(async () => this.#image?.append([piece]))
      this.#unapplied -= bytes
      if (failure !== undefined) this.dispatch({ kind: 'append-failed', reason: failure })
    })
  }

  #add(part: Uint8Array): void {
    const bytes = part.length + PIECE_OVERHEAD_BYTES
    this.#unapplied += bytes
    void this.#calls.add(async () => {
      // After the first one that was not taken no other is of use.
      const failure = this.#giveUp.signal.aborted
        ? undefined
        : await failureOf(() => this.init.ports.destination.add(this.init.offer, part))
      this.#unapplied -= bytes
      if (failure !== undefined) this.dispatch({ kind: 'add-failed', reason: failure })
    })
  }

  async #apply(): Promise<void> {
    let failure: string | undefined
    const written = this.#writes.add(async () => {
      failure = await failureOf(async () => this.#image?.sync())
    })
    await Promise.all([written, this.#calls.idle()])
    this.init.ports.beforeStop?.()
    this.dispatch(failure === undefined ? { kind: 'applied' } : { kind: 'append-failed', reason: failure })
  }

  async #activate(): Promise<void> {
    const { offer, from, ports } = this.init
    try {
      const { hostStartedAt } = await ports.destination.activate(offer, from, () => this.image())
      this.dispatch({ kind: 'activated', ...(hostStartedAt === undefined ? {} : { hostStartedAt }) })
    } catch (error) {
      this.dispatch({ kind: 'activate-failed', reason: messageOf(error) })
    }
  }

  async #drop(): Promise<void> {
    await this.#preparing
    await this.#image?.abandon()
    this.#image = undefined
    await this.init.ports.images.drop(this.#key)
  }

  #send(message: ToSource): void {
    const stream = this.#stream
    if (stream === undefined) return
    void this.#sends.add(() =>
      stream.send(encodeMessage(message)).catch((error: unknown) => {
        this.dispatch({ kind: 'stream-lost', reason: messageOf(error) })
      }),
    )
  }

  /** Whatever was said before arrives; then the stream ends, and with it `converse`. */
  #closeStream(): void {
    const stream = this.#stream
    this.#stream = undefined
    if (stream !== undefined)
      void this.#sends.add(() => stream.close().catch((error: unknown) => this.#report(error, 'close')))
  }

  #store(phase: DestinationRecordPhase, root: string): void {
    const { from, ports } = this.init
    // Who refused needs to know no more than that.
    const none = new Uint8Array()
    const offer = phase === 'refused' ? { ...this.init.offer, manifest: none, signature: none } : this.init.offer
    const record: DestinationRecord = { kind: 'destination', phase, from, offer, root, at: ports.clock.now() }
    void this.#writes.add(async () => {
      const failure = await failureOf(async () => {
        if (phase === 'active') await ports.destination.remember(offer)
        await ports.journal.put(this.#key, encodeRecord(record))
      })
      if (failure === undefined) this.dispatch({ kind: 'stored', phase })
      else this.dispatch({ kind: 'store-failed', phase, reason: failure })
    })
  }

  #quietly(chain: Chain, work: () => Promise<void>, what: string): void {
    void chain.add(async () => {
      await work().catch((error: unknown) => this.#report(error, what))
    })
  }

  /** Turns the end of some work into an event; never rejects. */
  async #attempt(work: Work, task: () => Promise<void>): Promise<void> {
    const failure = await failureOf(task)
    if (failure === undefined) this.dispatch({ kind: DONE[work] })
    else this.dispatch({ kind: `${work}-failed`, reason: failure })
  }

  #report(error: unknown, what: string): void {
    this.init.ports.onError(error, `${what} for the arrival of ${this.init.offer.cell}`)
  }
}
