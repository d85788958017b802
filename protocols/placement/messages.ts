// Bytes <-> checked values for offers, starts, releases and commands; reports are in `events.ts`.
import * as s from '../../core/shape.ts'
import type { PeerKey } from '../kit/types.ts'
import { figuresShape, type MoveFigures } from './events.ts'
import {
  type CellConstraints,
  type CellManifest,
  constraintsShape,
  inputBytesOf,
  type SignedManifest,
  signedManifestShape,
} from './manifest.ts'
import { MAX_STDIN_PIECE_BYTES } from './protocol.ts'
import {
  bytesCount,
  cidShape,
  epochShape,
  pathShape,
  peerShape,
  reservationShape,
  type Usage,
  usageShape,
} from './shapes.ts'

/** Room on a host: what a cell takes, or what is left. One cell takes one slot. */
export interface Room {
  readonly slots: number
  readonly memoryBytes: number
  readonly diskBytes: number
}

/** What a host must know to bid; nothing in it is proven yet. */
export interface Ask {
  readonly cell: string
  readonly epoch: number
  readonly owner: PeerKey
  readonly module: string
  readonly moduleBytes: number
  readonly inputBytes: number
  /** What the module is made of, for predictions; absent when the asking peer has not inspected it. */
  readonly opcodeFeatures?: readonly number[]
  /** Most that the cell may take, its blobs included. */
  readonly memoryBytes: number
  readonly diskBytes: number
  readonly constraints: CellConstraints
}

/** A host's promise to keep room for one cell. */
export interface Bid {
  readonly reservation: string
  /** Milliseconds from now until the room is given away. */
  readonly ttlMs: number
  /** Until a cell that is accepted now would start. */
  readonly backlogMs: number
  /** Left after this reservation. */
  readonly freeSlots: number
  readonly hasModule: boolean
}

/** A stated no: a code of `errors.ts` and a text for people. */
export interface Refusal {
  readonly code: string
  readonly reason: string
}

export interface StartOrder {
  readonly reservation: string
  readonly epoch: number
  readonly manifest: SignedManifest
  /** Peers that have module and inputs, the best first. */
  readonly holders: readonly PeerKey[]
}

export interface Release {
  readonly reservation: string
}

export type Command =
  | { readonly kind: 'stop' }
  /** Without `to` the host chooses. */
  | { readonly kind: 'migrate'; readonly to?: PeerKey; readonly reservation?: string }
  /** The owner's word on a cell in doubt. */
  | { readonly kind: 'resolve'; readonly decision: 'resume' | 'drop' }
  | { readonly kind: 'read-file'; readonly path: string }
  /** `at`: where the bytes begin in all of the cell's standard input. The same piece may come again. */
  | { readonly kind: 'write-stdin'; readonly at: number; readonly bytes: Uint8Array; readonly end?: boolean }
  | { readonly kind: 'status' }

/** `epoch` is the one under which the authority believes the cell runs there. */
export interface CommandOrder {
  readonly cell: string
  readonly epoch: number
  readonly command: Command
}

export type CommandResult =
  | { readonly kind: 'done' }
  | ({
      readonly kind: 'migrated'
      readonly outcome: 'moved' | 'resumed' | 'in-doubt' | 'dropped'
      readonly to: PeerKey
      readonly epoch: number
      readonly reason?: string
      /** The destination said no or was not heard of any more, before the cell was its own: another one may take it. */
      readonly byDestination?: boolean
    } & MoveFigures)
  /** The file is in the host's blob store now; absent `cid`: there is no such file. */
  | { readonly kind: 'file'; readonly cid?: string; readonly bytes?: number }
  /** What the cell has of its standard input now. */
  | { readonly kind: 'stdin'; readonly bytes: number; readonly closed: boolean }
  | { readonly kind: 'status'; readonly phase: string; readonly epoch: number; readonly usage?: Usage }

const amount = s.number(0)

export const askShape: s.Shape<Ask> = s.object({
  cell: cidShape,
  epoch: epochShape,
  owner: peerShape,
  module: cidShape,
  moduleBytes: bytesCount,
  inputBytes: bytesCount,
  opcodeFeatures: s.optional(s.list(s.number(), 64)),
  memoryBytes: bytesCount,
  diskBytes: bytesCount,
  constraints: constraintsShape,
})

const refusalFields = { code: s.text(64), reason: s.text(512) }

export const offerReplyShape = s.union({
  bid: s.object({
    reservation: reservationShape,
    ttlMs: amount,
    backlogMs: amount,
    freeSlots: s.integer(0),
    hasModule: s.boolean,
  }),
  refused: s.object(refusalFields),
})

export const startShape: s.Shape<StartOrder> = s.object({
  reservation: reservationShape,
  epoch: epochShape,
  manifest: signedManifestShape,
  holders: s.list(peerShape, 16),
})

export const startReplyShape = s.union({ accepted: s.object({}), refused: s.object(refusalFields) })

export const releaseShape: s.Shape<Release> = s.object({ reservation: reservationShape })
export const releaseReplyShape = s.object({})

export const commandShape: s.Shape<CommandOrder> = s.object({
  cell: cidShape,
  epoch: epochShape,
  command: s.union({
    stop: s.object({}),
    migrate: s.object({ to: s.optional(peerShape), reservation: s.optional(reservationShape) }),
    resolve: s.object({ decision: s.oneOf('resume', 'drop') }),
    'read-file': s.object({ path: pathShape }),
    'write-stdin': s.object({ at: s.integer(), bytes: s.bytes(MAX_STDIN_PIECE_BYTES), end: s.optional(s.boolean) }),
    status: s.object({}),
  }),
})

export const commandResultShape: s.Shape<CommandResult> = s.union({
  done: s.object({}),
  migrated: s.object({
    outcome: s.oneOf('moved', 'resumed', 'in-doubt', 'dropped'),
    to: peerShape,
    epoch: epochShape,
    reason: s.optional(s.text(512)),
    byDestination: s.optional(s.boolean),
    ...figuresShape,
  }),
  file: s.object({ cid: s.optional(cidShape), bytes: s.optional(bytesCount) }),
  stdin: s.object({ bytes: s.integer(), closed: s.boolean }),
  status: s.object({ phase: s.text(32), epoch: epochShape, usage: s.optional(usageShape) }),
})

/** The ask that belongs to a manifest. The disk it needs: its own allowance, and the module beside it. */
export function askOf(cell: string, manifest: CellManifest, epoch: number, opcodeFeatures?: readonly number[]): Ask {
  return {
    cell,
    epoch,
    owner: manifest.owner,
    module: manifest.module,
    moduleBytes: manifest.moduleBytes,
    inputBytes: inputBytesOf(manifest),
    ...(opcodeFeatures === undefined ? {} : { opcodeFeatures }),
    memoryBytes: manifest.limits.memoryBytes,
    diskBytes: manifest.limits.diskBytes + manifest.moduleBytes,
    constraints: manifest.constraints,
  }
}

/** A refusal that fits on the wire, whatever was thrown with it. */
export function refusalOf(code: string, reason: string): Refusal {
  return { code: code.slice(0, 64), reason: reason.slice(0, 512) }
}
