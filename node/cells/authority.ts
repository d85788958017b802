// The peer as an authority: accepts cells, has them placed, takes the reports of their hosts, and notices lost hosts.
import type { Logger } from '@libp2p/interface'
import { type Clock, sleep } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import { type Startable, Tasks } from '../../core/lifecycle.ts'
import type { Random } from '../../core/random.ts'
import type { BlobService, BlobStore } from '../../protocols/blobs/index.ts'
import type { PeerKey, Signer } from '../../protocols/kit/types.ts'
import {
  type AuthorityPort,
  askOf,
  type CandidateReport,
  type CellManifest,
  close,
  expectFrom,
  type NegotiationOutcome,
  openManifest,
  type Placement,
  type PlacementErrorCode,
  type ReportAck,
  type ReportBatch,
  type SignedManifest,
  take,
} from '../../protocols/placement/index.ts'
import type { SubmitRequest } from '../control/api.ts'
import { type DecisionRecord, exclusionLines, withActual, withOutcome } from '../decide/index.ts'
import type { BlobAccess } from './blob-access.ts'
import type { CellBook, CellEntry } from './cell-book.ts'
import { applyEvent, type CellRecord, enter, hasEnded } from './cell-record.ts'
import type { ModuleFactsCache } from './module-facts.ts'
import { cidsOf, manifestAgain, manifestOf, type SubmissionPorts } from './submission.ts'
import type { Choice, Chooser, Names } from './types.ts'

/** Between two tries to place a cell that nobody can take just now. */
const RETRY_MS = 1_000
const RETRY_MAX_MS = 15_000
/** How often hosts are looked at, and how long after start an unknown host may take to appear. */
const SWEEP_MS = 2_000
const GRACE_MS = 30_000
/** Result files are fetched while the host's report waits this long; after that it repeats itself. */
const FETCH_WAIT_MS = 15_000
const CONFIRM_MS = 5_000

export interface AuthorityInit {
  readonly book: CellBook
  readonly store: BlobStore
  readonly blobs: BlobService
  readonly access: BlobAccess
  readonly facts: ModuleFactsCache
  readonly chooser: Chooser
  readonly names: Names
  /** Undefined when the peer was never heard of. */
  readonly isAlive: (peer: PeerKey) => boolean | undefined
  /** Told of every cell of this peer that has ended. */
  readonly onConcluded: (record: CellRecord, manifest: CellManifest) => void
  readonly signer: Signer
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

export class Authority implements AuthorityPort, Startable {
  readonly #init: AuthorityInit
  readonly #ports: SubmissionPorts
  #placement: Placement | undefined
  #tasks: Tasks | undefined
  #startedAt = 0
  readonly #placing = new Map<string, { readonly cancel: AbortController; readonly over: Promise<void> }>()
  readonly #waiting = new Set<() => void>()

  constructor(init: AuthorityInit) {
    this.#init = init
    this.#ports = { store: init.store, signer: init.signer, clock: init.clock, random: init.random, names: init.names }
  }

  /** The service that has this object as its port. */
  attach(placement: Placement): void {
    this.#placement = placement
  }

