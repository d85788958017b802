// Migration at work: serves the two protocols, keeps the moves of both roles, and takes up what the journal left undecided.
import { hex } from '../../core/bytes.ts'
import { CodedError } from '../../core/errors.ts'
import { Tasks } from '../../core/lifecycle.ts'
import { serve } from '../kit/request.ts'
import type { HandlerContext, MessageStream, PeerKey } from '../kit/types.ts'
import type { DestinationLimits } from './destination.ts'
import type { MigrationErrorCode } from './errors.ts'
import { IncomingMove } from './incoming.ts'
import { type Answer, cutReason, decodeToDestination, encodeMessage, type Question, questionShape } from './messages.ts'
import { OutgoingMove } from './outgoing.ts'
import { DEADLINES, MAX_IMAGE_BYTES, MAX_INCOMING, MIGRATE, OFFER_MS, RESOLVE, STOP_RULE } from './protocol.ts'
import { readJournal } from './recovery.ts'
import type { SourceLimits } from './source-events.ts'
import type {
  MigrateInit,
  Migration,
  MigrationInit,
  MigrationResult,
  MoveOffer,
  MoveStatus,
  ResolvedMove,
} from './types.ts'

export class MigrationService implements Migration {
  readonly #init: MigrationInit
  readonly #limits: DestinationLimits & SourceLimits
  #tasks: Tasks | undefined
  readonly #outgoing = new Map<string, OutgoingMove>()
  /** By attempt: a cell may have come here more than once. */
  readonly #incoming = new Map<string, IncomingMove>()
  /** Cells of which a record could not be read: nothing is done about them. */
  readonly #unreadable = new Set<string>()
  readonly #listeners = new Set<(move: ResolvedMove) => void>()
  readonly #unhandle: (() => Promise<void>)[] = []

  constructor(init: MigrationInit) {
    this.#init = init
    const deadlines = { ...DEADLINES, ...init.deadlines }
    const maxImageBytes = init.maxImageBytes ?? MAX_IMAGE_BYTES
    this.#limits = { deadlines, maxImageBytes, stopRule: { ...STOP_RULE, maxBytes: maxImageBytes, ...init.stopRule } }
  }

