// The host's half of the report log: events of one cell in one epoch, kept and repeated until the authority has them. Pure.
import * as s from '../../core/shape.ts'
import type { PlacementErrorCode } from './errors.ts'
import { type CellEvent, type Entry, entryShape, type ReportAck, type ReportBatch } from './events.ts'
import { OUTPUT_EVENT_BYTES, REPORT_BATCH_BYTES, REPORT_BATCH_EVENTS } from './protocol.ts'
import { cidShape, epochShape } from './shapes.ts'

/** Lines are joined up to this: enough to make events few, little enough that copying it for every line costs nothing. */
const JOINED_BYTES = 8 * 1024
/**
 * From so many events on, output is joined past a piece of the other stream, too: what a program writes to both in turn, while
 * its authority is away, then takes no more room than its bytes. Only the order between the two streams is lost there.
 */
const CROWDED = 1024

export interface Outbox {
  readonly cell: string
  readonly epoch: number
  /** Wall clock when this numbering began, or one more than the life before: only the order counts. */
  readonly life: number
  /** Everything up to here is the authority's; `entries[i]` has the number `acked + 1 + i`. */
  readonly acked: number
  readonly entries: readonly Entry[]
  /** Highest number that ever left: what it names must not change any more. */
  readonly sent: number
  /** The authority knows a higher epoch, or that the cell is over: nothing more is wanted from here. */
  readonly closed?: 'superseded' | 'over'
}

/** `life` is the wall clock's milliseconds: a host that lost its outbox in a crash begins a new one with a later life. */
export function emptyOutbox(cell: string, epoch: number, life: number): Outbox {
  return { cell, epoch, life, acked: 0, entries: [], sent: 0 }
}

/** Adds an event. Output is cut into pieces that fit a message, and joined to a last piece that has not left yet. */
export function append(outbox: Outbox, event: CellEvent, at: number): Outbox {
  if (outbox.closed !== undefined) return outbox
  if (event.kind !== 'output') return { ...outbox, entries: [...outbox.entries, { at, event: clipped(event) }] }
  const { stream, offset, bytes } = event
  const entries = outbox.entries.slice()
  for (const back of entries.length < CROWDED ? [1] : [1, 2]) {
    const index = entries.length - back
    const before = entries[index]?.event
    if (before?.kind !== 'output') break
    if (before.stream !== stream) continue
    const fits = before.offset + before.bytes.length === offset && before.bytes.length + bytes.length <= JOINED_BYTES
    if (!fits || outbox.acked + index < outbox.sent) break
    entries[index] = { at, event: { ...before, bytes: joined(before.bytes, bytes) } }
    return { ...outbox, entries }
  }
  for (let from = 0; from < bytes.length; from += OUTPUT_EVENT_BYTES) {
    const piece = bytes.slice(from, from + OUTPUT_EVENT_BYTES)
    entries.push({ at, event: { kind: 'output', stream, offset: offset + from, bytes: piece } })
  }
  return { ...outbox, entries }
}

/** What to send now, from the oldest event on, and the outbox that knows it was sent; undefined when there is nothing. */
export function nextBatch(outbox: Outbox): { readonly batch: ReportBatch; readonly outbox: Outbox } | undefined {
  if (outbox.closed !== undefined || outbox.entries.length === 0) return undefined
  let bytes = 0
  let count = 0
  for (const entry of outbox.entries.slice(0, REPORT_BATCH_EVENTS)) {
    bytes += weight(entry.event)
    if (count > 0 && bytes > REPORT_BATCH_BYTES) break
    count++
  }
  const entries = outbox.entries.slice(0, count)
  const { cell, epoch, life } = outbox
  const batch = { cell, epoch, life, first: outbox.acked + 1, entries }
  return { batch, outbox: { ...outbox, sent: Math.max(outbox.sent, outbox.acked + count) } }
}

/** Takes the authority's answer; an old or foreign one changes nothing. */
export function acknowledge(outbox: Outbox, ack: ReportAck): Outbox {
  if (outbox.closed !== undefined) return outbox
  if (ack.over === true) return { ...outbox, entries: [], closed: 'over' }
  const later = ack.epoch > outbox.epoch || (ack.epoch === outbox.epoch && ack.life > outbox.life)
  if (later) return { ...outbox, entries: [], closed: 'superseded' }
  const taken = ack.seq - outbox.acked
  // an acknowledgement of what was never sent is not one
  if (ack.epoch < outbox.epoch || ack.life < outbox.life || taken <= 0 || ack.seq > outbox.sent) return outbox
  return { ...outbox, acked: ack.seq, entries: outbox.entries.slice(taken) }
}

/**
 * The outbox with which the cell's next epoch begins, at this host or another: the output that nobody acknowledged yet
 * goes along, numbered anew. Everything else was about the old epoch.
 */
export function succeed(outbox: Outbox, epoch: number, life: number): Outbox {
  const entries = outbox.entries.filter((entry) => entry.event.kind === 'output')
  return { cell: outbox.cell, epoch, life, acked: 0, entries, sent: 0 }
}

/** More than any cell may leave behind: its output limit, and some. */
const MAX_SAVED_ENTRIES = 1_000_000

const outboxShape = s.object({
  cell: cidShape,
  epoch: epochShape,
  life: s.integer(0),
  entries: s.list(entryShape, MAX_SAVED_ENTRIES),
})

/** For the host's disk and for a move's context. */
export function encodeOutbox(outbox: Outbox): Uint8Array {
  const { cell, epoch, life, entries } = outbox
  return s.toCbor({ cell, epoch, life, entries })
}

/** Begins a new life with what was saved: more may have left since. Total; throws `OUTBOX_MALFORMED`. */
export function restoreOutbox(bytes: Uint8Array, now: number): Outbox {
  const code: PlacementErrorCode = 'OUTBOX_MALFORMED'
  const saved = s.fromCbor(bytes, outboxShape, code)
  return { ...saved, life: Math.max(saved.life + 1, now), acked: 0, sent: 0 }
}

function weight(event: CellEvent): number {
  if (event.kind === 'output') return event.bytes.length
  return event.kind === 'finished' ? 256 + event.files.length * 256 : 256
}

/** Texts come from programs and remote peers: cut to what the receiver takes. */
function clipped(event: CellEvent): CellEvent {
  if (event.kind === 'failed') return { ...event, code: event.code.slice(0, 64), message: event.message.slice(0, 1024) }
  if (event.kind === 'running' && event.reason !== undefined) return { ...event, reason: event.reason.slice(0, 512) }
  return event
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length)
  out.set(a)
  out.set(b, a.length)
  return out
}
