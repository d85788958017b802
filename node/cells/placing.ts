// Finding a host for an accepted cell, and trying again as long as there may be one.
import type { Logger } from '@libp2p/interface'
import { type Clock, sleep } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import type { Tasks } from '../../core/lifecycle.ts'
import type { Signer } from '../../protocols/kit/types.ts'
import {
  askOf,
  type CandidateReport,
  type CellManifest,
  close,
  expectFrom,
  type NegotiationOutcome,
  type Placement,
  type PlacementErrorCode,
} from '../../protocols/placement/index.ts'
import { type DecisionRecord, exclusionLines, withOutcome } from '../decide/index.ts'
import type { BlobAccess } from './blob-access.ts'
import type { CellBook } from './cell-book.ts'
import { type CellRecord, enter, hasEnded } from './cell-record.ts'
import type { ModuleFactsCache } from './module-facts.ts'
import { cidsOf } from './submission.ts'
import type { Choice, Chooser, Names } from './types.ts'

/** Between two tries to place a cell that nobody can take just now. */
const RETRY_MS = 1_000
const RETRY_MAX_MS = 15_000

export interface PlacingInit {
  readonly book: CellBook
  readonly access: BlobAccess
  readonly facts: ModuleFactsCache
  readonly chooser: Chooser
  readonly names: Names
  readonly signer: Signer
  readonly clock: Clock
  readonly log: Logger
}

export class Placing {
  readonly #init: PlacingInit
  #placement: Placement | undefined
  #tasks: Tasks | undefined
  readonly #placing = new Map<string, { readonly cancel: AbortController; readonly over: Promise<void> }>()
  readonly #waiting = new Set<() => void>()

  constructor(init: PlacingInit) {
    this.#init = init
  }

  attach(placement: Placement): void {
    this.#placement = placement
  }

  /** Works as a part of its authority: `tasks` end with it. */
  start(tasks: Tasks): void {
    this.#tasks = tasks
  }

  has(cell: string): boolean {
    return this.#placing.has(cell)
  }

  /** Something has changed that may let a waiting cell go: the rest of its pause is skipped. */
  wake(): void {
    for (const wake of this.#waiting) wake()
  }

  /** Gives up placing, if it is under way; the cell has ended when this resolves, unless a host took it just before. */
  async cancel(cell: string): Promise<void> {
    const placing = this.#placing.get(cell)
    placing?.cancel.abort(new CodedError('STOPPED', 'stopped by its owner'))
    await placing?.over
  }

  /** Places the cell, however long it takes, unless it ends meanwhile. */
  place(cell: string, manifest: CellManifest): void {
    if (this.#placing.has(cell)) return
    this.#tasks?.run(`placing ${cell}`, async (stopping) => {
      const cancel = new AbortController()
      const { promise: over, resolve } = Promise.withResolvers<void>()
      this.#placing.set(cell, { cancel, over })
      try {
        await this.#insist(cell, manifest, AbortSignal.any([stopping, cancel.signal]))
      } catch (error) {
        if (stopping.aborted) return
        await this.#ends(cell, cancel.signal.aborted ? 'stopped' : 'failed', messageOf(error))
      } finally {
        this.#placing.delete(cell)
        resolve()
      }
    })
  }

  /** A home that takes no records just now is no reason to give a cell up. */
  async #insist(cell: string, manifest: CellManifest, signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        return await this.#tryToPlace(cell, manifest, signal)
      } catch (error) {
        const code = isCoded(error) ? error.code : ''
        if (!code.startsWith('HOME_')) throw error
        this.#init.log.error('cell %s cannot be placed yet: %e', cell, error)
        await this.#pause(RETRY_MAX_MS, signal)
      }
    }
  }

  async #tryToPlace(cell: string, manifest: CellManifest, signal: AbortSignal): Promise<void> {
    const { chooser, book, facts, log } = this.#init
    const features = (await facts.of(manifest.module, manifest)).opcodeFeatures
    for (let tries = 0; ; tries++) {
      const record = book.get(cell)?.record
      if (record === undefined || hasEnded(record)) return
      const epoch = record.inbox?.epoch ?? 0
      const choice = chooser.choose(askOf(cell, manifest, epoch + 1, features), manifest)
      const outcome = await this.#negotiate(record, manifest, choice, epoch, features, signal)
      const decided = withOutcome(choice.decision, outcome)
      const noted = book.update(cell, (entry) => ({ ...entry, decisions: kept(entry.decisions, decided) }))
      if (outcome.kind === 'placed') {
        chooser.placed(outcome.host, decided.placed?.predictedMs ?? outcome.costMs)
        // It is placed, whether or not the reasons can be kept.
        await noted.catch((error: unknown) => log.error('why cell %s is where it is cannot be kept: %e', cell, error))
        return
      }
      await noted
      const reason = this.#reasonOf(outcome)
      const never = choice.candidates.length === 0 ? !choice.later : isRefusedForGood(outcome, choice)
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
}

/**
 * As long as somebody was not looked at, another draw of candidates may have the one that takes it; not so where it is this
 * peer's own role that all of them miss.
 */
function isRefusedForGood({ candidates }: NegotiationOutcome, { decision }: Choice): boolean {
  const mine: PlacementErrorCode = 'NOT_SUBMITTER'
  if (candidates.length > 0 && candidates.every(({ code }) => code === mine)) return true
  return decision.unconsidered === 0 && candidates.every(isFinal)
}

/** Such an answer will be the same tomorrow: the peer is not what the cell asks for, or runs none, or none of ours. */
function isFinal({ outcome, code }: CandidateReport): boolean {
  const codes = ['CONSTRAINT', 'NOT_HOST', 'NOT_SUBMITTER'] satisfies PlacementErrorCode[]
  const final: readonly (string | undefined)[] = codes
  return outcome === 'refused' && final.includes(code)
}

/** A cell that waits for days keeps its last decisions. */
function kept(decisions: readonly DecisionRecord[], next: DecisionRecord): readonly DecisionRecord[] {
  return [...decisions, next].slice(-16)
}
