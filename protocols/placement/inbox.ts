// The authority's half of the report log: takes each event of the cell's current epoch once, in order, from its host. Pure.
// The caller makes what was taken durable, together with the new inbox, before it sends the acknowledgement.
import type { PeerKey } from '../kit/types.ts'
import { type CellEvent, isEnd, type OutputStream, type ReportAck, type ReportBatch } from './events.ts'

/** Plain data: kept in the cell's record. */
export interface Inbox {
  /** The current epoch and who runs the cell under it. */
  readonly epoch: number
  readonly host: PeerKey
  /** The run of the host whose numbers count now; 0 before its first report. */
  readonly life: number
  /** Highest number taken in this epoch and life. */
  readonly seq: number
  /** Where each stream goes on, over all epochs. */
  readonly next: Readonly<Record<OutputStream, number>>
  /** A peer that the cell is on its way to: it may report under a higher epoch before its predecessor's `moved` arrives. */
  readonly heir?: PeerKey
  readonly ended: boolean
}

/**
 * `stale`: about an epoch that is over, or from a peer that is not the host: ignored.
 * `unannounced`: a higher epoch from a peer that nobody named; the caller may know better and {@link adopt} it.
 * `missing`: an event before, or output before, has not come yet.
 */
export type Verdict = 'taken' | 'stale' | 'unannounced' | 'missing' | 'over'

export interface Taken {
  readonly inbox: Inbox
  readonly verdict: Verdict
  /** New events in order; output is cut to what was not known. */
  readonly events: readonly { readonly at: number; readonly event: CellEvent }[]
  readonly ack: ReportAck
}

/** A cell was told to start on `host`. With `before`, the offsets of its output go on. */
export function expectFrom(host: PeerKey, epoch: number, before?: Inbox): Inbox {
  return { epoch, host, life: 0, seq: 0, next: before?.next ?? { stdout: 0, stderr: 0 }, ended: before?.ended ?? false }
}

/** The authority itself sends the cell to `to`, or has seen it leave. */
export function expectMove(inbox: Inbox, to: PeerKey): Inbox {
  return { ...inbox, heir: to }
}

/** From now on `host` runs the cell under `epoch`; a lower epoch than the current changes nothing. */
export function adopt(inbox: Inbox, host: PeerKey, epoch: number): Inbox {
  return epoch <= inbox.epoch ? inbox : expectFrom(host, epoch, inbox)
}

/** The cell has ended for another reason than a report: stopped, lost. Later reports are told so. */
export function close(inbox: Inbox): Inbox {
  return { ...inbox, ended: true }
}

export function take(inbox: Inbox, from: PeerKey, batch: ReportBatch): Taken {
  if (inbox.ended) return nothing(inbox, 'over')
  if (batch.epoch < inbox.epoch) return nothing(inbox, 'stale')
  if (batch.epoch > inbox.epoch) {
    if (from !== inbox.host && from !== inbox.heir) return nothing(inbox, 'unannounced')
    return takeEntries(adopt(inbox, from, batch.epoch), batch)
  }
  if (from !== inbox.host || batch.life < inbox.life) return nothing(inbox, 'stale')
  return takeEntries(inbox, batch)
}

function takeEntries(before: Inbox, batch: ReportBatch): Taken {
  let inbox = batch.life > before.life ? { ...before, life: batch.life, seq: 0 } : before
  const events: { at: number; event: CellEvent }[] = []
  let verdict: Verdict = 'taken'
  for (const [index, entry] of batch.entries.entries()) {
    const seq = batch.first + index
    if (seq <= inbox.seq) continue
    if (seq > inbox.seq + 1 || isAhead(inbox, entry.event)) {
      verdict = 'missing'
      break
    }
    const fresh = unseen(inbox, entry.event)
    if (fresh !== undefined) events.push({ at: entry.at, event: fresh })
    inbox = after({ ...inbox, seq }, fresh)
    if (inbox.ended || inbox.epoch !== batch.epoch) break
  }
  return { inbox, verdict, events, ack: ackOf(inbox) }
}

function nothing(inbox: Inbox, verdict: Verdict): Taken {
  return { inbox, verdict, events: [], ack: ackOf(inbox) }
}

function ackOf(inbox: Inbox): ReportAck {
  return { epoch: inbox.epoch, life: inbox.life, seq: inbox.seq, ...(inbox.ended ? { over: true } : {}) }
}

function isAhead(inbox: Inbox, event: CellEvent): boolean {
  return event.kind === 'output' && event.offset > inbox.next[event.stream]
}

/** The event without output that is known already; undefined when nothing is left of it. */
function unseen(inbox: Inbox, event: CellEvent): CellEvent | undefined {
  if (event.kind !== 'output') return event
  const known = inbox.next[event.stream] - event.offset
  if (known <= 0) return event
  return known >= event.bytes.length
    ? undefined
    : { ...event, offset: event.offset + known, bytes: event.bytes.subarray(known) }
}

function after(inbox: Inbox, event: CellEvent | undefined): Inbox {
  switch (event?.kind) {
    case 'output':
      return { ...inbox, next: { ...inbox.next, [event.stream]: event.offset + event.bytes.length } }
    case 'moved':
      // a host cannot hand over to the past: such an event is noted and moves nothing
      return adopt(inbox, event.to, event.epoch)
    case 'moving':
    case 'in-doubt':
      return event.to === undefined ? inbox : expectMove(inbox, event.to)
    case 'running': {
      const { heir: _, ...settled } = inbox
      return settled
    }
    default:
      return event !== undefined && isEnd(event) ? { ...inbox, ended: true } : inbox
  }
}