  async start(): Promise<void> {
    if (this.#tasks !== undefined) return
    const { clock, log, book } = this.#init
    this.#startedAt = clock.mono()
    const tasks = new Tasks({ onError: (error, name) => log.error('%s: %e', name, error) })
    this.#tasks = tasks
    for (const { record } of book.entries()) {
      if (hasEnded(record)) continue
      const { manifest } = await openManifest(record.signed)
      if (record.inbox === undefined || record.phase === 'accepted') this.#place(record.cell, manifest)
      else this.#init.access.allow(record.cell, record.inbox.host, cidsOf(manifest))
    }
    tasks.every(
      'looking for lost hosts',
      clock,
      () => SWEEP_MS,
      () => this.#sweep(),
    )
  }

  async stop(): Promise<void> {
    const tasks = this.#tasks
    this.#tasks = undefined
    await tasks?.stop()
  }

  /** Accepts a cell: when this resolves, it is durable here. Refuses what could never run. */
  async submit(request: SubmitRequest): Promise<CellRecord> {
    await this.#init.facts.of(request.module)
    return this.#accept(await manifestOf(request, this.#ports))
  }

  /** The same work again, as a new cell. */
  async rerun(record: CellRecord): Promise<CellRecord> {
    const { manifest } = await openManifest(record.signed)
    return this.#accept(await manifestAgain(manifest, this.#ports), record.cell)
  }

  /** Gives up placing, if it is under way; the cell has ended when this resolves, unless a host took it just before. */
  async cancelPlacing(cell: string): Promise<void> {
    const placing = this.#placing.get(cell)
    placing?.cancel.abort(new CodedError('STOPPED', 'stopped by its owner'))
    await placing?.over
  }

  async report(from: PeerKey, batch: ReportBatch): Promise<ReportAck> {
    let ack: ReportAck | undefined
    const entry = await this.#init.book.update(batch.cell, async (before) => {
      if (before.record.inbox === undefined) return undefined
      const taken = take(before.record.inbox, from, await this.#onlyWithFiles(from, batch))
      ack = taken.ack
      if (taken.verdict === 'unannounced') this.#init.log('%s reports cell %s unasked', from, batch.cell)
      if (taken.inbox === before.record.inbox) return undefined
      let record: CellRecord = { ...before.record, inbox: taken.inbox }
      const log = await this.#init.book.log(batch.cell)
      let wrote = false
      for (const { at, event } of taken.events) {
        if (event.kind === 'output') {
          await log.append(event.stream, event.offset, event.bytes)
          wrote = true
        } else record = applyEvent(record, at, event, from, this.#init.names.nameOf)
      }
      if (record.phase === 'lost' && !taken.inbox.ended) {
        record = enter(
          record,
          this.#init.clock.now(),
          'running',
          `on ${this.#init.names.nameOf(from)}, which is back`,
          from,
        )
      }
      if (wrote) await log.sync()
      return { ...before, record }
    })
    if (entry === undefined || ack === undefined) {
      throw new CodedError<PlacementErrorCode>('CELL_UNKNOWN', `no cell ${batch.cell} was submitted here`)
    }
    if (hasEnded(entry.record) && ack.over === true) await this.#concluded(entry)
    return ack
  }

  async #accept(
    submission: { cell: string; manifest: CellManifest; signed: SignedManifest },
    rerunOf?: string,
  ): Promise<CellRecord> {
    const { cell, manifest, signed } = submission
    const at = this.#init.clock.now()
    const blank: CellRecord = {
      cell,
      name: manifest.name,
      signed,
      phase: 'accepted',
      submittedAt: at,
      files: [],
      moves: [],
      timeline: [],
      ...(rerunOf === undefined ? {} : { rerunOf }),
    }
    const record = enter(blank, at, 'accepted', `as ${cell.slice(0, 12)}`)
    await this.#init.book.add(record)
    this.#place(cell, manifest)
    return record
  }

