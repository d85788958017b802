// What a host tells the authority of a cell: numbered events, in order, in batches.
import * as s from '../../core/shape.ts'
import type { PeerKey } from '../kit/types.ts'
import { MAX_RESULT_FILES, OUTPUT_EVENT_BYTES, REPORT_BATCH_EVENTS } from './protocol.ts'
import { bytesCount, cidShape, epochShape, pathShape, peerShape, type Usage, usageShape } from './shapes.ts'

export type OutputStream = 'stdout' | 'stderr'

/** A file of the finished cell, kept in the host's blob store until the authority has it. */
export interface ResultFile {
  readonly path: string
  readonly cid: string
  readonly bytes: number
}

/** How a move went, in milliseconds and bytes. */
export interface MoveFigures {
  /** From the last guest instruction at the source to the answer that it runs at the destination. */
  readonly stopMs?: number
  /** From the request on. */
  readonly totalMs?: number
  /** Of copying while it ran. */
  readonly rounds?: number
  /** All that travelled, and of that what travelled while it stood still. */
  readonly movedBytes?: number
  readonly lastBytes?: number
  /** Last guest instruction at the source and first at the destination, by the clocks of their machines. */
  readonly hostStoppedAt?: number
  readonly hostStartedAt?: number
}

export type CellEvent =
  | { readonly kind: 'fetching' }
  /** `reason` when it goes on after it was to be moved: why it was not. */
  | { readonly kind: 'running'; readonly reason?: string }
  /** `offset` counts the stream's bytes since the cell's first start; at most 64 KiB an event. */
  | { readonly kind: 'output'; readonly stream: OutputStream; readonly offset: number; readonly bytes: Uint8Array }
  /** It is being copied to `to`, and will be stopped there soon. */
  | { readonly kind: 'moving'; readonly to?: PeerKey }
  /** Last event of its epoch: `to` runs the cell under `epoch`. */
  | ({ readonly kind: 'moved'; readonly to: PeerKey; readonly epoch: number } & MoveFigures)
  | { readonly kind: 'in-doubt'; readonly to: PeerKey }
  | {
      readonly kind: 'finished'
      readonly exitCode: number
      readonly files: readonly ResultFile[]
      readonly usage: Usage
    }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly usage?: Usage }
  | { readonly kind: 'killed'; readonly usage?: Usage }

export interface Entry {
  /** The host's wall clock, milliseconds. */
  readonly at: number
  readonly event: CellEvent
}

/** `entries[i]` has the number `first + i`; numbers start at 1 in every epoch and life. */
export interface ReportBatch {
  readonly cell: string
  readonly epoch: number
  /** Which run of the host numbers them: a host that was restarted has lost count and begins a higher one. */
  readonly life: number
  readonly first: number
  readonly entries: readonly Entry[]
}

/**
 * The authority's answer. `seq` is the highest number of `epoch` and `life` that it holds durably. A higher `epoch` than
 * the reporter's says that the cell is elsewhere by now; a lower one that the authority has not heard of the move yet.
 */
export interface ReportAck {
  readonly epoch: number
  readonly life: number
  readonly seq: number
  /** The cell has ended for the authority: nothing more about it is wanted. */
  readonly over?: boolean
}

const amount = s.optional(s.number(0))

export const figuresShape = {
  stopMs: amount,
  totalMs: amount,
  rounds: s.optional(s.integer()),
  movedBytes: s.optional(bytesCount),
  lastBytes: s.optional(bytesCount),
  hostStoppedAt: amount,
  hostStartedAt: amount,
}

const eventShape: s.Shape<CellEvent> = s.union({
  fetching: s.object({}),
  running: s.object({ reason: s.optional(s.text(512)) }),
  output: s.object({
    stream: s.oneOf('stdout', 'stderr'),
    offset: bytesCount,
    bytes: s.bytes(OUTPUT_EVENT_BYTES, 1),
  }),
  moving: s.object({ to: s.optional(peerShape) }),
  moved: s.object({ to: peerShape, epoch: epochShape, ...figuresShape }),
  'in-doubt': s.object({ to: peerShape }),
  finished: s.object({
    exitCode: s.integer(Number.MIN_SAFE_INTEGER),
    files: s.list(s.object({ path: pathShape, cid: cidShape, bytes: bytesCount }), MAX_RESULT_FILES),
    usage: usageShape,
  }),
  failed: s.object({ code: s.text(64), message: s.text(1024), usage: s.optional(usageShape) }),
  killed: s.object({ usage: s.optional(usageShape) }),
})

export const entryShape: s.Shape<Entry> = s.object({ at: s.integer(0), event: eventShape })

export const batchShape: s.Shape<ReportBatch> = s.object({
  cell: cidShape,
  epoch: epochShape,
  life: s.integer(0),
  first: s.integer(1),
  entries: s.list(entryShape, REPORT_BATCH_EVENTS),
})

export const ackShape: s.Shape<ReportAck> = s.object({
  epoch: epochShape,
  life: s.integer(0),
  seq: s.integer(0),
  over: s.optional(s.boolean),
})

/** True for an event after which the cell does nothing any more. */
export function isEnd(event: CellEvent): boolean {
  return event.kind === 'finished' || event.kind === 'failed' || event.kind === 'killed'
}
