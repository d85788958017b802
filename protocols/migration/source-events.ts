// What a source's move is made of: its state, what happens to it, what it asks for. Data only.
import type { Answer, ToDestination, ToSource } from './messages.ts'
import type { SourceRecordPhase } from './records.ts'
import type { Deadlines, MigrationResult } from './types.ts'

export type SourcePhase =
  | 'preparing'
  | 'suspending'
  | 'sending'
  | 'committing'
  | 'handed-over'
  | 'in-doubt'
  | 'deciding'
  | 'resuming'
  | 'discarding'
  | 'done'

export interface SourceState {
  readonly phase: SourcePhase
  readonly cell: string
  readonly attempt: string
  /** The epoch before the move; the offer is `epoch + 1`, a return after the hand-over `epoch + 2`. */
  readonly epoch: number
  readonly deadlines: Deadlines
  /** Set by `arm`: an older timer means nothing. */
  readonly serial: number
  /** Why the move was given up, or why it is in doubt. */
  readonly reason?: string
  /** What the image hashed to as it was sent, and what the destination says it received. */
  readonly sentRoot?: string
  readonly receivedRoot?: string
  readonly kept: boolean
  /** The epoch under which the cell goes on here: only in `deciding` and `resuming`. */
  readonly resumeEpoch: number
  /** The decision: only in `deciding` and after. */
  readonly decision: 'resuming' | 'moved' | 'dropped'
  /** The decision is durable: the destination may forget the move. */
  readonly decided: boolean
  /** Questions or tries so far. */
  readonly tries: number
  /** `outcome` was given. */
  readonly told: boolean
}

export type SourceEvent =
  | { readonly kind: 'begin' }
  | { readonly kind: 'message'; readonly message: ToSource }
  | { readonly kind: 'stream-lost'; readonly reason: string }
  | { readonly kind: 'cancel'; readonly reason: string }
  | { readonly kind: 'timeout'; readonly serial: number }
  | { readonly kind: 'suspended' }
  | { readonly kind: 'suspend-failed'; readonly reason: string }
  | { readonly kind: 'image-sent'; readonly root: string }
  /** Image and record `kept` are durable. */
  | { readonly kind: 'kept' }
  | { readonly kind: 'keep-failed'; readonly reason: string }
  | { readonly kind: 'stored' }
  | { readonly kind: 'store-failed'; readonly reason: string }
  | { readonly kind: 'answer'; readonly answer: Answer | 'no-answer'; readonly reason?: string }
  | { readonly kind: 'decide'; readonly decision: 'resume' | 'drop' }
  | { readonly kind: 'resumed' }
  | { readonly kind: 'resume-failed'; readonly reason: string }
  | { readonly kind: 'discarded' }
  | { readonly kind: 'discard-failed'; readonly reason: string }

export type SourceEffect =
  /** Opens the stream and sends the offer. */
  | { readonly kind: 'prepare' }
  | { readonly kind: 'send'; readonly message: ToDestination }
  /** Ends with `suspended` or `suspend-failed`, also after `stop-suspending`. */
  | { readonly kind: 'suspend' }
  | { readonly kind: 'stop-suspending' }
  /** Sends sizes, all chunks and `complete`; ends with `image-sent` or `stream-lost`. */
  | { readonly kind: 'send-image' }
  | { readonly kind: 'keep' }
  | { readonly kind: 'store'; readonly phase: SourceRecordPhase; readonly resumeEpoch?: number; readonly root: string }
  | { readonly kind: 'close-stream'; readonly reason?: string }
  | { readonly kind: 'ask' }
  /** Tells the destination, by whatever way is open, that it will not be asked again. Nobody waits for it. */
  | { readonly kind: 'settle' }
  | { readonly kind: 'resume'; readonly epoch: number }
  | { readonly kind: 'discard'; readonly fate: 'moved' | 'dropped' }
  /** Removes record and image. */
  | { readonly kind: 'clean' }
  | { readonly kind: 'arm'; readonly serial: number; readonly afterMs: number }
  | {
      readonly kind: 'outcome'
      readonly outcome: MigrationResult['outcome'] | 'stuck'
      readonly epoch: number
      readonly reason?: string
    }

export interface SourceStep {
  readonly state: SourceState
  readonly effects: readonly SourceEffect[]
}