  async start(): Promise<void> {
    if (this.#tasks !== undefined) return
    this.#tasks = new Tasks({ onError: (error, name) => this.#init.onError(error, name) })
    try {
      await this.#begin()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  async #begin(): Promise<void> {
    await this.#recover()
    const { network } = this.#init
    this.#unhandle.push(await network.handle(MIGRATE, (stream, context) => this.#onMove(stream, context)))
    this.#unhandle.push(
      await network.handle(
        RESOLVE,
        serve(questionShape, (question, context) => this.#onQuestion(question, context.peer)),
      ),
    )
  }

  async stop(): Promise<void> {
    const tasks = this.#tasks
    this.#tasks = undefined
    for (const unhandle of this.#unhandle.splice(0)) await unhandle()
    const reason = notStarted()
    await Promise.all([...this.#outgoing.values(), ...this.#incoming.values()].map((move) => move.halt(reason)))
    await tasks?.stop()
    this.#outgoing.clear()
    this.#incoming.clear()
    this.#unreadable.clear()
  }

  async migrate(cell: string, to: PeerKey, init: MigrateInit): Promise<MigrationResult> {
    init.signal?.throwIfAborted()
    this.#mustBeFree(cell)
    // What the move before this one leaves behind is gone before anything new is written.
    await this.#outgoing.get(cell)?.idle()
    const description = await this.#init.source.describe(cell)
    init.signal?.throwIfAborted()
    const tasks = this.#started()
    this.#mustBeFree(cell)
    const attempt = hex(this.#init.random.bytes(16))
    const { reservation = '', epoch } = init
    const offer: MoveOffer = { ...description, cell, attempt, epoch: epoch + 1, reservation }
    const move = new OutgoingMove({ ...this.#outgoingInit(tasks), cell, attempt, to, epoch, offer })
    this.#outgoing.set(cell, move)
    const cancel = (): void => move.dispatch({ kind: 'cancel', reason: 'it was given up here' })
    init.signal?.addEventListener('abort', cancel, { once: true })
    const outcome = move.outcome()
    move.begin()
    try {
      return await outcome
    } finally {
      init.signal?.removeEventListener('abort', cancel)
    }
  }

  async resolve(cell: string, decision: 'resume' | 'drop'): Promise<MigrationResult> {
    const move = this.#outgoing.get(cell)
    if (move?.state.phase !== 'in-doubt') {
      throw new CodedError<MigrationErrorCode>(
        'MIGRATION_NOT_IN_DOUBT',
        `no move of cell ${cell} waits for a decision here`,
      )
    }
    const outcome = move.outcome()
    move.dispatch({ kind: 'decide', decision })
    return outcome
  }

  status(cell: string): MoveStatus | undefined {
    const out = this.#outgoing.get(cell)
    if (out !== undefined && out.state.phase !== 'done') {
      const { phase, epoch, reason } = out.state
      return { cell, role: 'source', phase, peer: out.init.to, epoch, ...(reason === undefined ? {} : { reason }) }
    }
    const { state, init } = this.#holding(cell) ?? {}
    if (state === undefined || init === undefined) return undefined
    const { phase, reason } = state
    const { epoch } = state.offer
    return { cell, role: 'destination', phase, peer: init.from, epoch, ...(reason === undefined ? {} : { reason }) }
  }

  list(): readonly MoveStatus[] {
    const cells = new Set([
      ...this.#outgoing.keys(),
      ...[...this.#incoming.values()].map((move) => move.init.offer.cell),
    ])
    return [...cells].flatMap((cell) => this.status(cell) ?? [])
  }

  async forget(cell: string, epoch = Number.MAX_SAFE_INTEGER): Promise<void> {
    const arrivals = [...this.#incoming.values()].map((move) => ({ move, offer: move.init.offer }))
    const over = arrivals.filter(({ offer }) => offer.cell === cell && offer.epoch <= epoch)
    await Promise.all(over.map(({ move }) => move.leave()))
  }

  onResolved(listener: (move: ResolvedMove) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  // -- what the journal says

  async #recover(): Promise<void> {
    const { sources, arrivals, unreadable } = await readJournal(this.#init)
    for (const cell of unreadable) this.#unreadable.add(cell)
    for (const { record, movingOn } of arrivals)
      this.#incoming.set(record.offer.attempt, IncomingMove.recover(record, this.#incomingInit(), movingOn))
    const init = this.#outgoingInit(this.#started())
    for (const record of sources) this.#outgoing.set(record.cell, OutgoingMove.recover(record, init))
  }

  // -- what sources ask

  async #onMove(stream: MessageStream, { peer, signal }: HandlerContext): Promise<void> {
    const late = this.#init.clock.after(OFFER_MS, () => stream.abort(new Error('no offer came')))
    const bytes = await stream.receive({ signal }).finally(() => late.cancel())
    if (bytes === undefined) return
    const message = decodeToDestination(bytes)
    const refusal = message.kind === 'prepare' ? this.#refusalOf(message.offer) : 'a move begins with an offer'
    if (message.kind !== 'prepare' || refusal !== undefined) {
      await stream.send(encodeMessage({ kind: 'refuse', reason: cutReason(refusal ?? '') }), { signal })
      await stream.close()
      return
    }
    const move = new IncomingMove({ ...this.#incomingInit(), from: peer, offer: message.offer })
    this.#incoming.set(message.offer.attempt, move)
    await move.converse(stream, signal)
  }

  #refusalOf(offer: MoveOffer): string | undefined {
    const arriving = [...this.#incoming.values()].filter(({ state }) => state.streamOpen && !SETTLED.has(state.phase))
    if (arriving.length >= MAX_INCOMING) return `this peer takes in ${arriving.length} cells already; try again later`
    if (this.#incoming.has(offer.attempt)) return 'this attempt was made before'
    const out = this.#outgoing.get(offer.cell)
    if (out !== undefined && out.state.phase !== 'done') return 'a move of this cell away from here has no end yet'
    if (this.#unreadable.has(offer.cell)) return 'the record of an earlier move of this cell cannot be read here'
    for (const { state } of this.#incoming.values()) {
      if (state.offer.cell !== offer.cell || state.phase === 'refused' || state.phase === 'gone') continue
      if (state.offer.epoch >= offer.epoch)
        return `epoch ${offer.epoch} of this cell is past: epoch ${state.offer.epoch} came here`
    }
    return undefined
  }

  async #onQuestion({ kind, cell, attempt }: Question, from: PeerKey): Promise<{ answer: Answer }> {
    const move = this.#incoming.get(attempt)
    // A record that cannot be read is worse than none: it permits nothing either.
    if (move === undefined || move.init.from !== from || move.init.offer.cell !== cell) return { answer: 'unknown' }
    if (kind === 'ask') return { answer: await move.ask() }
    move.dispatch({ kind: 'settled' })
    return { answer: 'owned' }
  }

  // -- the moves

  #outgoingInit(tasks: Tasks): Omit<OutgoingMove['init'], 'cell' | 'attempt' | 'to' | 'epoch' | 'offer'> {
    return {
      ports: this.#init,
      limits: this.#limits,
      tasks,
      letGo: (cell, epoch) => this.forget(cell, epoch),
      onOutcome: (move, result) => this.#onOutcome(move, result),
      onDone: (move) => {
        if (this.#outgoing.get(move.init.cell) === move) this.#outgoing.delete(move.init.cell)
      },
    }
  }

  #incomingInit(): Pick<IncomingMove['init'], 'ports' | 'limits' | 'onGone'> {
    return {
      ports: this.#init,
      limits: this.#limits,
      onGone: (move) => this.#incoming.delete(move.init.offer.attempt),
    }
  }

  /** The first outcome answers `migrate`; one that comes after a doubt, or after a restart, is told to listeners. */
  #onOutcome(move: OutgoingMove, { outcome, epoch, reason }: MigrationResult): void {
    if (outcome === 'in-doubt') return
    if (!move.wasInDoubt) return
    const { cell, to } = move.init
    for (const listener of this.#listeners) {
      try {
        listener({ cell, to, outcome, epoch, ...(reason === undefined ? {} : { reason }) })
      } catch (error) {
        this.#init.onError(error, `telling the end of the move of ${cell}`)
      }
    }
  }

  /** The latest arrival of a cell that this peer still has to do with. */
  #holding(cell: string): IncomingMove | undefined {
    return [...this.#incoming.values()]
      .filter(({ state }) => state.offer.cell === cell && !OVER.has(state.phase))
      .sort((a, b) => b.state.offer.epoch - a.state.offer.epoch)[0]
  }

  #mustBeFree(cell: string): void {
    const arriving = [...this.#incoming.values()].some(
      ({ state }) => state.offer.cell === cell && (state.phase === 'owning' || state.phase === 'activating'),
    )
    const move = this.#outgoing.get(cell)
    if (arriving || this.#unreadable.has(cell)) {
      const why = arriving ? 'is just arriving here' : 'has a record of an earlier move that cannot be read'
      throw new CodedError<MigrationErrorCode>('MIGRATION_BUSY', `cell ${cell} ${why}`, { facts: { cell } })
    }
    if (move === undefined || move.state.phase === 'done') return
    const doubt = move.state.phase === 'in-doubt'
    throw new CodedError<MigrationErrorCode>(
      doubt ? 'MIGRATION_IN_DOUBT' : 'MIGRATION_BUSY',
      doubt
        ? `an earlier move of cell ${cell} has no decided end; "resolve" decides it`
        : `cell ${cell} is moving already`,
      { facts: { cell, to: move.init.to } },
    )
  }

  #started(): Tasks {
    if (this.#tasks === undefined) throw notStarted()
    return this.#tasks
  }
}

/** Nothing of the cell is in memory on account of the stream any more. */
const SETTLED: ReadonlySet<string> = new Set(['activating', 'active', 'leaving', 'left', 'refused', 'gone'])
/** The cell is not here on account of this move. */
const OVER: ReadonlySet<string> = new Set(['leaving', 'left', 'refused', 'refusing', 'gone'])
function notStarted(): CodedError<MigrationErrorCode> {
  return new CodedError('MIGRATION_NOT_STARTED', 'the migration service is not running')
}
