// What a destination's move is made of: its state, what happens to it, what it asks for. Data only.
import type { Assembly } from './image.ts'
import type { Answer, ToDestination, ToSource } from './messages.ts'
import type { DestinationRecordPhase } from './records.ts'
import type { CellImage, Deadlines, MoveOffer } from './types.ts'

export type DestinationPhase =
  | 'preparing'
  | 'ready'
  | 'receiving'
  | 'loading'
  | 'recording'
  | 'received'
  | 'owning'
  | 'activating'
  | 'active'
  /** The cell is gone from here; that is being written. */
  | 'leaving'
  | 'left'
  | 'refusing'
  | 'refused'
  | 'gone'

export interface DestinationState {
  readonly phase: DestinationPhase
  readonly offer: MoveOffer
  readonly deadlines: Deadlines
  readonly maxSnapshotBytes: number
  /** Set by `arm`: an older timer means nothing. */
  readonly serial: number
  readonly streamOpen: boolean
  readonly assembly?: Assembly
  readonly root: string
  readonly loaded: boolean
  readonly kept: boolean
  /** The source gave up while `received` was being written. */
  readonly retracted: boolean
  /** The source has journalled the end of the move and will not ask. */
  readonly settled: boolean
  /** Questions that wait for `refused` to be durable. */
  readonly questions: readonly number[]
  readonly tries: number
  readonly reason?: string
}

export type DestinationEvent =
  | { readonly kind: 'begin' }
  | { readonly kind: 'message'; readonly message: ToDestination }
  | { readonly kind: 'stream-lost'; readonly reason: string }
  | { readonly kind: 'timeout'; readonly serial: number }
  | { readonly kind: 'prepared' }
  | { readonly kind: 'prepare-failed'; readonly reason: string }
  | { readonly kind: 'loaded' }
  | { readonly kind: 'load-failed'; readonly reason: string }
  | { readonly kind: 'kept' }
  | { readonly kind: 'keep-failed'; readonly reason: string }
  | { readonly kind: 'stored'; readonly phase: DestinationRecordPhase }
  | { readonly kind: 'store-failed'; readonly phase: DestinationRecordPhase; readonly reason: string }
  | { readonly kind: 'activated' }
  | { readonly kind: 'activate-failed'; readonly reason: string }
  /** The source asks who owns the cell; `id` names the question in the answer. */
  | { readonly kind: 'ask'; readonly id: number }
  | { readonly kind: 'settled' }
  /** The cell ended here, or moved on. */
  | { readonly kind: 'left' }

export type DestinationEffect =
  | { readonly kind: 'prepare' }
  | { readonly kind: 'send'; readonly message: ToSource }
  | { readonly kind: 'load'; readonly image: CellImage }
  | { readonly kind: 'keep'; readonly image: CellImage }
  | { readonly kind: 'store'; readonly phase: DestinationRecordPhase; readonly root: string }
  | { readonly kind: 'activate' }
  /** Undoes `prepare` and `load`. */
  | { readonly kind: 'unload' }
  | { readonly kind: 'drop-image' }
  /** Removes the record. */
  | { readonly kind: 'clean' }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Answer }
  | { readonly kind: 'close-stream' }
  | { readonly kind: 'arm'; readonly serial: number; readonly afterMs: number }

export interface DestinationStep {
  readonly state: DestinationState
  readonly effects: readonly DestinationEffect[]
}