  #place(cell: string, manifest: CellManifest): void {
    this.#tasks?.run(`placing ${cell}`, async (stopping) => {
      const cancel = new AbortController()
      const { promise: over, resolve } = Promise.withResolvers<void>()
      this.#placing.set(cell, { cancel, over })
      try {
        await this.#tryToPlace(cell, manifest, AbortSignal.any([stopping, cancel.signal]))
      } catch (error) {
        if (stopping.aborted) return
        await this.#ends(cell, cancel.signal.aborted ? 'stopped' : 'failed', messageOf(error))
      } finally {
        this.#placing.delete(cell)
        resolve()
      }
    })
  }

  async #tryToPlace(cell: string, manifest: CellManifest, signal: AbortSignal): Promise<void> {
    const { chooser, book, facts } = this.#init
    const features = (await facts.of(manifest.module)).opcodeFeatures
    for (let tries = 0; ; tries++) {
      const record = book.get(cell)?.record
      if (record === undefined || hasEnded(record)) return
      const epoch = record.inbox?.epoch ?? 0
      const choice = chooser.choose(askOf(cell, manifest, epoch + 1, features), manifest)
      const outcome = await this.#negotiate(record, manifest, choice, epoch, features, signal)
      const decided = withOutcome(choice.decision, outcome)
      await book.update(cell, (entry) => ({ ...entry, decisions: kept(entry.decisions, decided) }))
      if (outcome.kind === 'placed') {
        chooser.placed(outcome.host, decided.placed?.predictedMs ?? outcome.costMs)
        return
      }
      const reason = this.#reasonOf(outcome)
      const never = choice.candidates.length === 0 ? !choice.later : outcome.candidates.every(isFinal)
      if (never) return this.#ends(cell, 'failed', reason)
      await this.#waits(cell, reason)
      await this.#pause(Math.min(RETRY_MAX_MS, RETRY_MS * 1.5 ** tries), signal)
    }
  }

  /** What each candidate answered; the exclusions stand in the outcome when nobody was asked. */
  #reasonOf(outcome: Extract<NegotiationOutcome, { kind: 'failed' }>): string {
    const answers = outcome.candidates.map(({ peer, outcome: end, reason }) => {
      const name = this.#init.names.nameOf(peer)
      return reason === undefined ? `${name}: ${end}` : `${name}: ${reason}`
    })
    return answers.length === 0 ? outcome.reason : answers.join('; ')
  }

  /** Says so once, and again when a host that was told to start the cell did not take it. */
  async #waits(cell: string, reason: string): Promise<void> {
    const { book, clock } = this.#init
    await book.update(cell, ({ record, ...entry }) => {
      const told = record.phase === 'accepted' && record.timeline.length > 1
      if (told || hasEnded(record)) return undefined
      return { ...entry, record: enter(record, clock.now(), 'accepted', `waits: ${reason}`) }
    })
  }

  /** The end of another cell may have made room: then the rest of the pause is skipped. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    const over = new AbortController()
    const wake = (): void => over.abort()
    this.#waiting.add(wake)
    try {
      await sleep(this.#init.clock, ms, AbortSignal.any([signal, over.signal])).catch(() => signal.throwIfAborted())
    } finally {
      this.#waiting.delete(wake)
    }
  }

  async #negotiate(
    record: CellRecord,
    manifest: CellManifest,
    choice: Choice,
    epoch: number,
    features: readonly number[],
    signal: AbortSignal,
  ): Promise<NegotiationOutcome> {
    const { book, access, names, clock, signer } = this.#init
    if (choice.candidates.length === 0 || this.#placement === undefined) {
      return { kind: 'failed', epoch, reason: exclusionLines(choice.decision).join('; '), candidates: [] }
    }
    const { cell, signed } = record
    return this.#placement.place(
      {
        cell,
        signed,
        epoch,
        ask: askOf(cell, manifest, epoch + 1, features),
        candidates: choice.candidates,
        holders: [signer.self],
        onAttempt: async (attempt) => {
          access.allow(cell, attempt.host, cidsOf(manifest))
          await book.update(cell, (entry) => ({
            ...entry,
            record: enter(
              { ...entry.record, inbox: expectFrom(attempt.host, attempt.epoch, entry.record.inbox) },
              clock.now(),
              'placed',
              `on ${names.nameOf(attempt.host)}`,
              attempt.host,
            ),
          }))
        },
      },
      { signal },
    )
  }

  /** An end that no host reported. */
  async #ends(cell: string, phase: 'failed' | 'stopped', why: string): Promise<void> {
    const code: PlacementErrorCode = 'PLACEMENT_FAILED'
    await this.#init.book.update(cell, (entry) => ({
      ...entry,
      record: {
        ...enter(entry.record, this.#init.clock.now(), phase, why),
        // A host that runs it all the same is told that it is over.
        ...(entry.record.inbox === undefined ? {} : { inbox: close(entry.record.inbox) }),
        ...(phase === 'failed' ? { error: { code, message: `no peer can take the cell: ${why}` } } : {}),
      },
    }))
  }

  /** The batch up to its result, as long as the result's files are not here yet; they are fetched meanwhile. */
  async #onlyWithFiles(from: PeerKey, batch: ReportBatch): Promise<ReportBatch> {
    const at = batch.entries.findIndex(({ event }) => event.kind === 'finished')
    const event = batch.entries[at]?.event
    if (event?.kind !== 'finished') return batch
    const signal = AbortSignal.timeout(FETCH_WAIT_MS)
    try {
      for (const file of event.files) {
        if (!(await this.#init.store.has(file.cid))) await this.#init.blobs.fetch(file.cid, [from], { signal })
      }
      return batch
    } catch (error) {
      this.#init.log.error('the results of cell %s cannot be fetched yet: %e', batch.cell, error)
      return { ...batch, entries: batch.entries.slice(0, at) }
    }
  }

  /** After the end: what was allowed for this cell is allowed no more, and the decision learns how it went. */
  async #concluded(entry: CellEntry): Promise<void> {
    const { record } = entry
    for (const wake of this.#waiting) wake()
    this.#init.access.forget(record.cell)
    this.#init.onConcluded(record, (await openManifest(record.signed)).manifest)
    const last = entry.decisions.at(-1)
    if (last === undefined) return
    const outcome =
      record.phase === 'finished' || record.phase === 'lost' || record.phase === 'stopped' ? record.phase : 'failed'
    const moved = record.moves.some((move) => move.outcome === 'moved')
    const told = withActual(last, {
      outcome: outcome === 'finished' && moved ? 'moved' : outcome,
      ...(record.usage === undefined ? {} : { ms: record.usage.wallMs }),
    })
    await this.#init.book.update(record.cell, (now) => ({ ...now, decisions: [...now.decisions.slice(0, -1), told] }))
  }

  /** A cell that nobody is placing and that its host never heard of, because this peer died in between, is placed again. */
  async #confirm(record: CellRecord, host: PeerKey): Promise<void> {
    const { cell, inbox } = record
    if (inbox === undefined || this.#placing.has(cell) || this.#placement === undefined) return
    try {
      const order = { cell, epoch: inbox.epoch, command: { kind: 'status' } } as const
      await this.#placement.sendCommand(host, order, { signal: AbortSignal.timeout(CONFIRM_MS) })
    } catch (error) {
      const unknown: PlacementErrorCode = 'CELL_UNKNOWN'
      if (!isCoded(error, 'REMOTE_REFUSED') || error.facts.remoteCode !== unknown) return
      if (this.#init.book.get(cell)?.record === record) this.#place(cell, (await openManifest(record.signed)).manifest)
    }
  }

  async #sweep(): Promise<void> {
    const { book, isAlive, clock, names } = this.#init
    const grace = clock.mono() - this.#startedAt < GRACE_MS
    for (const { record } of book.entries()) {
      const host = record.inbox?.host
      if (host === undefined || hasEnded(record) || record.phase === 'in-doubt' || record.phase === 'accepted') continue
      const alive = isAlive(host)
      if (alive === true && record.phase === 'placed') await this.#confirm(record, host)
      if (alive === true || (alive === undefined && grace)) continue
      await book.update(record.cell, (entry) =>
        hasEnded(entry.record) || entry.record.inbox?.host !== host
          ? undefined
          : {
              ...entry,
              record: {
                ...enter(
                  entry.record,
                  clock.now(),
                  'lost',
                  `${names.nameOf(host)} died or went while it ran the cell`,
                  host,
                ),
                error: { code: 'CELL_LOST', message: `${names.nameOf(host)}, which ran it, died or went` },
              },
            },
      )
    }
  }
}

/** Such an answer will be the same tomorrow: the peer is not what the cell asks for, or runs none. */
function isFinal({ outcome, code }: CandidateReport): boolean {
  const final: readonly (string | undefined)[] = ['CONSTRAINT', 'NOT_HOST'] satisfies PlacementErrorCode[]
  return outcome === 'refused' && final.includes(code)
}

/** A cell that waits for days keeps its last decisions. */
function kept(decisions: readonly DecisionRecord[], next: DecisionRecord): readonly DecisionRecord[] {
  return [...decisions, next].slice(-16)
}
