// One move to here: performs the effects of the destination's machine on its stream, ports, journal and timers.
import type { Timer } from '../../core/clock.ts'
import { CodedError, messageOf } from '../../core/errors.ts'
import type { MessageStream, PeerKey } from '../kit/types.ts'
import { type DestinationLimits, newDestination, recoverDestination, stepDestination } from './destination.ts'
import type { DestinationEffect, DestinationEvent, DestinationState } from './destination-events.ts'
import type { MigrationErrorCode } from './errors.ts'
import { imageRoot } from './image.ts'
import { Chain, failureOf, Machine } from './machine.ts'
import { type Answer, decodeToDestination, encodeMessage, type ToSource } from './messages.ts'
import { type DestinationRecord, type DestinationRecordPhase, encodeRecord, recordKey } from './records.ts'
import type { CellImage, MigrationInit, MoveOffer } from './types.ts'

/** What ends as an event, and as which when it went well. */
const DONE = { prepare: 'prepared', load: 'loaded', keep: 'kept', activate: 'activated' } as const
type Work = keyof typeof DONE

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
  #image: CellImage | undefined

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
        // What the machine wants to say goes first: a source that sends faster than this peer keeps up is held here.
        await this.#sends.idle()
      }
    } catch (error) {
      if (this.#stream === stream) {
        this.#stream = undefined
        stream.abort(error instanceof Error ? error : new Error(messageOf(error)))
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

  /** The image with which the cell came here, checked against the journal. */
  async image(): Promise<CellImage> {
    const image = this.#image ?? (await this.init.ports.images.read(this.#key))
    if (image !== undefined && imageRoot(image) === this.state.root) return image
    const { cell } = this.init.offer
    throw new CodedError<MigrationErrorCode>(
      'MIGRATION_IMAGE_LOST',
      `the snapshot with which cell ${cell} came here is ${image === undefined ? 'gone' : 'damaged'}; run the cell again`,
      { facts: { cell } },
    )
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
  }

  #perform(effect: DestinationEffect): void {
    const { destination, clock } = this.init.ports
    const { offer, from } = this.init
    switch (effect.kind) {
      case 'prepare': {
        const { signal } = this.#giveUp
        void this.#calls.add(() => this.#attempt('prepare', () => destination.prepare(offer, from, { signal })))
        break
      }
      case 'send':
        this.#send(effect.message)
        break
      case 'load':
        this.#image = effect.image
        void this.#calls.add(() => this.#attempt('load', () => destination.load(offer, from, effect.image)))
        break
      case 'keep':
        void this.#writes.add(() => this.#attempt('keep', () => this.init.ports.images.keep(this.#key, effect.image)))
        break
      case 'store':
        this.#store(effect.phase, effect.root)
        break
      case 'activate':
        void this.#attempt('activate', () => this.#activate())
        break
      case 'unload':
        this.#image = undefined
        this.#giveUp.abort(new Error(this.state.reason ?? 'the move came to nothing'))
        this.#quietly(this.#calls, () => destination.unload(offer), 'unload')
        break
      case 'drop-image':
        this.#image = undefined
        this.#quietly(this.#writes, () => this.init.ports.images.drop(this.#key), 'drop the image')
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

  async #activate(): Promise<void> {
    const { offer, from, ports } = this.init
    await ports.destination.activate(offer, from, () => this.image())
    // It runs: from here on the disk's copy is enough.
    this.#image = undefined
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
    const { from, offer, ports } = this.init
    const record: DestinationRecord = { kind: 'destination', phase, from, offer, root, at: ports.clock.now() }
    void this.#writes.add(async () => {
      const failure = await failureOf(() => ports.journal.put(this.#key, encodeRecord(record)))
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
