// The authority's record of one cell, and the pure function by which a host's report changes it.

import type { CellMode } from '../../cells/index.ts'
import type { PeerKey } from '../../protocols/kit/types.ts'
import type { CellEvent, Inbox, ResultFile, SignedManifest } from '../../protocols/placement/index.ts'
import type { CellPhase, CellReply, CellUsageReply, MoveReply } from '../control/api.ts'

export interface TimelineEntry {
  /** Counts up over the life of the cell. */
  readonly n: number
  readonly at: number
  readonly phase: CellPhase
  readonly detail: string
  readonly host?: PeerKey
}

export interface CellRecord {
  readonly cell: string
  readonly name: string
  readonly signed: SignedManifest
  readonly phase: CellPhase
  /** Who runs it under which epoch, and what was taken of its reports; absent until a host was told to start it. */
  readonly inbox?: Inbox
  readonly submittedAt: number
  readonly mode: Required<CellMode>
  readonly startedAt?: number
  readonly endedAt?: number
  readonly exitCode?: number
  readonly error?: { readonly code: string; readonly message: string }
  readonly usage?: CellUsageReply
  readonly files: readonly ResultFile[]
  readonly moves: readonly MoveReply[]
  readonly timeline: readonly TimelineEntry[]
  readonly rerunOf?: string
}

const ENDED: ReadonlySet<CellPhase> = new Set(['finished', 'failed', 'stopped', 'lost'])

export function hasEnded(record: CellRecord): boolean {
  return ENDED.has(record.phase)
}

/** A phase with a word about it; nothing else changes. */
export function enter(record: CellRecord, at: number, phase: CellPhase, detail: string, host?: PeerKey): CellRecord {
  const n = (record.timeline.at(-1)?.n ?? 0) + 1
  const entry: TimelineEntry = { n, at, phase, detail, ...(host === undefined ? {} : { host }) }
  const { endedAt: _, ...rest } = record
  return {
    ...rest,
    phase,
    timeline: [...record.timeline, entry].slice(-MAX_TIMELINE),
    ...(ENDED.has(phase) ? { endedAt: at } : {}),
  }
}

/** A cell that moves for days keeps the end of its story. */
const MAX_TIMELINE = 256
const MAX_MOVES = 256

/** What an event that `host` reported makes of the record. Output is kept elsewhere and changes nothing here. */
export function applyEvent(
  record: CellRecord,
  at: number,
  event: CellEvent,
  host: PeerKey,
  nameOf: (peer: PeerKey) => string,
): CellRecord {
  switch (event.kind) {
    case 'output':
      return record
    case 'fetching':
      return enter(record, at, 'fetching', `${nameOf(host)} fetches what it needs`, host)
    case 'running': {
      const why = event.reason === undefined ? '' : `: ${event.reason}`
      return { ...enter(record, at, 'running', `on ${nameOf(host)}${why}`, host), startedAt: record.startedAt ?? at }
    }
    case 'moving': {
      const to = event.to === undefined ? '' : ` to ${nameOf(event.to)}`
      return enter(record, at, 'moving', `copied${to} while it runs`, host)
    }
    case 'in-doubt':
      return enter(
        record,
        at,
        'in-doubt',
        `handed to ${nameOf(event.to)}, which has not answered; "resolve" decides`,
        host,
      )
    case 'moved': {
      const { kind: _, ...figures } = event
      return { ...record, moves: withMove(record, { ...figures, from: host, outcome: 'moved', at }) }
    }
    default:
      return applyEnd(record, at, event, host)
  }
}

function applyEnd(
  record: CellRecord,
  at: number,
  event: Extract<CellEvent, { kind: 'finished' | 'failed' | 'killed' }>,
  host: PeerKey,
): CellRecord {
  const usage = event.usage === undefined ? {} : { usage: event.usage }
  switch (event.kind) {
    case 'finished': {
      const { exitCode, files } = event
      return { ...enter(record, at, 'finished', `exit code ${exitCode}`, host), ...usage, exitCode, files }
    }
    case 'failed': {
      const phase = event.code === 'CELL_HOST_DIED' ? 'lost' : 'failed'
      return {
        ...enter(record, at, phase, event.message, host),
        ...usage,
        error: { code: event.code, message: event.message },
      }
    }
    case 'killed':
      return { ...enter(record, at, 'stopped', 'by its owner', host), ...usage }
  }
}

/** A move is counted once, whoever tells of it first: source or destination, after or before the answer to who asked for it. */
export function withMove(record: CellRecord, move: MoveReply): readonly MoveReply[] {
  const isKnown = record.moves.some(({ outcome, epoch }) => outcome === 'moved' && epoch === move.epoch)
  if (move.outcome === 'moved' && isKnown) return record.moves
  return [...record.moves, move].slice(-MAX_MOVES)
}

/** What became of a move, in one line. */
export function moveLine(move: MoveReply, nameOf: (peer: PeerKey) => string): string {
  const { from, to, outcome, reason, stopMs = 0, totalMs = 0, rounds = 0, movedBytes = 0, lastBytes = 0 } = move
  const between = `${nameOf(from)} to ${nameOf(to)}`
  if (outcome !== 'moved') return `move from ${between}: ${outcome}${reason === undefined ? '' : `, ${reason}`}`
  const copied = `${movedBytes} bytes in ${totalMs.toFixed(1)} ms, of them ${rounds} round${rounds === 1 ? '' : 's'} while it ran`
  return `moved from ${between}: ${copied}; stopped ${stopMs.toFixed(1)} ms for the last ${lastBytes} bytes`
}

export function toReply(record: CellRecord, nameOf: (peer: PeerKey) => string, owner: PeerKey): CellReply {
  const host = record.inbox?.host
  return {
    cell: record.cell,
    name: record.name,
    phase: record.phase,
    role: 'authority',
    owner,
    epoch: record.inbox?.epoch ?? 0,
    submittedAt: record.submittedAt,
    ...record.mode,
    files: record.files.map(({ path, bytes }) => ({ path, bytes })),
    moves: record.moves,
    ...(host === undefined ? {} : { host, hostName: nameOf(host) }),
    ...(record.startedAt === undefined ? {} : { startedAt: record.startedAt }),
    ...(record.endedAt === undefined ? {} : { endedAt: record.endedAt }),
    ...(record.exitCode === undefined ? {} : { exitCode: record.exitCode }),
    ...(record.error === undefined ? {} : { error: record.error }),
    ...(record.usage === undefined ? {} : { usage: record.usage }),
    ...(record.rerunOf === undefined ? {} : { rerunOf: record.rerunOf }),
  }
}
