// Where people's wishes about cells arrive: everything the control API can ask for, at this peer's cells and at hosted ones.
import type { StdinTaken } from '../../cells/index.ts'
import type { Clock } from '../../core/clock.ts'
import { CodedError, isCoded, messageOf } from '../../core/errors.ts'
import type { BlobService, BlobStore } from '../../protocols/blobs/index.ts'
import type { PeerKey } from '../../protocols/kit/types.ts'
import { MIGRATE } from '../../protocols/migration/index.ts'
import {
  adopt,
  askOf,
  type Command,
  type CommandResult,
  expectMove,
  openManifest,
  type Placement,
  type PlacementErrorCode,
} from '../../protocols/placement/index.ts'
import type { CellEventReply, CellReply, MoveReply, SubmitRequest, WhyReply } from '../control/api.ts'
import type { ByteStream } from '../control/byte-stream.ts'
import { explain, withOutcome } from '../decide/index.ts'
import { Attachments, type StdinWrite } from './attachments.ts'
import type { Authority } from './authority.ts'
import type { CellBook, CellEntry } from './cell-book.ts'
import { type CellRecord, enter, hasEnded, moveLine, toReply, withMove } from './cell-record.ts'
import type { CellsErrorCode } from './errors.ts'
import { type HostedCell, isActive, notMigratable } from './hosted-cell.ts'
import type { Hosting } from './hosting.ts'
import { type ModuleFactsCache, modeOf } from './module-facts.ts'
import { objectStream } from './object-stream.ts'
import { onePeer } from './submission.ts'
import type { Chooser, Names } from './types.ts'

/** A large cell on a slow link takes its time to move; the host's own deadlines come first, and what it asks and tries after them. */
export const MOVE_TIMEOUT_MS = MIGRATE.streamTimeoutMs + 2 * 60_000
const COMMAND_TIMEOUT_MS = 15_000
/** Peers that an automatic move tries: each may cost a copy of the cell. */
const MOVE_CHOICES = 3
/** What a host says that a cell has left, or is just leaving. */
const NOT_THERE: readonly (PlacementErrorCode | CellsErrorCode)[] = ['CELL_UNKNOWN', 'STALE_EPOCH', 'CELL_NOT_RUNNING']

export interface DeskInit {
  readonly book: CellBook
  readonly authority: Authority
  readonly hosting: Hosting
  readonly placement: Placement
  readonly blobs: BlobService
  readonly store: BlobStore
  readonly facts: ModuleFactsCache
  readonly chooser: Chooser
  readonly names: Names
  readonly self: PeerKey
  readonly clock: Clock
}

export class Desk {
  readonly #init: DeskInit
  readonly #attachments: Attachments

  constructor(init: DeskInit) {
    this.#init = init
    const command = (record: CellRecord, order: Command): Promise<CommandResult> => this.#command(record, order)
    this.#attachments = new Attachments({ book: init.book, clock: init.clock, command })
  }

  async submit(request: SubmitRequest): Promise<CellReply> {
    return this.#reply(await this.#init.authority.submit(request))
  }

  async rerun(prefix: string): Promise<CellReply> {
    const { record } = this.#entry(prefix)
    if (!hasEnded(record)) throw notNow(record, 'it has not ended')
    return this.#reply(await this.#init.authority.rerun(record))
  }

  /** Drops a cell that is over, with its output; its objects give way when room is needed. Resolves with what it was. */
  async forget(prefix: string): Promise<CellReply> {
    const { record } = this.#entry(prefix)
    if (!hasEnded(record))
      throw notNow(record, `it has not ended: "cloudskin stop ${record.cell.slice(0, 12)}" ends it`)
    await this.#init.book.remove(record.cell)
    return this.#reply(record)
  }

