// What a destination's move is made of: its state, what happens to it, what it asks for. Data only.
import type { Receipt } from './image.ts'
import type { Answer, ToDestination, ToSource } from './messages.ts'
import type { DestinationRecordPhase } from './records.ts'
import type { Deadlines, ImagePiece, MoveOffer } from './types.ts'

export type DestinationPhase =
  | 'preparing'
  /** That a hand-over may come is being written. */
  | 'announcing'
  | 'receiving'
  /** All came; it is being applied and written. */
  | 'finishing'
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
  readonly maxImageBytes: number
  /** Set by `arm`: an older timer means nothing. */
  readonly serial: number
  readonly streamOpen: boolean
  readonly receipt: Receipt
  /** Rounds of which the end has come, and those that are applied. */
  readonly rounds: number
  readonly applied: number
  readonly root: string
  readonly finished: boolean
  readonly committed: boolean
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
  | { readonly kind: 'prepared'; readonly maxImageBytes: number }
  | { readonly kind: 'prepare-failed'; readonly reason: string }
  /** What the port did not take of a part, or the disk of a piece. */
  | { readonly kind: 'add-failed'; readonly reason: string }
  | { readonly kind: 'append-failed'; readonly reason: string }
  /** All that came so far is applied and written. */
  | { readonly kind: 'applied' }
  | { readonly kind: 'finished' }
  | { readonly kind: 'finish-failed'; readonly reason: string }
  | { readonly kind: 'committed' }
  | { readonly kind: 'commit-failed'; readonly reason: string }
  | { readonly kind: 'stored'; readonly phase: DestinationRecordPhase }
  | { readonly kind: 'store-failed'; readonly phase: DestinationRecordPhase; readonly reason: string }
  | { readonly kind: 'activated'; readonly hostStartedAt?: number }
  | { readonly kind: 'activate-failed'; readonly reason: string }
  /** The source asks who owns the cell; `id` names the question in the answer. */
  | { readonly kind: 'ask'; readonly id: number }
  | { readonly kind: 'settled' }
  /** The cell ended here, or moved on. */
  | { readonly kind: 'left' }

export type DestinationEffect =
  | { readonly kind: 'prepare' }
  | { readonly kind: 'send'; readonly message: ToSource }
  | { readonly kind: 'append'; readonly piece: ImagePiece }
  | { readonly kind: 'add'; readonly part: Uint8Array }
  /** Ends with `applied` once every `append` and `add` so far has been carried out. */
  | { readonly kind: 'apply' }
  | { readonly kind: 'finish'; readonly context: Uint8Array }
  | { readonly kind: 'commit'; readonly context: Uint8Array }
  /** Where the phase is `active` the port remembers the cell before. */
  | { readonly kind: 'store'; readonly phase: DestinationRecordPhase; readonly root: string }
  | { readonly kind: 'activate' }
  /** Undoes `prepare` and what came after it. */
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
