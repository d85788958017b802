// The peer as an authority: accepts cells, has them placed, takes the reports of their hosts, and notices lost hosts.
import type { Logger } from '@libp2p/interface'
import type { Clock } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import { abortable, type Startable, Tasks } from '../../core/lifecycle.ts'
import type { Random } from '../../core/random.ts'
import type { BlobService, BlobStore } from '../../protocols/blobs/index.ts'
import type { PeerKey, Signer } from '../../protocols/kit/types.ts'
import {
  type AuthorityPort,
  type CellManifest,
  type Inbox,
  openManifest,
  type Placement,
  type PlacementErrorCode,
  type ReportAck,
  type ReportBatch,
  type ResultFile,
  type SignedManifest,
  take,
} from '../../protocols/placement/index.ts'
import type { SubmitRequest } from '../control/api.ts'
import { withActual } from '../decide/index.ts'
import type { BlobAccess } from './blob-access.ts'
import type { CellBook, CellEntry } from './cell-book.ts'
import { applyEvent, type CellRecord, enter, hasEnded } from './cell-record.ts'
import { type ModuleFactsCache, modeOf } from './module-facts.ts'
import { Placing } from './placing.ts'
import { cidsOf, manifestAgain, manifestOf, type SubmissionPorts } from './submission.ts'
import type { Chooser, Names } from './types.ts'

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
  readonly #placing: Placing
  /** Results on their way, by cell and host. */
  readonly #fetching = new Map<string, { readonly done: Promise<void>; readonly cids: readonly string[] }>()

  constructor(init: AuthorityInit) {
    this.#init = init
    this.#placing = new Placing(init)
    this.#ports = { store: init.store, signer: init.signer, clock: init.clock, random: init.random, names: init.names }
  }

  /** The service that has this object as its port. */
  attach(placement: Placement): void {
    this.#placement = placement
    this.#placing.attach(placement)
  }

  async start(): Promise<void> {
    if (this.#tasks !== undefined) return
    const { clock, log, book } = this.#init
    this.#startedAt = clock.mono()
    const tasks = new Tasks({ onError: (error, name) => log.error('%s: %e', name, error) })
    this.#tasks = tasks
    this.#placing.start(tasks)
    for (const { record } of book.entries()) {
      if (hasEnded(record)) continue
      const { manifest } = await openManifest(record.signed)
      if (record.inbox === undefined || record.phase === 'accepted') this.#placing.place(record.cell, manifest)
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
    await this.#init.facts.of(request.module, request)
    return this.#accept(await manifestOf(request, this.#ports))
  }

  /** The same work again, as a new cell. */
  async rerun(record: CellRecord): Promise<CellRecord> {
    const { manifest } = await openManifest(record.signed)
    return this.#accept(await manifestAgain(manifest, this.#ports), record.cell)
  }

  /** Objects that are being fetched, or are here already, for a result that no record has yet. */
  awaited(): readonly string[] {
    return [...this.#fetching.values()].flatMap(({ cids }) => cids)
  }

  /** Gives up placing, if it is under way; the cell has ended when this resolves, unless a host took it just before. */
  cancelPlacing(cell: string): Promise<void> {
    return this.#placing.cancel(cell)
  }

  async report(from: PeerKey, batch: ReportBatch): Promise<ReportAck> {
    let ack: ReportAck | undefined
    const entry = await this.#init.book.update(batch.cell, async (before) => {
      if (before.record.inbox === undefined) return undefined
      const { inbox } = before.record
      const taken = take(inbox, from, await this.#onlyWithFiles(inbox, from, batch))
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
      mode: modeOf(manifest),
      files: [],
      moves: [],
      timeline: [],
      ...(rerunOf === undefined ? {} : { rerunOf }),
    }
    const record = enter(blank, at, 'accepted', `as ${cell.slice(0, 12)}`)
    await this.#init.book.add(record)
    this.#placing.place(cell, manifest)
    return record
  }

  /** The batch up to its result, as long as the result's files are not here yet; they are fetched meanwhile. */
  async #onlyWithFiles(inbox: Inbox, from: PeerKey, batch: ReportBatch): Promise<ReportBatch> {
    // Nothing is fetched for a report that is not taken: anybody may send one.
    const result = take(inbox, from, batch).events.find(({ event }) => event.kind === 'finished')?.event
    if (result?.kind !== 'finished') return batch
    const { clock, log } = this.#init
    const late = new AbortController()
    const timer = clock.after(FETCH_WAIT_MS, () => late.abort(new CodedError('STOPPED', 'they take longer')))
    try {
      await abortable(this.#fetched(batch.cell, from, result.files), late.signal)
      return batch
    } catch (error) {
      log('the results of cell %s are not here yet: %s', batch.cell, messageOf(error))
      return {
        ...batch,
        entries: batch.entries.slice(
          0,
          batch.entries.findIndex(({ event }) => event === result),
        ),
      }
    } finally {
      timer.cancel()
    }
  }

  /** Goes on however long it takes, and however often the host repeats its report meanwhile. */
  #fetched(cell: string, from: PeerKey, files: readonly ResultFile[]): Promise<void> {
    const key = `${cell} ${from}`
    const under = this.#fetching.get(key)
    if (under !== undefined) return under.done
    // Hosts may report before this peer has begun; they do so again.
    if (this.#tasks === undefined) return Promise.reject(new CodedError('STOPPED', 'this peer takes no results yet'))
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const cids = files.map(({ cid }) => cid)
    this.#fetching.set(key, { done: promise, cids })
    this.#tasks.run(`fetching the results of ${cell}`, async (signal) => {
      try {
        for (const { cid, bytes: maxBytes } of files)
          if (!(await this.#init.store.has(cid))) await this.#init.blobs.fetch(cid, [from], { signal, maxBytes })
        resolve()
      } catch (error) {
        reject(error)
      } finally {
        this.#fetching.delete(key)
      }
    })
    return promise
  }

  /** After the end: what was allowed for this cell is allowed no more, and the decision learns how it went. */
  async #concluded(entry: CellEntry): Promise<void> {
    const { record } = entry
    this.#placing.wake()
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
      if (this.#init.book.get(cell)?.record === record)
        this.#placing.place(cell, (await openManifest(record.signed)).manifest)
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