  list(all: boolean): CellReply[] {
    const { book, hosting, self } = this.#init
    const own = book.entries().filter(({ record }) => all || !hasEnded(record))
    const hosted = hosting.all().filter((cell) => cell.manifest.owner !== self && (all || isActive(cell)))
    return [...own.map(({ record }) => this.#reply(record)), ...hosted.map((cell) => this.#hostedReply(cell))]
  }

  get(prefix: string): CellReply {
    const found = this.#init.book.find(prefix)
    if (found !== undefined) return this.#reply(found.record)
    const hosted = this.#init.hosting.all().filter(({ record }) => record.cell.startsWith(prefix))
    if (hosted.length === 1 && hosted[0] !== undefined) return this.#hostedReply(hosted[0])
    throw unknown(prefix)
  }

  why(prefix: string): WhyReply {
    const { record, decisions } = this.#entry(prefix)
    const lines = decisions.flatMap((decision) => explain(decision))
    const moves = record.moves.map((move) => moveLine(move, this.#init.names.nameOf))
    if (lines.length === 0) lines.push('no decision has been taken yet')
    return { cell: record.cell, lines: [...lines, ...moves], decisions }
  }

  /** Resolves once the cell has stopped, or will not start. */
  async stop(prefix: string): Promise<CellReply> {
    const { book, authority, clock } = this.#init
    const { record } = this.#entry(prefix)
    if (hasEnded(record)) throw notNow(record, 'it has ended')
    await authority.cancelPlacing(record.cell)
    const signal = AbortSignal.timeout(COMMAND_TIMEOUT_MS)
    await this.#stopAtHost(record.cell, signal)
    for (;;) {
      const entry = book.get(record.cell)
      if (entry === undefined || hasEnded(entry.record))
        return this.#reply(entry?.record ?? enter(record, clock.now(), 'stopped', ''))
      await book.changed(record.cell, signal)
    }
  }

  /** A cell that has just moved on when the word arrives is told at its next host. */
  async #stopAtHost(cell: string, signal: AbortSignal): Promise<void> {
    const { book } = this.#init
    for (;;) {
      const record = book.get(cell)?.record
      if (record === undefined || hasEnded(record)) return
      try {
        await this.#command(record, { kind: 'stop' })
        return
      } catch (error) {
        if (!isCoded(error, ...NOT_THERE) || !(await this.#movesOn(record, signal))) throw error
      }
    }
  }

  /** True once the cell is under another epoch or has ended; false when it is in doubt, or nothing is heard of it. */
  async #movesOn({ cell, inbox }: CellRecord, signal: AbortSignal): Promise<boolean> {
    for (;;) {
      const record = this.#init.book.get(cell)?.record
      if (record === undefined || hasEnded(record) || record.inbox?.epoch !== inbox?.epoch) return true
      if (record.phase === 'in-doubt') return false
      try {
        await this.#init.book.changed(cell, signal)
      } catch {
        return false
      }
    }
  }

  /** Moves a running cell to `to`, or to the best other peer that takes it, and resolves with how that went. */
  async migrate(prefix: string, to: string | undefined): Promise<MoveReply> {
    const { record } = this.#entry(prefix)
    const from = record.inbox?.host
    if (!record.mode.migratable) throw notMigratable(record.cell, record.mode.engine)
    if (from === undefined || record.phase !== 'running') throw notNow(record, 'only a running cell can be moved')
    if (to === undefined) return this.#migrateToBest(record.cell, from)
    const target = onePeer(this.#init.names, to)
    if (target === from) throw notNow(record, `${this.#init.names.nameOf(from)} runs it already`)
    return this.#migrateTo(record, from, target)
  }

  /** The choice has kept room for the cell when it is offered to it; where it refuses after all, the next one is asked. */
  async #migrateToBest(cell: string, from: PeerKey): Promise<MoveReply> {
    const passed = [{ peer: from, reason: 'it runs there now' }]
    let refused: MoveReply | undefined
    for (let tries = 0; tries < MOVE_CHOICES; tries++) {
      const { record } = this.#entry(cell)
      if (refused !== undefined && (hasEnded(record) || record.inbox?.host !== from)) break
      const choice = await this.#bestOther(record, passed).catch((error: unknown) => {
        if (refused === undefined) throw error
      })
      if (choice === undefined) break
      const { host, reservation } = choice
      const move = await this.#migrateTo(record, from, host, reservation)
      if (move.outcome === 'moved' || move.outcome === 'in-doubt') return move
      await this.#init.placement.release(host, reservation)
      // What kept the cell at home would keep it from the next one, too.
      if (move.byDestination !== true) return move
      passed.push({ peer: host, reason: move.reason ?? 'the cell could not be moved there' })
      refused = move
    }
    if (refused === undefined) throw new Error('nobody was asked')
    return refused
  }

  async #migrateTo(record: CellRecord, from: PeerKey, to: PeerKey, reservation?: string): Promise<MoveReply> {
    const { book } = this.#init
    // The heir is known before the move begins: it may report before the news of the move arrives.
    await book.update(record.cell, (entry) =>
      entry.record.inbox === undefined
        ? undefined
        : { ...entry, record: { ...entry.record, inbox: expectMove(entry.record.inbox, to) } },
    )
    const move = await this.#move(record, from, to, reservation)
    // The source's own report of the move may be overtaken by the destination's first one, and is then not heard.
    await book.update(record.cell, (entry) => ({
      ...entry,
      record: { ...entry.record, moves: withMove(entry.record, move) },
    }))
    if (move.outcome === 'moved') await this.#settled(record.cell, move.epoch)
    return move
  }

  /** The report of the new host is on its way: whoever asked for a move shall find the cell where it is, and running. */
  async #settled(cell: string, epoch: number): Promise<void> {
    const signal = AbortSignal.timeout(COMMAND_TIMEOUT_MS)
    for (;;) {
      const record = this.#init.book.get(cell)?.record
      if (record === undefined || hasEnded(record)) return
      const isSettled = record.phase !== 'moving' && record.phase !== 'in-doubt'
      if ((record.inbox?.epoch ?? 0) >= epoch && isSettled) return
      try {
        await this.#init.book.changed(cell, signal)
      } catch {
        return
      }
    }
  }

  /** The owner's word on a cell in doubt. */
  async resolve(prefix: string, decision: 'resume' | 'drop'): Promise<CellReply> {
    const { record } = this.#entry(prefix)
    const { cell } = record
    const host = record.inbox?.host
    if (record.phase !== 'in-doubt') throw notNow(record, 'only a cell in doubt needs a decision')
    const result = await this.#command(record, { kind: 'resolve', decision })
    if (result.kind !== 'migrated') throw new Error(`the host answered ${result.kind}`)
    const { outcome, epoch } = result
    // Should the other end come back with its copy and report first: that copy is the one that is not wanted any more.
    if (outcome === 'resumed' && host !== undefined)
      await this.#init.book.update(cell, (entry) =>
        entry.record.inbox === undefined
          ? undefined
          : { ...entry, record: { ...entry.record, inbox: adopt(entry.record.inbox, host, epoch) } },
      )
    await this.#settled(cell, epoch)
    return this.#reply(this.#entry(prefix).record)
  }

  /** A file of the cell: from its results when it has ended, else from the running program's tree. */
  async file(prefix: string, path: string, signal: AbortSignal): Promise<ByteStream> {
    const { record } = this.#entry(prefix)
    const result = record.files.find((file) => file.path === path)
    if (result !== undefined) {
      const there = await objectStream(this.#init.store, result.cid)
      if (there !== undefined) return there
    }
    const host = record.inbox?.host
    if (host !== undefined && !hasEnded(record)) {
      const reply = await this.#command(record, { kind: 'read-file', path })
      if (reply.kind === 'file' && reply.cid !== undefined) {
        await this.#init.blobs.fetch(reply.cid, [host], { signal, maxBytes: reply.bytes ?? 0 })
        const there = await objectStream(this.#init.store, reply.cid)
        if (there !== undefined) return there
      }
    }
    throw new CodedError<CellsErrorCode>('CELL_FILE_UNKNOWN', `cell ${record.cell.slice(0, 12)} has no file ${path}`, {
      facts: { cell: record.cell, path },
    })
  }

  /** More standard input for a running cell that was submitted with `stdinOpen`; see `Attachments.write`. */
  writeStdin(prefix: string, write: StdinWrite, signal: AbortSignal): Promise<StdinTaken> {
    return this.#attachments.write(this.#entry(prefix).record.cell, write, signal)
  }

  /** The story of a cell so far; with `follow`, until it ends. */
  async *events(prefix: string, follow: boolean, signal: AbortSignal): AsyncGenerator<CellEventReply> {
    const { book } = this.#init
    const { cell } = this.#entry(prefix).record
    const log = await book.log(cell)
    let told = 0
    let moves = 0
    let read = 0
    for (;;) {
      const entry = book.get(cell)
      if (entry === undefined) return
      const { record } = entry
      for (const { n, at, phase, detail, host } of record.timeline) {
        if (n <= told) continue
        told = n
        yield { kind: 'phase', at, phase, detail, ...(host === undefined ? {} : { host }) }
      }
      for (const move of record.moves.slice(moves)) yield { kind: 'move', move }
      moves = record.moves.length
      // Output is on the disk before the word that the program runs.
      const mayTell = record.startedAt !== undefined || hasEnded(record)
      for await (const { stream, offset, bytes, next } of mayTell ? log.frames(read) : []) {
        read = next
        yield { kind: 'output', stream, offset, base64: Buffer.from(bytes).toString('base64') }
      }
      if (!follow) return
      // Nothing happened while this was being told?
      if (book.get(cell) !== entry) continue
      if (hasEnded(record)) {
        yield { kind: 'end', cell: this.#reply(record) }
        return
      }
      await book.changed(cell, signal)
    }
  }

  async #move(record: CellRecord, from: PeerKey, to: PeerKey, reservation: string | undefined): Promise<MoveReply> {
    const epoch = record.inbox?.epoch ?? 0
    const at = this.#init.clock.now()
    try {
      const reserved = reservation === undefined ? {} : { reservation }
      const result = await this.#command(record, { kind: 'migrate', to, ...reserved }, MOVE_TIMEOUT_MS)
      if (result.kind !== 'migrated') throw new Error(`the host answered ${result.kind}`)
      const { kind: _, outcome, ...figures } = result
      return { ...figures, from, at: this.#init.clock.now(), outcome: outcome === 'dropped' ? 'refused' : outcome }
    } catch (error) {
      const reason = messageOf(error)
      if (isCoded(error) && !error.code.startsWith('STREAM_'))
        return { from, to, epoch, at, outcome: 'refused', reason }
      // The host has begun and is not heard any more: what has become of the move, its next report says.
      return { from, to, epoch, at, outcome: 'in-doubt', reason: `the host was not heard of again: ${reason}` }
    }
  }

  /** The best peer but for those that were passed over, and the room that it keeps. */
  async #bestOther(
    record: CellRecord,
    exclude: readonly { readonly peer: PeerKey; readonly reason: string }[],
  ): Promise<{ readonly host: PeerKey; readonly reservation: string }> {
    const { chooser, facts, placement, book } = this.#init
    const { manifest } = await openManifest(record.signed)
    const epoch = record.inbox?.epoch ?? 0
    const ask = askOf(record.cell, manifest, epoch + 1, facts.peek(manifest.module)?.opcodeFeatures)
    const { candidates, decision } = chooser.choose(ask, manifest, { exclude })
    const plan = { cell: record.cell, ask, epoch, candidates }
    const outcome = await placement.reserve(plan, { signal: AbortSignal.timeout(COMMAND_TIMEOUT_MS) })
    await book.update(record.cell, (entry) => ({
      ...entry,
      decisions: [...entry.decisions, withOutcome(decision, outcome)].slice(-16),
    }))
    if (outcome.kind === 'failed') {
      throw new CodedError<PlacementErrorCode>('PLACEMENT_FAILED', `no other peer can take the cell: ${outcome.reason}`)
    }
    return outcome
  }

  async #command(record: CellRecord, command: Command, timeoutMs = COMMAND_TIMEOUT_MS): Promise<CommandResult> {
    const { inbox, cell } = record
    if (inbox === undefined) throw notNow(record, 'no host has it yet')
    const signal = AbortSignal.timeout(timeoutMs)
    try {
      return await this.#init.placement.sendCommand(inbox.host, { cell, epoch: inbox.epoch, command }, { signal })
    } catch (error) {
      const reason = isCoded(error) && typeof error.facts.remoteCode === 'string' ? error.facts.remoteCode : undefined
      throw reason === undefined ? error : new CodedError(reason, messageOf(error), { cause: error })
    }
  }

  #entry(prefix: string): CellEntry {
    const entry = this.#init.book.find(prefix)
    if (entry !== undefined) return entry
    const hosted = this.#init.hosting.all().find(({ record }) => record.cell.startsWith(prefix))
    if (hosted === undefined) throw unknown(prefix)
    const owner = this.#init.names.nameOf(hosted.manifest.owner)
    throw new CodedError<PlacementErrorCode>('NOT_OWNER', `cell ${prefix} belongs to ${owner}: ask there`)
  }

  #reply(record: CellRecord): CellReply {
    return toReply(record, this.#init.names.nameOf, this.#init.self)
  }

  #hostedReply(hosted: HostedCell): CellReply {
    const { record, manifest } = hosted
    const phase = record.phase === 'starting' ? 'fetching' : record.phase === 'running' ? 'running' : 'stopped'
    return {
      cell: record.cell,
      name: manifest.name,
      phase,
      role: 'host',
      owner: manifest.owner,
      host: this.#init.self,
      hostName: this.#init.names.nameOf(this.#init.self),
      epoch: record.epoch,
      submittedAt: manifest.submittedAt,
      ...modeOf(manifest),
      files: [],
      moves: [],
    }
  }
}

function unknown(prefix: string): CodedError<PlacementErrorCode> {
  return new CodedError('CELL_UNKNOWN', `this peer knows no cell ${prefix}; "cloudskin ps -a" lists those it does`)
}

function notNow(record: CellRecord, why: string): CodedError<CellsErrorCode> {
  return new CodedError('CELL_NOT_RUNNING', `cell ${record.cell.slice(0, 12)} is ${record.phase}: ${why}`)
}
